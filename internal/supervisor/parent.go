// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var errParentGone = errors.New("--watch=parent: the process that started muontrap has ended already")

// openHost returns the descriptor that tells of the host's end; -1: none does.
func (o *options) openHost(parent int, guarded bool) (fd int, err error) {
	switch {
	case o.watch == watchStdin:
		return unix.Stdin, nil
	case o.watch == watchParent && !guarded: // else it is the guard's to watch
		return openParent(parent)
	}
	return -1, nil
}

// openParent returns a descriptor that becomes readable when the process ends that
// was the parent when this one began.
//
// Whoever is the parent before and after the descriptor is opened is the one that
// it stands for: a dead one's children go to one of its elders, and never to a
// newcomer that got its pid. What the kernel does not tell is whether it had
// changed before it was first asked for. Mostly it shows nevertheless: a process
// is in the session that its parent is in, or has begun one itself. Not so if the
// session is the same all the same (as below a subreaper that is in it), or if
// muontrap has its own: then the process that adopted it is watched.
func openParent(parent int) (fd int, err error) {
	if parent == 0 {
		return -1, errors.New("--watch=parent: the parent is outside of this pid namespace: use --watch=none")
	}
	fd, err = exitFD(parent)
	if err != nil && err != unix.ESRCH {
		return -1, fmt.Errorf("--watch=parent: %w", err)
	}
	if err != nil || unix.Getppid() != parent || adopted(parent) {
		return -1, errParentGone
	}
	return fd, nil
}

// adopted tells whether this process has surely not been started by its parent.
func adopted(parent int) bool {
	mine, err1 := unix.Getsid(0)
	its, err2 := unix.Getsid(parent)
	return err1 == nil && err2 == nil && mine != unix.Getpid() && mine != its
}
