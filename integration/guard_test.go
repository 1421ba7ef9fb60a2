// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startGuarded starts muontrap with --guard and waits until both processes hear
// every signal. It returns the pid of the second one.
func startGuarded(t *testing.T, args ...string) (h *host, worker int) {
	t.Helper()
	h = start(t, append([]string{"--guard", "--capture-output"}, args...)...)
	eventually(t, "the worker", func() bool {
		kids := children(h.cmd.Process.Pid)
		if len(kids) == 0 {
			return false
		}
		worker = kids[0]
		return hearsAll(t, h.cmd.Process.Pid) && hearsAll(t, worker)
	})
	return h, worker
}

func sigkill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

const workerKilled = "the muontrap under guard was killed"

// stubborn makes what it runs ignore SIGTERM.
var stubborn = []string{"sh", "-c", `trap '' TERM; exec "$@"`, "sh"}

// manners are how programs take SIGTERM, and delays to go with that.
var manners = map[string][]string{
	"heeds SIGTERM":   {"-k1000000", "--"},
	"ignores SIGTERM": append([]string{"-k100", "--"}, stubborn...),
}

func TestGuardStopsWhatAKilledWorkerLeaves(t *testing.T) {
	for _, s := range shapes() {
		for name, options := range manners {
			t.Run(s.name+" "+name, func(t *testing.T) {
				t.Parallel()
				h, worker := startGuarded(t, slices.Concat(options, s.program)...)
				h.awaitReady(1 + s.n)
				sigkill(t, worker)
				h.wantStatus(128 + 9)
				h.wantNothingLeft()
				h.wantOneMessage(workerKilled)
			})
		}
	}
}

func TestWorkerStopsEverythingWhenTheGuardIsKilled(t *testing.T) {
	for _, s := range shapes() {
		for name, options := range manners {
			t.Run(s.name+" "+name, func(t *testing.T) {
				t.Parallel()
				h, _ := startGuarded(t, slices.Concat(options, s.program)...)
				h.awaitReady(1 + s.n)
				h.kill(syscall.SIGKILL)
				eventually(t, "the end of all", func() bool { return len(tagged(h.tag)) == 0 })
			})
		}
	}
}

func TestWorkerKilledAmidTheStopIsReplaced(t *testing.T) {
	h, worker := startGuarded(t, "-k1000", "--", "sh", "-c",
		`trap '' TERM; (setsid sleep 1000 &); trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done`)
	h.awaitReady(3)
	h.kill(syscall.SIGTERM)
	if got := h.readLine(); got != "told" {
		t.Fatalf("got %q", got)
	}
	sigkill(t, worker)
	h.wantStatus(128 + 9)
	h.wantNothingLeft()
	h.wantOneMessage(workerKilled)
}

func TestGuardHonoursKillModeProcess(t *testing.T) {
	h, worker := startGuarded(t, "--kill-mode=process", "-k100", "--", "sh", "-c",
		"setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; exec sleep 1000")
	h.killLeftovers()
	daemon := h.readPID()
	sigkill(t, worker)
	h.wantStatus(128 + 9)
	if left := tagged(h.tag); !slices.Equal(left, []int{daemon}) {
		t.Errorf("left are %v (%s), want %d only", left, describeAll(left), daemon)
	}
}

// testGroup makes up the name of a cgroup that is gone when the test is over.
func testGroup(t *testing.T) string {
	t.Helper()
	group := fmt.Sprintf("mt_test_%d_%d/program", os.Getpid(), tags.Add(1))
	t.Cleanup(func() {
		for _, path := range []string{group, filepath.Dir(group)} {
			for _, dir := range groupDirs(path) {
				t.Errorf("%s is left", dir)
				_ = os.Remove(dir)
			}
		}
	})
	return group
}

// groupDirs lists a group's directories in all hierarchies.
func groupDirs(group string) []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/" + group)
	v2, _ := filepath.Glob("/sys/fs/cgroup/" + group)
	return append(v1, v2...)
}

