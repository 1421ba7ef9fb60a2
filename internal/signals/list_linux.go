// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// firstRealTime is the first real-time signal (signal(7)).
const firstRealTime = syscall.Signal(32)

// allThreads is how the Go runtime asks something of all threads; it ignores one that
// somebody else sends.
const allThreads = 33

// peculiar lists what only Linux has.
func peculiar() []syscall.Signal {
	sigs := []syscall.Signal{unix.SIGIO, unix.SIGPWR, sigStackFault}
	for s := syscall.Signal(64); s >= firstRealTime; s-- {
		if s != allThreads {
			sigs = append(sigs, s)
		}
	}
	return sigs
}

func nonblockingPipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	return p[0], p[1], err
}
