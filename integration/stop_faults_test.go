// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var faultNumbers = []syscall.Errno{unix.EPERM, unix.ESRCH, unix.EINTR, unix.ENOMEM, unix.EMFILE, unix.ENOSYS}

// A stopFault is a call of the stop path that fails all the time, with every
// number but those that make no sense.
type stopFault struct {
	name   string
	make   func(syscall.Errno) fault
	except []syscall.Errno
}

func always(nr uintptr) func(syscall.Errno) fault {
	return func(err syscall.Errno) fault { return failing(nr, err) }
}

func when(nr uintptr, arg int, mask, bits uint32) func(syscall.Errno) fault {
	return func(err syscall.Errno) fault { return failingIf(nr, arg, mask, bits, err) }
}

var (
	faultKill      = stopFault{"kill", always(unix.SYS_KILL), []syscall.Errno{unix.ESRCH}}
	faultOpendir   = stopFault{"opendir", when(unix.SYS_OPENAT, 2, unix.O_DIRECTORY, unix.O_DIRECTORY), nil}
	faultOpen      = stopFault{"open", when(unix.SYS_OPENAT, 2, ^uint32(0), unix.O_CLOEXEC), nil}
	faultReaddir   = stopFault{"getdents64", always(unix.SYS_GETDENTS64), []syscall.Errno{unix.EINTR}} // for ever: Go goes on for ever
	faultSubreaper = stopFault{"subreaper", when(unix.SYS_PRCTL, 0, ^uint32(0), unix.PR_SET_CHILD_SUBREAPER), nil}
	faultWait      = stopFault{"wait4", always(unix.SYS_WAIT4), []syscall.Errno{unix.EINTR}} // as above

	// Those with another way round them.
	harmlessFaults = []stopFault{
		{"kill finds nobody", always(unix.SYS_KILL), []syscall.Errno{unix.EPERM, unix.EINTR, unix.ENOMEM, unix.EMFILE, unix.ENOSYS}},
		{"pidfd_send_signal", always(unix.SYS_PIDFD_SEND_SIGNAL), []syscall.Errno{unix.ESRCH}}, // believed
		{"pidfd_open", always(unix.SYS_PIDFD_OPEN), nil},
		{"pipe size", when(unix.SYS_FCNTL, 1, ^uint32(0), unix.F_GETPIPE_SZ), nil},
		{"ioctl", always(unix.SYS_IOCTL), nil},
		{"reading stdin", when(unix.SYS_READ, 0, ^uint32(0), 0), []syscall.Errno{unix.EINTR}},
	}
)

// faulty is a muontrap of a family of three in which something always fails.
type faulty struct {
	*host
	name string
	err  syscall.Errno
}

