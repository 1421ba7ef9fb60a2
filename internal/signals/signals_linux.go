// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// firstRealTime is the first real-time signal that the C library leaves to
// programs.
const firstRealTime = 35

// peculiar lists what only Linux has. SIGPROF and signals 32 to 34 stay with the
// Go runtime, which survives the former and never sees the latter.
func peculiar() []syscall.Signal {
	sigs := []syscall.Signal{unix.SIGIO, unix.SIGPWR, sigStackFault}
	for s := syscall.Signal(firstRealTime); s <= 64; s++ {
		sigs = append(sigs, s)
	}
	return sigs
}

func nonblockingPipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	return p[0], p[1], err
}

// leaveHandlers returns when no thread is still in a signal handler that it had
// entered before: there a thread can't make the call that is asked of all.
func leaveHandlers() {
	_, _, _ = syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
}
