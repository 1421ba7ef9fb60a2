// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package signals

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Terminating lists every signal whose default action ends a process and that
// can be caught (signal(3)), the likely ones first. SIGHUP is left out where it
// was ignored when the process started: that is what nohup(1) asks for.
func Terminating() []syscall.Signal {
	sigs := []syscall.Signal{
		unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGABRT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM,
		unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
	}
	if !signal.Ignored(unix.SIGHUP) {
		sigs = append([]syscall.Signal{unix.SIGHUP}, sigs...)
	}
	return sigs
}

func nonblockingPipe() (r, w int, err error) {
	var p [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return -1, -1, err
	}
	for _, fd := range p {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return -1, -1, err
		}
	}
	return p[0], p[1], nil
}
