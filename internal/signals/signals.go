// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package signals turns signals into bytes on a pipe, so that one poll(2) can
// wait for them together with everything else.
//
// Subscribing through os/signal costs a round trip to another thread for each
// signal. [Open] therefore returns at once and subscribes from a goroutine of
// its own, the only one in the program, while the caller goes on.
package signals

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe delivers signals, one byte each. It lives as long as the process.
type Pipe struct {
	r, w     int
	incoming chan os.Signal
	armed    chan struct{}
}

// Open subscribes to these signals, in this order. One that arrives before its
// turn has its default effect. Armed waits for the vital ones.
func Open(vital, others []syscall.Signal) (*Pipe, error) {
	r, w, err := nonblockingPipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	p := &Pipe{
		r: r, w: w,
		incoming: make(chan os.Signal, 64), // a burst of every kind fits
		armed:    make(chan struct{}),
	}
	go p.forward(vital, others)
	return p, nil
}

func (p *Pipe) forward(vital, others []syscall.Signal) {
	for _, s := range vital {
		signal.Notify(p.incoming, s)
	}
	close(p.armed)
	for _, s := range others {
		signal.Notify(p.incoming, s)
	}
	for s := range p.incoming {
		// A full pipe already holds more signals than anybody waits for.
		_, _ = unix.Write(p.w, []byte{byte(s.(syscall.Signal))})
	}
}

// Armed blocks until the vital signals are subscribed to.
func (p *Pipe) Armed() { <-p.armed }

// Watch subscribes to one more signal, at once.
func (p *Pipe) Watch(s syscall.Signal) { signal.Notify(p.incoming, s) }

// Barrier is a signal that nobody but Flush has a reason to send.
const Barrier = unix.SIGWINCH

// Flush sends a Barrier through the pipe: whatever was sent to this process
// before, and is on its way through the runtime, arrives at Next before it does.
// (Unless its number is higher: the kernel hands out the lowest first. What is sent
// to whole process groups is lower.)
func (p *Pipe) Flush() {
	p.Watch(Barrier)
	leaveHandlers()
	_ = unix.Kill(os.Getpid(), Barrier)
}

// FD is readable while a signal waits for Next.
func (p *Pipe) FD() int { return p.r }

// Next returns the oldest signal not yet taken, or false when there is none.
func (p *Pipe) Next() (syscall.Signal, bool) {
	var b [1]byte
	for {
		n, err := unix.Read(p.r, b[:])
		if err == unix.EINTR {
			continue
		}
		return syscall.Signal(b[0]), err == nil && n == 1
	}
}

// Terminating lists every signal whose default action ends a process and that
// can be caught (signal(7)). Vital are those that commonly ask for an end, or
// get it from the Go runtime at once. SIGHUP is left out where it was ignored
// when the process started: that is what nohup(1) asks for.
func Terminating() (vital, others []syscall.Signal) {
	vital = []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT}
	if !signal.Ignored(unix.SIGHUP) {
		vital = append(vital, unix.SIGHUP)
	}
	others = []syscall.Signal{
		unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGVTALRM, unix.SIGXCPU, unix.SIGXFSZ,
		unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
	}
	return vital, append(others, peculiar()...)
}
