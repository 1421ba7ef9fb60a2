// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const canSplice = false

func splice(from, to, limit int) (int, error) { return -1, unix.ENOSYS }

// openNonblocking has no way here: opening /dev/fd/N only duplicates N.
func openNonblocking(int) (int, error) { return -1, unix.ENOSYS }

func closeOnExecPipe() (r, w int, err error) {
	var p [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return -1, -1, err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return p[0], p[1], nil
}

// The kernel sizes its pipes itself, up to 64 KiB.
func enlarge(pipe, size int) {}

func capacity(int) int { return 64 << 10 }
