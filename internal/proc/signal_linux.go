// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrOther means that a pid is not the expected process's.
var ErrOther = errors.New("another process")

// Signal sends signals through a pidfd, and only if what that stands for is meant:
// a pid from a list may be another's by now. One that is gone is no error.
func Signal(pid int, meant func() bool, sigs ...syscall.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer unix.Close(fd)
	}
	if !meant() { // asked only now: the pidfd holds on to whom that is true of
		return ErrOther
	}
	for _, sig := range sigs {
		err := unix.PidfdSendSignal(fd, sig, nil, 0)
		if err != nil && err != unix.ESRCH && meant() {
			err = unix.Kill(pid, sig) // before 5.3, or filtered: a small risk instead of none
		}
		if err == unix.ESRCH {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
