// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// Job control needs nothing from muontrap: it is in one process group with its
// program, so that the keys reach both, and suspends and goes on as any other.
// But a shell that sees it exit can't know that its program was killed, in whatever
// mode that had set the terminal to. So the mode is restored here, as shells do it.

// terminalModes returns those of the terminal on fd 0, or nil if muontrap is not in
// its foreground: then they are the shell's, which may be editing a line. Nor if its
// stdout is elsewhere: then they may be those of a pager that reads what it writes.
func terminalModes() *unix.Termios {
	modes, err := unix.IoctlGetTermios(unix.Stdin, getModes)
	if err != nil || !inForeground() {
		return nil
	}
	if _, err := unix.IoctlGetTermios(unix.Stdout, getModes); err != nil {
		return nil
	}
	return modes
}

func inForeground() bool {
	group, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// restoreTerminal sets them again, unless the terminal is somebody else's by now.
func restoreTerminal(modes *unix.Termios) {
	if modes == nil || !inForeground() {
		return
	}
	signal.Ignore(unix.SIGTTOU) // it may become somebody else's in this moment
	_ = unix.IoctlSetTermios(unix.Stdin, setModes, modes)
}
