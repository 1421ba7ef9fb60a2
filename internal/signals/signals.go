// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package signals turns signals into bytes on a pipe, so that one poll(2) can
// wait for them together with everything else.
//
// Through os/signal, each signal takes a round trip to another thread to subscribe
// to, which made up a sixth of muontrap's start, and more threads for as long as it
// lives. On Linux, signals therefore have a handler of our own (enter_linux_*.s),
// which does what sigaction(2) handlers have done since there are pipes: it writes the
// signal's number to one.
package signals

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe delivers signals, one byte each, roughly in the order of their arrival. One that
// waits already need not come again. There is one Pipe in a process, and it lives as long
// as that.
type Pipe struct{ r, w int }

// FD is readable while a signal waits for Next.
func (p *Pipe) FD() int { return p.r }

// Next returns the oldest signal not yet taken, or false when there is none.
func (p *Pipe) Next() (syscall.Signal, bool) {
	var b [1]byte
	for {
		n, err := unix.Read(p.r, b[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n != 1:
			return 0, false
		}
		taken(b[0])
		return syscall.Signal(b[0]), true
	}
}

// Terminating lists every signal whose default action ends a process and that
// can be caught (signal(7)). SIGHUP is left out where it was ignored when the process
// started: that is what nohup(1) asks for.
func Terminating() []syscall.Signal {
	sigs := append(make([]syscall.Signal, 0, 64), // there are no more
		unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF, unix.SIGXCPU, unix.SIGXFSZ,
		unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
	)
	if !signal.Ignored(unix.SIGHUP) {
		sigs = append(sigs, unix.SIGHUP)
	}
	return append(sigs, peculiar()...)
}
