// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var faultNumbers = []syscall.Errno{unix.EPERM, unix.ESRCH, unix.EINTR, unix.ENOMEM, unix.EMFILE, unix.ENOSYS}

// A stopFault is a call of the stop path that fails all the time.
type stopFault struct {
	name  string
	fault func(syscall.Errno) []fault
}

func always(nr uintptr) func(syscall.Errno) []fault {
	return func(err syscall.Errno) []fault { return []fault{failing(nr, err)} }
}

func when(nr uintptr, arg int, mask, bits uint32) func(syscall.Errno) []fault {
	return func(err syscall.Errno) []fault { return []fault{failingIf(nr, arg, mask, bits, err)} }
}

// faulty is a muontrap of a family of three whose stop goes wrong somewhere.
type faulty struct {
	*host
	name string
}

// stopFaulty starts muontrap for each fault and errno, with a family that heeds
// SIGTERM and one that does not, stops them all, and returns them when all have
// ended: those that wait for what never comes do so together.
func stopFaulty(t *testing.T, options []string, faults ...stopFault) []faulty {
	t.Helper()
	var all []faulty
	for _, f := range faults {
		for _, err := range faultNumbers {
			for _, kind := range []string{"heeding", "stubborn"} {
				name := f.name + " " + unix.ErrnoName(err) + " " + kind
				args := append(append([]string{"-k200", "--capture-output"}, options...), "--", self, "@kin", kind)
				h := startWith(t, throughFaults(f.fault(err)...), args...)
				h.killLeftovers()
				all = append(all, faulty{h, name})
			}
		}
	}
	for _, f := range all {
		if got := string(f.read(len("ready\n"))); got != "ready\n" {
			t.Fatalf("%s: %q", f.name, got)
		}
		f.closeStdin()
	}
	for _, f := range all {
		f.wantOrderlyEnd()
	}
	return all
}

// wantOrderlyEnd checks the status, and that muontrap neither crashed nor spun.
func (f *faulty) wantOrderlyEnd() {
	f.t.Helper()
	if got := f.status(); got != 1 {
		f.t.Errorf("%s: status %d; messages: %q", f.name, got, f.messages())
	}
	usage := f.cmd.ProcessState
	if used := usage.UserTime() + usage.SystemTime(); used > 3*time.Second {
		f.t.Errorf("%s: it used %v of CPU", f.name, used)
	}
	for line := range strings.Lines(f.messages()) {
		if !strings.HasPrefix(line, "muontrap: ") || strings.Contains(line, "internal error") {
			f.t.Errorf("%s: message %q", f.name, line)
		}
	}
}

func TestExplore(t *testing.T) {
	t.Parallel()
	for _, f := range stopFaulty(t, nil,
		stopFault{"kill", always(unix.SYS_KILL)},
		stopFault{"pidfd_send_signal", always(unix.SYS_PIDFD_SEND_SIGNAL)},
		stopFault{"pidfd_open", always(unix.SYS_PIDFD_OPEN)},
		stopFault{"opendir", when(unix.SYS_OPENAT, 2, unix.O_DIRECTORY, unix.O_DIRECTORY)},
		stopFault{"open", when(unix.SYS_OPENAT, 2, ^uint32(0), unix.O_CLOEXEC)},
		stopFault{"getdents64", always(unix.SYS_GETDENTS64)},
		stopFault{"subreaper", when(unix.SYS_PRCTL, 0, ^uint32(0), unix.PR_SET_CHILD_SUBREAPER)},
		stopFault{"fcntl", always(unix.SYS_FCNTL)},
		stopFault{"fstatat", always(unix.SYS_NEWFSTATAT)},
		stopFault{"wait4", always(unix.SYS_WAIT4)},
		stopFault{"ioctl", always(unix.SYS_IOCTL)},
		stopFault{"splice", always(unix.SYS_SPLICE)},
		stopFault{"read stdin", when(unix.SYS_READ, 0, ^uint32(0), 0)},
	) {
		t.Logf("%s: %q left %d", f.name, f.messages(), len(tagged(f.tag)))
	}
}
