// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// removeTime bounds the wait for the kernel to let go of dead members.
const removeTime = 2 * time.Second

// Remove takes away the group's directories, with all that the program made
// below them, and what muontrap made above them and nobody uses. Directories that
// were there before stay.
func (g *Group) Remove() error {
	var errs []error
	for _, d := range g.dirs {
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}

func (d *dir) remove() error {
	switch {
	case d.fd < 0:
		return nil
	case !made(d.fd):
		unmark(d.fd)
		return nil
	}
	if err := remove(d.fd, d.path); err != nil {
		return fmt.Errorf("cannot remove %s: %w", d.path, err)
	}
	d.removeFrom(path.Dir(d.path))
	return nil
}

// remove removes the directory at fd and path, and all below.
func remove(fd int, path string) error {
	for end := time.Now().Add(removeTime); ; proc.Pause(time.Millisecond) {
		removeBelow(fd)
		err := unix.Rmdir(path)
		if err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY || time.Now().After(end) {
			return err
		}
	}
}

func removeBelow(fd int) {
	for _, name := range subdirs(fd) {
		if sub, err := openBeneath(fd, name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			removeBelow(sub)
			unix.Close(sub)
			_ = unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
		}
	}
}

// removeFrom climbs as long as the directories are muontrap's, empty and not a
// group of their own to another muontrap, which would hold a lock.
func (d *dir) removeFrom(at string) {
	for ; len(at) > len(d.hierarchy.dir); at = path.Dir(at) {
		fd, err := unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return
		}
		free := made(fd) && unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK
		if free {
			err = unix.Rmdir(at)
		}
		unix.Close(fd)
		if !free || err != nil {
			return
		}
	}
}
