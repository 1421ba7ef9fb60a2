// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package supervisor

import "golang.org/x/sys/unix"

// exitFD returns a descriptor that becomes readable when this process ends.
func exitFD(pid int) (int, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(kq)
	exit := make([]unix.Kevent_t, 1)
	unix.SetKevent(&exit[0], pid, unix.EVFILT_PROC, unix.EV_ADD)
	exit[0].Fflags = unix.NOTE_EXIT
	_, err = unix.Kevent(kq, exit, nil, nil)
	return kq, err
}

// followGuard is not asked here: the guard needs Linux.
func followGuard(int) error { return nil }
