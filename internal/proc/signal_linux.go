// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Describe names a process for messages.
func Describe(pid int) string {
	comm, err := ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		comm = []byte("?")
	}
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(comm)))
}

// OffersPidfd tells for people whether this kernel has pidfds.
func OffersPidfd() string {
	fd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return "no"
	}
	unix.Close(fd)
	return "yes"
}

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
