// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import "golang.org/x/sys/unix"

const (
	getModes = unix.TCGETS
	setModes = unix.TCSETS
)

// holdStop keeps what this thread writes to a terminal from suspending muontrap,
// until undo: it would have been in the background, and the terminal set so.
func holdStop() (undo func()) {
	var stop, before unix.Sigset_t
	stop.Val[0] = 1 << (unix.SIGTTOU - 1)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &stop, &before) != nil {
		return func() {}
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }
}
