// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// exitFD returns a descriptor that becomes readable when this process ends.
func exitFD(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ENOSYS || err == unix.EPERM {
		return -1, os.NewSyscallError("pidfd_open (Linux 5.3)", err)
	}
	return fd, err
}