// stopFaulty starts muontrap for each fault and number, with a family that heeds
// SIGTERM and one that does not. It stops them all and returns them when they
// have ended: those that wait for what never comes do so together.
func stopFaulty(t *testing.T, options []string, faults ...stopFault) []faulty {
	t.Helper()
	var all []faulty
	for _, f := range faults {
		for _, err := range faultNumbers {
			if slices.Contains(f.except, err) {
				continue
			}
			for _, kind := range []string{"heeding", "stubborn"} {
				args := append(append([]string{"-k200", "--capture-output"}, options...), "--", self, "@kin", kind)
				h := startWith(t, throughFaults(f.make(err)), args...)
				h.killLeftovers()
				all = append(all, faulty{h, f.name + ", " + unix.ErrnoName(err) + ", " + kind, err})
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

// No test here is parallel to others: their load would be counted as a spin.

// wantOrderlyEnd checks that muontrap ended as promised, did not spin, and wrote
// nothing but its messages.
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

func (f *faulty) wantLeft(atMost int) {
	f.t.Helper()
	if left := tagged(f.tag); len(left) > atMost {
		f.t.Errorf("%s: left behind: %s", f.name, describeAll(left))
	}
}

func (f *faulty) wantMessages(lines int, words string) {
	f.t.Helper()
	got := f.messages()
	if n := strings.Count(got, "\n"); n != lines || !strings.Contains(got, words) {
		f.t.Errorf("%s: messages %q, want %d lines, with %q", f.name, got, lines, words)
	}
}

func TestFaultThatCanBeGotRoundLeavesNothing(t *testing.T) {
	for _, options := range [][]string{nil, {"--guard"}, {"--kill-mode=all"}} {
		for _, f := range stopFaulty(t, options, harmlessFaults...) {
			f.wantLeft(0)
			f.wantMessages(0, "")
		}
	}
}

func TestProgramThatCannotBeToldIsKilledWithTheRest(t *testing.T) {
	for _, f := range stopFaulty(t, nil, faultKill) {
		f.wantLeft(0)
		f.wantMessages(1, "cannot send SIGTERM to process")
	}
}

// Without /proc only the program is known. That there is more is known, too.
func TestUnreadableProcIsSaidAndEndsTheStop(t *testing.T) {
	for _, f := range stopFaulty(t, nil, faultOpendir, faultOpen, faultReaddir) {
		f.wantLeft(2)
		f.wantMessages(2, "/proc does not tell")
	}
}

func TestWithoutSubreaperItIsSaidThatProcessesCanEscape(t *testing.T) {
	for _, f := range stopFaulty(t, nil, faultSubreaper) {
		f.wantLeft(2)
		f.wantMessages(1, "cannot become a child subreaper")
	}
}

func TestStopEndsThoughNobodyCanBeWaitedFor(t *testing.T) {
	for _, f := range stopFaulty(t, nil, faultWait) {
		f.wantLeft(0)
	}
}

func TestGuardThatCannotBeStartsNothing(t *testing.T) {
	for name, f := range map[string]fault{
		"no process":   noProcess(unix.EAGAIN),
		"no memory":    noProcess(unix.ENOMEM),
		"no subreaper": faultSubreaper.make(unix.EPERM),
	} {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughFaults(f), "--guard", "--capture-output", "--", "echo", "started")
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(f.err.Error())
		})
	}
}

func TestGuardWithoutPollDoesNotSpin(t *testing.T) {
	for _, err := range []syscall.Errno{unix.EINVAL, unix.ENOMEM, unix.EINTR} {
		t.Run(unix.ErrnoName(err), func(t *testing.T) {
			// Only the guard waits for one descriptor.
			h := startWith(t, throughFaults(failingIf(unix.SYS_PPOLL, 1, ^uint32(0), 1, err)), "--guard", "--capture-output", "--", self, "@kin")
			h.awaitReady(4)
			h.wantIdle()
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

func TestFaultInTheStopOfACgroupLeavesNoProcess(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   fault
		message string // "": none, and the cgroup is gone
	}{
		{"openat2 EPERM", failing(unix.SYS_OPENAT2, unix.EPERM), ""},
		{"openat2 ENOSYS", failing(unix.SYS_OPENAT2, unix.ENOSYS), ""},
		{"getdents64 EPERM", failing(unix.SYS_GETDENTS64, unix.EPERM), ""},
		{"getdents64 ENOMEM", failing(unix.SYS_GETDENTS64, unix.ENOMEM), ""},
		{"pidfd_open EPERM", failing(unix.SYS_PIDFD_OPEN, unix.EPERM), ""},
		{"pidfd_open EMFILE", failing(unix.SYS_PIDFD_OPEN, unix.EMFILE), ""},
		{"pidfd_send_signal ENOSYS", failing(unix.SYS_PIDFD_SEND_SIGNAL, unix.ENOSYS), ""},
		{"pidfd_send_signal EPERM", failing(unix.SYS_PIDFD_SEND_SIGNAL, unix.EPERM), ""},
		{"cgroup.kill EPERM", failingIf(unix.SYS_WRITE, 2, ^uint32(0), 1, unix.EPERM), ""},
		{"cgroup.kill ENOMEM", failingIf(unix.SYS_WRITE, 2, ^uint32(0), 1, unix.ENOMEM), ""},
		{"kill EPERM", failing(unix.SYS_KILL, unix.EPERM), "cannot send SIGTERM to process"},
		{"unlinkat EPERM", failing(unix.SYS_UNLINKAT, unix.EPERM), "cannot remove /sys/fs/cgroup/"},
		{"unlinkat ENOMEM", failing(unix.SYS_UNLINKAT, unix.ENOMEM), "cannot remove /sys/fs/cgroup/"},
		{"unlinkat EBUSY", failing(unix.SYS_UNLINKAT, unix.EBUSY), "cannot remove /sys/fs/cgroup/"},
	} {
		for _, kind := range []string{"heeding", "stubborn"} {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				group := testGroup(t)
				h := startWith(t, throughFaults(c.fault, noRuntimePoller), "--group", group, "-k200", "--capture-output", "--", self, "@kin", kind)
				h.killLeftovers()
				if got := string(h.read(len("ready\n"))); got != "ready\n" {
					t.Fatalf("got %q", got)
				}
				h.closeStdin()
				f := faulty{h, c.name, c.fault.err}
				f.wantOrderlyEnd()
				f.wantLeft(0)
				if c.message == "" {
					h.wantNoMessages()
				} else {
					h.wantOneMessage(c.message)
				}
				if dirs := groupDirs(group); strings.HasPrefix(c.message, "cannot remove") {
					removeDirs(group)
				} else if len(dirs) > 0 {
					t.Errorf("left: %q", dirs)
				}
			})
		}
	}
}

// The group is made step by step: whichever fails, those before are undone.
func TestFaultInTheSetupOfACgroupLeavesNoDirectory(t *testing.T) {
	for name, faults := range map[string][]fault{
		"mkdirat ENOSPC": {failing(unix.SYS_MKDIRAT, unix.ENOSPC)},
		"openat2 ENOMEM": {failing(unix.SYS_OPENAT2, unix.ENOMEM)},
		"openat2 EMFILE": {failing(unix.SYS_OPENAT2, unix.EMFILE)},
		"flock ENOSYS":   {failing(unix.SYS_FLOCK, unix.ENOSYS)},
		"flock ENOLCK":   {failing(unix.SYS_FLOCK, unix.ENOLCK)},
		"no process":     {noProcess(unix.EAGAIN), failing(unix.SYS_CLONE3, unix.EAGAIN)},
	} {
		t.Run(name, func(t *testing.T) {
			group := testGroup(t)
			h := startWith(t, throughFaults(faults...), "--group", group, "-c", "pids", "--capture-output", "--", "echo", "started")
			h.wantOutput("")
			h.wantStatus(1)
			h.wantOneMessage(faults[0].err.Error())
			if dirs := groupDirs(group); len(dirs) > 0 {
				t.Errorf("left: %q", dirs)
			}
		})
	}
}

// The marks make it easier to tell whose a group is; it works without.
func TestUnmarkedCgroupIsUsedAndRemoved(t *testing.T) {
	group := testGroup(t)
	h := startWith(t, throughFaults(failing(unix.SYS_FSETXATTR, unix.ENOTSUP)), "--group", group, "--capture-output", "--", "echo", "started")
	h.wantOutput("started\n")
	h.wantStatus(0)
	h.wantNoMessages()
	if dirs := groupDirs(group); len(dirs) > 0 {
		t.Errorf("left: %q", dirs)
	}
}

func removeDirs(group string) {
	for _, path := range []string{group, filepath.Dir(group)} {
		for _, dir := range groupDirs(path) {
			_ = os.Remove(dir)
		}
	}
}
