// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminating lists every signal whose default action ends a process and that
// can be caught (signal(7)), the likely ones first. SIGHUP is left out where it
// was ignored when the process started: that is what nohup(1) asks for.
//
// SIGPROF and signals 32 to 34 stay with the Go runtime, which survives the
// former and never sees the latter.
func Terminating() []syscall.Signal {
	sigs := []syscall.Signal{
		unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGABRT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGIO,
		unix.SIGPWR, unix.SIGSTKFLT, unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE,
		unix.SIGSEGV, unix.SIGSYS,
	}
	if !signal.Ignored(unix.SIGHUP) {
		sigs = append([]syscall.Signal{unix.SIGHUP}, sigs...)
	}
	const firstRealTime, last = 35, 64
	for s := syscall.Signal(firstRealTime); s <= last; s++ {
		sigs = append(sigs, s)
	}
	return sigs
}

func nonblockingPipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	return p[0], p[1], err
}