func TestGuardRemovesTheCgroupOfAKilledWorker(t *testing.T) {
	for name, options := range map[string][]string{
		"heeds SIGTERM":   {"-k1000000", "--", "sh", "-c"},
		"ignores SIGTERM": {"-k100", "--", "sh", "-c"},
	} {
		t.Run(name, func(t *testing.T) {
			group := testGroup(t)
			prepare := ""
			if name == "ignores SIGTERM" {
				prepare = "trap '' TERM; "
			}
			h, worker := startGuarded(t, append(append([]string{"--group", group}, options...),
				prepare+"(setsid sleep 1000 &); sleep 1000 & echo ready; wait")...)
			h.awaitReady(4)
			if len(groupDirs(group)) == 0 {
				t.Fatal("no cgroup")
			}
			sigkill(t, worker)
			h.wantStatus(128 + 9)
			h.wantNothingLeft()
			h.wantOneMessage(workerKilled)
			if dirs := groupDirs(group); len(dirs) > 0 {
				t.Errorf("left: %q", dirs)
			}
		})
	}
}

func TestWorkerRemovesTheCgroupWhenTheGuardIsKilled(t *testing.T) {
	group := testGroup(t)
	h, _ := startGuarded(t, "--group", group, "-k100", "--", "sh", "-c", "trap '' TERM; (setsid sleep 1000 &); echo ready; sleep 1000; true")
	h.awaitReady(4)
	h.kill(syscall.SIGKILL)
	eventually(t, "the end of all", func() bool { return len(tagged(h.tag)) == 0 && len(groupDirs(group)) == 0 })
}

func TestGuardPassesSignalsOn(t *testing.T) {
	for _, sig := range terminating() {
		t.Run(strconv.Itoa(int(sig)), func(t *testing.T) {
			t.Parallel()
			h, _ := startGuarded(t, "-k1000000", "--", "sh", "-c", "trap 'echo told; exit' TERM; echo ready; while :; do sleep 0.05; done")
			h.awaitReady(2)
			h.kill(sig)
			h.wantOutput("told\n")
			h.wantStatus(128 + int(sig))
			h.wantNothingLeft()
			h.wantNoMessages()
		})
	}
}

func TestGuardChangesNoEnding(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		end  func(*host)
	}{
		"success":            {[]string{"sh", "-c", "echo hello"}, nil},
		"failure":            {[]string{"sh", "-c", "echo hello; exit 3"}, nil},
		"killed":             {[]string{"sh", "-c", "kill -9 $$"}, nil},
		"core dump":          {[]string{"sh", "-c", "ulimit -c 0; kill -ABRT $$"}, nil},
		"status 255":         {[]string{"sh", "-c", "exit 255"}, nil},
		"status like a kill": {[]string{"sh", "-c", "exit 137"}, nil},
		"not found":          {[]string{"/nonexistent/program"}, nil},
		"not runnable":       {[]string{"/dev/null"}, nil},
		"unknown user":       {[]string{"--uid", "no such user", "true"}, nil},
		"user 0":             {[]string{"--uid", "0", "true"}, nil},
		"no such controller": {[]string{"-c", "nonsense", "-g", "mt_test_none", "true"}, nil},
		"unknown option":     {[]string{"--nonsense", "true"}, nil},
		"stdin end":          {[]string{"sleep", "1000"}, (*host).closeStdin},
		"over-ack":           {[]string{"sleep", "1000"}, func(h *host) { h.ack(10) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var output, messages [2]string
			var status [2]int
			for i, options := range [][]string{{"--capture-output"}, {"--guard", "--capture-output"}} {
				h := start(t, append(options, c.args...)...)
				if c.end != nil {
					c.end(h)
				}
				output[i] = string(h.readAll())
				status[i] = h.status()
				messages[i] = h.messages()
				h.wantNothingLeft()
			}
			if output[0] != output[1] || status[0] != status[1] || messages[0] != messages[1] {
				t.Errorf("without and with it: output %q, status %d, messages %q", output, status, messages)
			}
		})
	}
}

func TestOutputIsExactThroughAGuardedMuontrap(t *testing.T) {
	const n = 1 << 20
	h := start(t, "--guard", "--capture-output", "--", self, "@bytes", strconv.Itoa(n))
	if !bytes.Equal(h.readAll(), testBytes(n)) {
		t.Error("the bytes differ")
	}
	h.wantStatus(0)
	h.wantNoMessages()
}

func TestOwnExitUnderGuardLeavesDescendantsAlone(t *testing.T) {
	h := start(t, append([]string{"--guard", "--capture-output", "--"}, leaver("")...)...)
	h.killLeftovers()
	daemon := h.readPID()
	h.wantStatus(3)
	if left := tagged(h.tag); !slices.Equal(left, []int{daemon}) {
		t.Errorf("left are %s, want %d only", describeAll(left), daemon)
	}
}

