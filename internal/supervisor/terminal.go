// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// Job control needs nothing from muontrap: it is in one process group with its
// program, so that the keys reach both, and suspends and goes on as any other.
// But a shell that sees it exit can't know that its program was killed, in whatever
// mode that had set the terminal to. So the mode is restored here, as shells do it.

// terminal is where the program reads, and how that was set before.
type terminal struct {
	fd    int
	modes *unix.Termios
}

// openTerminal returns the terminal on fd 0, or nil if muontrap is not in its
// foreground: then the modes are the shell's, which may be editing a line. Nor if its
// stdout is elsewhere: then they may be those of a pager that reads what is written.
func openTerminal() *terminal {
	modes, err := unix.IoctlGetTermios(unix.Stdin, getModes)
	if err != nil || !inForeground(unix.Stdin) {
		return nil
	}
	if _, err := unix.IoctlGetTermios(unix.Stdout, getModes); err != nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(unix.Stdin), unix.F_DUPFD_CLOEXEC, 3) // fd 0 will be the program's alone
	if err != nil {
		return nil
	}
	return &terminal{fd, modes}
}

func inForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// restore sets them again, unless the terminal is somebody else's by now.
func (t *terminal) restore() {
	if t == nil || !inForeground(t.fd) {
		return
	}
	signal.Ignore(unix.SIGTTOU) // it may become somebody else's in this moment
	_ = unix.IoctlSetTermios(t.fd, setModes, t.modes)
}
