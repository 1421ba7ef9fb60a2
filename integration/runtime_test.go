// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// threads counts those of a process.
func threads(pid int) int {
	found, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	return len(found)
}

// calling starts this muontrap instead of the one that is tested.
func calling(binary string, env ...string) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Path = binary
		c.Env = append(c.Env, env...)
	}
}

func TestMuontrapHasOneThread(t *testing.T) {
	for _, options := range [][]string{nil, {"--kill-mode=all"}, {"--group", "a group"}} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			if len(options) == 2 {
				options = []string{options[0], testGroup(t)}
			}
			h := startArmed(t, append(options, "-k300", "--capture-output", "--", "sh", "-c", "trap 'echo told' TERM; echo ready; while :; do sleep 1000 & wait; done")...)
			h.awaitReady(1)
			if n := threads(h.cmd.Process.Pid); n != 1 {
				t.Errorf("%d threads", n)
			}
			h.kill(syscall.SIGTERM)
			if got := h.readLine(); got != "told" {
				t.Fatalf("got %q", got)
			}
			if n := threads(h.cmd.Process.Pid); n != 1 {
				t.Errorf("%d threads while it stops", n)
			}
			h.wantStatus(128 + 15)
		})
	}
}

// Collections begin at a limit of memory that hardly anything gets to: here they do.
func TestCollectionsNeedNoSecondThread(t *testing.T) {
	dir := copySources(t, "collecting")
	file := filepath.Join(dir, "internal/supervisor/run.go")
	before := readFile(t, file)
	after := strings.Replace(before, "memoryLimit = 32 << 20", "memoryLimit = 1 << 20", 1)
	if after == before {
		t.Fatal("the limit is not found")
	}
	writeFile(t, file, 0o644, after)
	binary := filepath.Join(dir, "muontrap")
	run(t, exec.Command("make", "-C", dir, "build"))
	h := startWith(t, calling(binary, "GODEBUG=gctrace=1"), "-k1000", "--capture-output", "--",
		"sh", "-c", "trap '' TERM; for i in $(seq 200); do sleep 1000 & done; echo ready; wait")
	h.awaitReady(1)
	h.closeStdin()
	eventually(t, "100 collections", func() bool { return strings.Contains(h.messages(), "gc 100 @") })
	if n := threads(h.cmd.Process.Pid); n != 1 {
		t.Errorf("%d threads", n)
	}
	h.wantStatus(1)
	for line := range strings.Lines(h.messages()) {
		if !strings.HasPrefix(line, "gc ") {
			t.Errorf("it says %q", line)
		}
	}
}

// Where the Makefile is not used, or does not know the release of Go, there are four
// threads. What signals and stops have to do with these is tested again.
func TestBuiltByGoAloneItKeepsItsPromises(t *testing.T) {
	plain := filepath.Join(openDir(t), "muontrap")
	run(t, exec.Command("go", "build", "-o", plain, "../cmd/muontrap"))
	c := exec.Command(self, "-test.run="+strings.Join([]string{"^TestEarly", "^TestGuard.*(Passes|Stops|Removes)", "^TestEnd",
		"Signal", "^TestForkStorm", "^TestForcedStop"}, "|"), "-test.skip=HasOneThread")
	c.Env = append(os.Environ(), "MUONTRAP="+plain)
	run(t, c)
}

func TestUnknownGoBuildsWithItsRuntimeAsItIs(t *testing.T) {
	dir := copySources(t, "unknown")
	writeFile(t, dir+"/goroot/src/runtime/proc.go", 0o644, "package runtime\n")
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/bin/go", 0o755, fmt.Sprintf(`#!/bin/sh
[ "$*" != "env GOROOT" ] || exec echo %s/goroot
exec %s "$@"
`, dir, goTool))
	c := exec.Command("make", "-C", dir, "build")
	c.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"))
	if out := run(t, c); !strings.Contains(out, "its runtime stays as it is") {
		t.Errorf("make says %s", out)
	}
	h := startWith(t, calling(dir+"/muontrap"), "--capture-output", "--", "sh", "-c", "echo ready; exec sleep 1000")
	h.awaitReady(1)
	if n := threads(h.cmd.Process.Pid); n == 1 {
		t.Errorf("%d thread", n)
	}
	h.closeStdin()
	h.wantStatus(1)
}

// run runs a command that has to succeed.
func run(t *testing.T, c *exec.Cmd) (output string) {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}
