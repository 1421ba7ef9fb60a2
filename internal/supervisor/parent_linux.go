// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
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

// followGuard asks for SIGTERM when the guard ends. Only this process can: what is
// asked for it before it is run, the kernel forgets if the file has capabilities.
func followGuard(guard int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if unix.Getppid() != guard {
		return errors.New("--guard: the guard has ended already")
	}
	return nil
}
