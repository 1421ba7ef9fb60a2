// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// masks are sets of signals to be blocked at the start.
var masks = map[string][]syscall.Signal{
	"SIGCHLD": {syscall.SIGCHLD},
	"SIGTERM": {syscall.SIGTERM},
	"all":     allSignals(),
}

func allSignals() (all []syscall.Signal) {
	for s := syscall.Signal(1); s <= 64; s++ {
		all = append(all, s)
	}
	return all
}

func TestBlockedSignalsAreNotHandedDown(t *testing.T) {
	for name, mask := range masks {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughMask(mask...), "--capture-output", "cat", "/proc/self/status")
			if set := signalSet(t, procStatus(h.readAll())["SigBlk"]); len(set) > 0 {
				t.Errorf("the program has %v blocked", set)
			}
			h.wantStatus(0)
		})
	}
}

func TestProgramEndsThoughSignalsWereBlocked(t *testing.T) {
	for name, mask := range masks {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughMask(mask...), "--capture-output", "sh", "-c", "echo ready; kill -USR2 $$")
			h.wantOutput("ready\n")
			h.wantStatus(128 + 12)
		})
	}
}

func TestBlockedSIGTERMStillStops(t *testing.T) {
	for name, mask := range masks {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, throughMask(mask...), "--capture-output", "--delay-to-sigkill", "20000", "--", self, "@last-words", "1000")
			h.armed()
			if got := h.readLine(); got != "ready" {
				t.Fatalf("got %q", got)
			}
			h.kill(syscall.SIGTERM)
			h.wantOutput(string(testBytes(1000)))
			h.wantStatus(128 + 15)
		})
	}
}

// ignoring lets muontrap inherit ignored signals.
func ignoring(names string) func(*exec.Cmd) { return throughShell("trap '' " + names) }

func TestIgnoredSignalsAreNotHandedDown(t *testing.T) {
	for _, c := range []struct {
		names string
		sigs  []syscall.Signal
	}{
		{"PIPE", []syscall.Signal{syscall.SIGPIPE}},
		{"CHLD", []syscall.Signal{syscall.SIGCHLD}},
		{"INT", []syscall.Signal{syscall.SIGINT}},
		{"TERM", []syscall.Signal{syscall.SIGTERM}},
		{"PIPE CHLD INT TERM HUP", []syscall.Signal{syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM}},
	} {
		t.Run(c.names, func(t *testing.T) {
			h := startWith(t, ignoring(c.names), "--capture-output", "cat", "/proc/self/status")
			set := signalSet(t, procStatus(h.readAll())["SigIgn"])
			for _, s := range c.sigs {
				if set[s] {
					t.Errorf("the program ignores %v", s)
				}
			}
			h.wantStatus(0)
		})
	}
}

func TestProgramUnderNohupIgnoresSIGHUP(t *testing.T) {
	h := startWith(t, ignoring("HUP"), "--capture-output", "cat", "/proc/self/status")
	if !signalSet(t, procStatus(h.readAll())["SigIgn"])[syscall.SIGHUP] {
		t.Error("the program does not ignore SIGHUP")
	}
	h.wantStatus(0)
}

// startIgnoring starts muontrap with these signals ignored and waits until it
// hears all that it will.
func startIgnoring(t *testing.T, names string, args ...string) *host {
	t.Helper()
	h := startWith(t, ignoring(names), args...)
	h.armed()
	return h
}

func TestMuontrapUnderNohupOutlivesSIGHUP(t *testing.T) {
	h := startIgnoring(t, "HUP", "sleep", "1000")
	h.kill(syscall.SIGHUP)
	h.kill(syscall.SIGTERM) // would come second, if the first had been heard
	h.wantStatus(128 + 15)
}

func TestIgnoredSignalStillStops(t *testing.T) {
	for _, c := range []struct {
		name string
		sig  syscall.Signal
	}{
		{"INT", syscall.SIGINT}, {"TERM", syscall.SIGTERM}, {"PIPE", syscall.SIGPIPE}, {"QUIT", syscall.SIGQUIT}, {"USR1", syscall.SIGUSR1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := startIgnoring(t, c.name, "sleep", "1000")
			h.kill(c.sig)
			h.wantStatus(128 + int(c.sig))
		})
	}
}

func TestIgnoredSIGINTReachesTheProgram(t *testing.T) {
	h := startIgnoring(t, "INT", "--capture-output", "sh", "-c", "echo $$; exec sleep 1000")
	if err := syscall.Kill(h.readPID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	h.wantStatus(128 + 2)
}

func TestIgnoredSIGCHLDLosesNoStatus(t *testing.T) {
	for range 20 {
		startWith(t, ignoring("CHLD"), "sh", "-c", "exit 3").wantStatus(3)
	}
}

func TestUnrelatedChildDoesNotConfuseTheStatus(t *testing.T) {
	for _, c := range []struct{ name, job string }{
		{"ended before", "(exit 9) & sleep 0.1;"},
		{"ends meanwhile", "(sleep 0.1; exit 9) &"},
		{"killed meanwhile", "sh -c 'sleep 0.1; kill -9 $$' &"},
		{"ends after", "sleep 1 &"},
		{"several", "(exit 9) & (exit 8) & (exit 7) & sleep 0.1 &"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := startWith(t, through("/bin/sh", "-c", c.job+` exec "$@"`, "sh"), "sh", "-c", "sleep 0.3; exit 3")
			h.wantStatus(3)
		})
	}
}

func TestUnrelatedChildIsNotSignalled(t *testing.T) {
	file := t.TempDir() + "/pid"
	h := startWith(t, throughShell("sleep 1000 & echo $! >"+file), "--capture-output", "sh", "-c", "echo $$; exec sleep 1000")
	program := h.readPID()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	job, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(job, syscall.SIGKILL) })
	h.closeStdin()
	h.wantStatus(1)
	if alive(program) {
		t.Error("the program was not stopped")
	}
	if !alive(job) {
		t.Error("the shell's background job was stopped too")
	}
}

func TestDescriptorLimitIsAsInherited(t *testing.T) {
	h := startWith(t, throughShell("ulimit -S -n 100; ulimit -H -n 200"),
		"--capture-output", "sh", "-c", "ulimit -S -n; ulimit -H -n")
	h.wantOutput("100\n200\n")
	h.wantStatus(0)
}

func TestFewDescriptorsAreEnough(t *testing.T) {
	h := startWith(t, throughShell("ulimit -n 32"), "--capture-output", "--", "sh", "-c", "seq 1 10000; exit 3")
	if got := strings.Count(string(h.readAll()), "\n"); got != 10000 {
		t.Errorf("%d lines, want 10000", got)
	}
	h.wantStatus(3)
}

func TestTooFewDescriptorsStartNothing(t *testing.T) {
	started := 0
	for n := 3; n <= 24; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := startWith(t, throughShell(fmt.Sprintf("ulimit -n %d", n)), "--capture-output", "--", "echo", "started")
			output := string(h.readAll())
			switch status := h.status(); {
			case status == 0 && output == "started\n":
				started++
			case status == 1 && output == "":
				h.wantOneMessage("too many open files")
			default:
				t.Errorf("status %d, output %q, messages %q", status, output, h.messages())
			}
		})
	}
	if started == 0 || started == 22 {
		t.Errorf("%d of 22 started", started)
	}
}