func TestGuardHoldsNoPipeOfTheHosts(t *testing.T) {
	h, _ := startGuarded(t, "sh", "-c", "echo ready; sleep 1000")
	h.awaitReady(2)
	var pipes []string
	for _, f := range []*os.File{h.stdin, h.stdout} {
		withFD(t, f, func(fd int) error {
			pipes = append(pipes, descriptor(t, os.Getpid(), fd))
			return nil
		})
	}
	guard := h.cmd.Process.Pid
	for _, fd := range descriptors(guard) {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", guard, fd))
		if slices.Contains(pipes, link) {
			t.Errorf("descriptor %s is %s", fd, link)
		}
	}
	for fd := range 2 {
		if got := descriptor(t, guard, fd); got != "/dev/null" {
			t.Errorf("descriptor %d is %s", fd, got)
		}
	}
}

func TestGuardHoldsNoTerminal(t *testing.T) {
	master, slave := openPTY(t)
	makeRaw(t, slave)
	h := startWith(t, func(c *exec.Cmd) { c.Stdin, c.Stdout = slave, slave }, "--guard", "--capture-output", "sh", "-c", "echo ready; exec sleep 1000")
	line := make([]byte, len("ready\n"))
	if _, err := master.Read(line); err != nil || string(line) != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	guard := h.cmd.Process.Pid
	for _, fd := range descriptors(guard) {
		if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", guard, fd)); strings.HasPrefix(link, "/dev/pts/") {
			t.Errorf("descriptor %s is %s", fd, link)
		}
	}
	h.kill(syscall.SIGTERM)
	h.wantStatus(128 + 15)
}

// A guard that stands still keeps nobody from seeing the end of the output.
func TestEndOfOutputIsSeenWithoutTheGuard(t *testing.T) {
	h, _ := startGuarded(t, "sh", "-c", "echo ready; exec sleep 1000")
	h.awaitReady(2)
	pause(t, h.cmd.Process.Pid)
	h.closeStdin()
	h.readRest()
	h.kill(syscall.SIGCONT)
	h.wantStatus(1)
}

func TestProgramSeesNothingOfTheGuard(t *testing.T) {
	var seen [2]string
	for i, options := range [][]string{{"--capture-output"}, {"--guard", "--capture-output"}} {
		h := startWith(t, func(c *exec.Cmd) {
			c.Env = []string{c.Env[len(c.Env)-1], "PATH=" + os.Getenv("PATH"), "FOO=bar"} // the tag is the last
		}, append(options, "sh", "-c", `
			env | grep -v ^MUONTRAP_TEST= | sort
			for fd in /proc/$$/fd/*; do
				link=$(readlink $fd) && echo "${fd##*/} is ${link%%[:0-9]*}"
			done
			grep -E '^(Sig...:|Cap|NoNewPrivs|Groups|Uid|Gid)' /proc/self/status
			ulimit -a; pwd; umask`)...)
		seen[i] = string(h.readAll())
		h.wantStatus(0)
	}
	if seen[0] != seen[1] || !strings.Contains(seen[0], "FOO=bar") {
		t.Errorf("without:\n%s\nwith:\n%s", seen[0], seen[1])
	}
}

func TestGuardIsIdle(t *testing.T) {
	h, _ := startGuarded(t, "sh", "-c", "echo ready; exec sleep 1000")
	h.awaitReady(2)
	h.wantIdle()
}

// What the guard costs, for the record, and a bound to notice a change of kind.
func TestGuardIsSmall(t *testing.T) {
	h, worker := startGuarded(t, "sh", "-c", "echo ready; exec sleep 1000")
	h.awaitReady(2)
	for name, pid := range map[string]int{"guard": h.cmd.Process.Pid, "worker": worker} {
		kB := anonymous(t, pid)
		t.Logf("%s: %d kB anonymous, %d threads", name, kB, threads(pid))
		if kB == 0 || kB > 1024 || threads(pid) != 1 {
			t.Errorf("the %s has %d kB and %d threads", name, kB, threads(pid))
		}
	}
	for _, options := range [][]string{nil, {"--guard"}} {
		const rounds = 50
		begin := time.Now()
		for range rounds {
			start(t, append(options, "true")...).wantStatus(0)
		}
		t.Logf("options %q: %v a run", options, time.Since(begin)/rounds)
	}
}

// anonymous is how many kilobytes of anonymous memory a process has.
func anonymous(t *testing.T, pid int) (kB int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(procStatus(text)["Anonymous"], "%d kB", &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
