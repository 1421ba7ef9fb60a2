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

// threadsOf runs a program through this muontrap, which has to end as usual.
func threadsOf(t *testing.T, binary string) int {
	t.Helper()
	h := startWith(t, calling(binary), "--capture-output", "--", "sh", "-c", "echo ready; exec sleep 1000")
	h.awaitReady(1)
	n := threads(h.cmd.Process.Pid)
	h.closeStdin()
	h.wantStatus(1)
	return n
}

// Whatever the host's environment asks of a Go runtime.
func TestMuontrapHasOneThread(t *testing.T) {
	for name, options := range map[string][]string{
		"tree": nil, "all": {"--kill-mode=all"}, "group": {"--group", testGroup(t)},
	} {
		t.Run(name, func(t *testing.T) {
			h := startWith(t, calling(muontrap, "GOMAXPROCS=8"), append(options, "-k300", "--capture-output", "--",
				"sh", "-c", "trap 'echo told' TERM; echo ready; while :; do sleep 1000 & wait; done")...)
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

// altered builds a muontrap in which one text of its sources is another.
func altered(t *testing.T, file, text, by string) (binary string) {
	t.Helper()
	dir := copySources(t, "altered")
	file = filepath.Join(dir, file)
	before := readFile(t, file)
	if strings.Count(before, text) != 1 {
		t.Fatalf("%q is not once in %s", text, file)
	}
	writeFile(t, file, 0o644, strings.Replace(before, text, by, 1))
	run(t, exec.Command("make", "-C", dir, "build"))
	return filepath.Join(dir, "muontrap")
}

// Collections begin at a limit of memory that hardly anything gets to: here they do.
func TestCollectionsNeedNoSecondThread(t *testing.T) {
	binary := altered(t, "internal/supervisor/run.go", "memoryLimit = 32 << 20", "memoryLimit = 1 << 20")
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

func TestLimitOfAddressSpaceIsForTheProgram(t *testing.T) {
	limited := exec.Command("sh", "-c", `ulimit -v 1300000; exec "$@"`, "sh",
		muontrap, "--watch=none", "--inherit-output", "--", "prlimit", "--as=200000000", "sh", "-c", "ulimit -v")
	if got := run(t, limited); got != "195312\n" {
		t.Errorf("the program has %q", got)
	}
}

// Of a bug, at least its name should be told.
func TestPanicSaysWhatItIs(t *testing.T) {
	binary := altered(t, "internal/supervisor/run.go", "\tcase opts.help:", "\tcase opts.window > 0:\n\t\tpanic(\"a bug\")\n\tcase opts.help:")
	for _, options := range [][]string{nil, {"--guard"}} {
		h := startWith(t, calling(binary), append(options, "true")...)
		h.wantStatus(2)
		if got := h.messages(); !strings.HasPrefix(got, "panic: a bug\n") {
			t.Errorf("%q: it says %s", options, got)
		}
	}
}

// Where the Makefile is not used, or does not know the release of Go, there are four
// threads. What signals and stops have to do with these is tested again.
func TestBuiltByGoAloneItKeepsItsPromises(t *testing.T) {
	plain := filepath.Join(openDir(t), "muontrap")
	run(t, exec.Command("go", "build", "-o", plain, "../cmd/muontrap"))
	c := exec.Command(self, "-test.v", "-test.run="+strings.Join([]string{"^TestEarly", "^TestGuard.*(Passes|Stops|Removes)", "^TestEnd", "^TestProgramGone",
		"Signal", "^TestForkStorm", "^TestForcedStop"}, "|"), "-test.skip=HasOneThread|CannotBeSignalled")
	c.Env = append(os.Environ(), "MUONTRAP="+plain)
	if n := strings.Count(run(t, c), "\n--- PASS: "); n < 20 {
		t.Errorf("only %d tests were run", n)
	}
}

func TestUnknownGoBuildsWithItsRuntimeAsItIs(t *testing.T) {
	original := readFile(t, strings.TrimSpace(run(t, exec.Command("go", "env", "GOROOT")))+"/src/runtime/proc.go")
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"another release": "GOVERSION) echo go1.99",
		"another line":    "GOROOT) echo $PWD/goroot",
	} {
		t.Run(name, func(t *testing.T) {
			dir := copySources(t, "unknown")
			writeFile(t, dir+"/goroot/src/runtime/proc.go", 0o644, strings.Replace(original, "\nconst haveSysmon = ", "\nconst haveSysmon bool = ", 1))
			writeFile(t, dir+"/bin/go", 0o755, fmt.Sprintf("#!/bin/sh\ncase $2 in %s ;; *) exec %s \"$@\" ;; esac\n", answer, goTool))
			c := exec.Command("make", "-C", dir, "build")
			c.Env = append(os.Environ(), "PATH="+dir+"/bin:"+os.Getenv("PATH"))
			if out := run(t, c); !strings.Contains(out, "its runtime stays as it is") {
				t.Errorf("make says %s", out)
			}
			if n := threadsOf(t, dir+"/muontrap"); n == 1 {
				t.Errorf("%d thread", n)
			}
		})
	}
}

// The runtime is fitted where signals have a handler of our own, and only there.
func TestRuntimeIsFittedToReleasesForLinux(t *testing.T) {
	for system, fitted := range map[string]bool{
		"linux/amd64": true, "linux/arm64": true, "linux/arm": true, "linux/riscv64": true, "linux/386": true,
		"linux/mips": true, "linux/mipsle": true,
		"linux/ppc64le": false, "darwin/arm64": false, "freebsd/amd64": false,
	} {
		goos, goarch, _ := strings.Cut(system, "/")
		c := exec.Command("scripts/runtime", t.TempDir())
		c.Dir = ".."
		c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch)
		if out := run(t, c); strings.HasPrefix(out, "-overlay=") != fitted {
			t.Errorf("%s: %q", system, out)
		}
	}
}

// Go and make are all that is needed, besides what every system has.
func TestBuildNeedsNoMoreThanPOSIX(t *testing.T) {
	bin := t.TempDir()
	for _, tool := range []string{"sh", "go", "make", "mktemp", "rm", "grep", "sed", "paste"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(bin, "muontrap")
	c := exec.Command("make", "-C", "..", "build", "BIN="+binary)
	c.Env = append(os.Environ(), "PATH="+bin, "CDPATH=/tmp:.")
	run(t, c)
	if n := threadsOf(t, binary); n != 1 {
		t.Errorf("%d threads", n)
	}
}
