// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNoTerminatingSignalIsForgotten(t *testing.T) {
	harmless := []syscall.Signal{
		unix.SIGKILL, unix.SIGSTOP, // can't be caught
		unix.SIGCHLD, unix.SIGURG, unix.SIGWINCH, // ignored by default
		unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, // stop and go on
		allThreads,
	}
	heed(unix.SIGHUP)
	sigs := Terminating()
	for s := syscall.Signal(1); s <= 64; s++ {
		n := 0
		for _, taken := range sigs {
			if taken == s {
				n++
			}
		}
		want := 1
		if slices.Contains(harmless, s) {
			want = 0
		}
		if n != want {
			t.Errorf("%v (%d) is listed %d times, want %d", s, s, n, want)
		}
	}
}
