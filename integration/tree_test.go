// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endings are ways to force a stop, and the status of each.
var endings = []struct {
	name   string
	end    func(*host)
	status int
}{
	{"stdin end", (*host).closeStdin, 1},
	{"SIGTERM", func(h *host) { h.kill(syscall.SIGTERM) }, 128 + 15},
	{"over-ack", func(h *host) { h.ack(1) }, 1},
}

// awaitReady reads the line by which a program says that all its processes are
// there, and waits until they are n.
func (h *host) awaitReady(n int) {
	h.t.Helper()
	if got := h.readLine(); got != "ready" {
		h.t.Fatalf("got %q; messages: %q", got, h.messages())
	}
	h.awaitMembers(n)
}

// awaitMembers waits until n processes or more descend from muontrap.
func (h *host) awaitMembers(n int) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d processes", n), func() bool { return len(descendants(h.cmd.Process.Pid)) >= n })
}

// descendants lists who descends from a process, zombies too.
func descendants(pid int) []int {
	all := children(pid)
	for i := 0; i < len(all); i++ {
		all = append(all, children(all[i])...)
	}
	return all
}

// wantNothingLeft checks that when muontrap is gone, all is.
func (h *host) wantNothingLeft() {
	h.t.Helper()
	if left := tagged(h.tag); len(left) > 0 {
		h.t.Errorf("left behind: %s", describeAll(left))
	}
}

func describeAll(pids []int) string {
	var b strings.Builder
	for _, pid := range pids {
		fmt.Fprintf(&b, "%d (%s) ", pid, processName(pid))
	}
	return b.String()
}

// shape is a tree that a program makes of n processes, itself included.
type shape struct {
	name    string
	program []string
	n       int
}

func shell(script string, args ...string) []string {
	return append([]string{"sh", "-c", script, "sh"}, args...)
}

func shapes() []shape {
	return []shape{
		{"grandchild", shell("sleep 1000 & echo ready; sleep 1000; true"), 3},
		{"double fork", shell("(sleep 1000 &); echo ready; sleep 1000; true"), 3},
		{"own session", shell("setsid sleep 1000 & echo ready; wait"), 2},
		{"daemon", shell("(setsid sleep 1000 <&- >&- 2>&- &); echo ready; exec sleep 1000"), 2},
		{"daemon of daemons", shell(`(setsid sh -c '(setsid sh -c "(setsid sleep 1000 &); exec sleep 1000" &); exec sleep 1000' &)
			echo ready; exec sleep 1000`), 4},
		{"nested subreaper", []string{self, "@subreaper", "sh", "-c", "sleep 1000 &"}, 2},
		{"another muontrap", shell(`echo ready; exec "$@"`, muontrap, "--", "sh", "-c", "(setsid sleep 1000 &); sleep 1000; true"), 4},
		{"tracer", []string{self, "@tracer"}, 2},
		{"vfork and exec", []string{"sh", "-c", "env sleep 1000 & echo ready; exec env sleep 1000"}, 2},
	}
}

// The delay is so long that it has to be SIGTERM that does it.
func TestForcedStopTerminatesTheWholeTree(t *testing.T) {
	for _, s := range shapes() {
		for _, e := range endings {
			t.Run(s.name+" "+e.name, func(t *testing.T) {
				t.Parallel()
				h := startArmed(t, append([]string{"-k1000000", "--capture-output", "--"}, s.program...)...)
				h.awaitReady(s.n)
				e.end(h)
				h.wantStatus(e.status)
				h.wantNothingLeft()
			})
		}
	}
}

func TestForcedStopKillsTheWholeTreeThatIgnoresSIGTERM(t *testing.T) {
	for _, s := range shapes() {
		for _, e := range endings {
			t.Run(s.name+" "+e.name, func(t *testing.T) {
				t.Parallel()
				h := startArmed(t, append([]string{"-k300", "--capture-output", "--", "sh", "-c", `trap '' TERM; exec "$@"`, "sh"}, s.program...)...)
				h.awaitReady(s.n)
				e.end(h)
				h.wantStatus(e.status)
				h.wantNothingLeft()
			})
		}
	}
}

func TestStoppedMembersHearSIGTERM(t *testing.T) {
	h := startArmed(t, "-k1000000", "--capture-output", "--", "sh", "-c", `
		(setsid sh -c 'trap "echo heard; exit" TERM; echo $$; while :; do sleep 0.05; done' &)
		exec sleep 1000`)
	member := h.readPID()
	pause(t, member)
	h.kill(syscall.SIGTERM)
	h.wantOutput("heard\n")
	h.wantStatus(128 + 15)
	h.wantNothingLeft()
}

func TestProgramIsToldFirstAndTheRestWhenItIsGone(t *testing.T) {
	h := startArmed(t, "-k1000000", "--capture-output", "--", "sh", "-c", `
		(sh -c 'trap "echo member told; exit" TERM; echo ready; while :; do sleep 0.05; done' &)
		trap 'echo program told; sleep 0.3; echo program gone; exit' TERM
		while :; do sleep 0.05; done`)
	h.awaitReady(2)
	h.kill(syscall.SIGTERM)
	h.wantOutput("program told\nprogram gone\nmember told\n")
	h.wantStatus(128 + 15)
}

func TestWhoIsForkedWhileOthersAreToldIsTold(t *testing.T) {
	for range 20 {
		h := startArmed(t, "-k1000000", "--capture-output", "--", "sh", "-c",
			"echo ready; (while :; do sleep 1000 & done) & exec sleep 1000")
		h.awaitReady(2)
		h.closeStdin()
		h.wantStatus(1)
		h.wantNothingLeft()
	}
}

// The program's time to end is the rest's, too: SIGKILL comes once, to all.
func TestOneDelayForAll(t *testing.T) {
	begin := time.Now()
	h := startArmed(t, "-k1000", "--capture-output", "--", "sh", "-c", `
		trap '' TERM
		(sleep 1000 &)
		echo ready
		exec sleep 1000`)
	h.awaitReady(2)
	h.closeStdin()
	h.wantStatus(1)
	h.wantNothingLeft()
	if took := time.Since(begin); took < time.Second {
		t.Errorf("killed after %v", took)
	}
}

func TestTracedProcessesAreKilled(t *testing.T) {
	for _, prefix := range []string{"exec", "setsid"} {
		t.Run(prefix, func(t *testing.T) {
			h := startArmed(t, "-k100", "--capture-output", "--", "sh", "-c",
				`(`+prefix+` "$0" @tracer stubborn &); exec sleep 1000`, self)
			h.awaitReady(3)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

func TestMembersInAnotherPIDNamespaceAreKilled(t *testing.T) {
	h := startArmed(t, "-k100", "--capture-output", "--", "unshare", "--pid", "--fork",
		"sh", "-c", "(setsid sleep 1000 &); (sleep 1000 &); echo ready; sleep 1000; true")
	h.awaitReady(5)
	h.closeStdin()
	h.wantStatus(1)
	h.wantNothingLeft()
}

func TestForkStormIsKilled(t *testing.T) {
	for name, program := range map[string][]string{
		"one process that forks on and on":     {self, "@breeder"},
		"three that do":                        shell(`"$1" @breeder & (setsid "$1" @breeder &) ; exec "$1" @breeder`, self),
		"a process that flees from pid to pid": {self, "@comets", "1"},
		"two that do":                          {self, "@comets", "2"},
		"thirty that do":                       {self, "@comets", "30"},
	} {
		for _, delay := range []string{"-k0", "-k200"} {
			t.Run(name+" "+delay, func(t *testing.T) {
				h := startArmed(t, append([]string{delay, "--capture-output", "--"}, program...)...)
				h.awaitReady(2)
				h.closeStdin()
				h.wantStatus(1)
				h.wantNothingLeft()
				h.wantNoMessages()
			})
		}
	}
}

func TestLongChainIsStopped(t *testing.T) {
	for _, prepare := range []string{"", "trap '' TERM; "} {
		t.Run(prepare, func(t *testing.T) {
			h := startArmed(t, "-k2000", "--capture-output", "--", "sh", "-c", prepare+`
				descend() {
					if [ $1 -gt 0 ]; then descend $(($1 - 1)) & wait; else echo ready; exec sleep 1000; fi
				}
				descend 300`)
			h.awaitReady(301)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

func TestThousandChildrenAreStopped(t *testing.T) {
	for _, prepare := range []string{"", "trap '' TERM; "} {
		t.Run(prepare, func(t *testing.T) {
			h := startArmed(t, "-k2000", "--capture-output", "--", "sh", "-c", prepare+`
				i=0
				while [ $i -lt 500 ]; do
					sleep 1000 &
					(sleep 1000 &)
					i=$((i + 1))
				done
				echo ready
				wait`)
			h.awaitReady(1001)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

// awaitNoZombies waits until the program is muontrap's only child.
func (h *host) awaitNoZombies(program int) {
	h.t.Helper()
	eventually(h.t, "muontrap to reap", func() bool { return slices.Equal(children(h.cmd.Process.Pid), []int{program}) })
}

func TestOrphansAreReapedWhileTheProgramRuns(t *testing.T) {
	for _, mode := range []string{"tree", "all"} {
		t.Run(mode, func(t *testing.T) {
			h := startArmed(t, "--kill-mode", mode, "--capture-output", "--", "sh", "-c", `
				i=0
				while [ $i -lt 1000 ]; do (: &); i=$((i + 1)); done
				echo $$
				exec sleep 1000`)
			h.awaitNoZombies(h.readPID())
			if used := h.cpuTicks(); used > 200 {
				t.Errorf("it used %d hundredths of a second", used)
			}
			h.wantIdle()
			h.kill(syscall.SIGTERM)
			h.wantStatus(128 + 15)
			h.wantNothingLeft()
		})
	}
}

func TestTenThousandZombiesAtOnceAreReaped(t *testing.T) {
	h := startArmed(t, "--capture-output", "--", "sh", "-c", `"$0" @zombies 10000; echo $$; exec sleep 1000`, self)
	program := h.readPID()
	begin := time.Now()
	h.awaitNoZombies(program)
	t.Logf("reaped %v after their parent's end", time.Since(begin))
	h.wantIdle()
	h.kill(syscall.SIGTERM)
	h.wantStatus(128 + 15)
}

func TestStatusIsTheProgramsAmongManyOrphans(t *testing.T) {
	for i := range 20 {
		h := start(t, "sh", "-c", fmt.Sprintf("(exit 9 &); (exit 8 &); (: &); exit %d", i))
		h.wantStatus(i)
	}
}

// leaver exits with 3 at once and leaves a daemon, whose pid it writes.
func leaver(prepare string) []string {
	return []string{"sh", "-c", prepare + "setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 3"}
}

func TestOwnExitLeavesDescendantsAlone(t *testing.T) {
	for _, options := range [][]string{nil, {"--kill-mode=tree"}, {"--kill-mode=process"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := start(t, append(append(options, "-k0", "--capture-output", "--"), leaver("")...)...)
			h.killLeftovers()
			daemon := h.readPID()
			h.wantStatus(3)
			h.wantNoMessages()
			if !alive(daemon) {
				t.Error("the daemon is gone")
			}
		})
	}
}

func TestKillModeAllStopsWhatTheProgramLeaves(t *testing.T) {
	for _, c := range []struct{ prepare, delay string }{
		{"", "-k1000000"}, {"trap '' TERM; ", "-k100"}, {"trap '' TERM; ", "-k0"},
	} {
		t.Run(c.prepare+c.delay, func(t *testing.T) {
			h := start(t, append([]string{"--kill-mode=all", c.delay, "--capture-output", "--"}, leaver(c.prepare)...)...)
			h.readPID()
			h.wantStatus(3)
			h.wantNoMessages()
			h.wantNothingLeft()
		})
	}
}

func TestKillModeAllWithNothingLeftTakesNoTime(t *testing.T) {
	h := start(t, "--kill-mode=all", "-k1000000", "--", "sh", "-c", "exit 3")
	h.wantStatus(3)
	h.wantNoMessages()
}

func TestForcedStopWithKillModeProcessLeavesDescendantsAlone(t *testing.T) {
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			h := startArmed(t, "--kill-mode=process", "--capture-output", "--", "sh", "-c",
				"sleep 1000 & (setsid sleep 1000 &); echo ready; wait")
			h.killLeftovers()
			h.awaitMembers(2)
			eventually(t, "3 processes", func() bool { return len(tagged(h.tag)) == 4 })
			h.readLine()
			e.end(h)
			h.wantStatus(e.status)
			if left := tagged(h.tag); len(left) != 2 {
				t.Errorf("left are %s, want two sleeps", describeAll(left))
			}
		})
	}
}

func TestWithKillModeProcessOrphansGoElsewhere(t *testing.T) {
	h := startArmed(t, "--kill-mode=process", "--capture-output", "--", "sh", "-c", "(sleep 1000 & echo $!); echo $$; exec sleep 1000")
	h.killLeftovers()
	orphan := h.readPID()
	program := h.readPID()
	eventually(t, "the orphan to be adopted", func() bool {
		f := statFields(orphan)
		return len(f) > 1 && f[1] != strconv.Itoa(program)
	})
	if got := children(h.cmd.Process.Pid); !slices.Equal(got, []int{program}) {
		t.Errorf("muontrap's children are %s", describeAll(got))
	}
}

// born lets a shell start two witnesses and then exec muontrap, whose children
// they so are: the second through a process in between. They have no tag, for
// they are to survive.
func born(log1, log2 string) func(*exec.Cmd) {
	return through("/bin/sh", "-c", `
		tag=$MUONTRAP_TEST
		unset MUONTRAP_TEST
		"$1" @witness "$2" </dev/null >/dev/null 2>&1 &
		sh -c '"$0" @witness "$1"; :' "$1" "$3" </dev/null >/dev/null 2>&1 &
		export MUONTRAP_TEST="$tag"
		shift 3
		exec "$@"`, "sh", self, log1, log2)
}

// awaitWitness waits until a witness listens, and returns its pid.
func awaitWitness(t *testing.T, log string) (pid int) {
	t.Helper()
	eventually(t, "the witness to listen", func() bool {
		text, _ := os.ReadFile(log)
		n, _ := fmt.Sscanf(string(text), "ready %d\n", &pid)
		return n == 1
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

func TestUnrelatedChildrenAreNeverSignalled(t *testing.T) {
	ownExit := func(h *host) {
		if err := syscall.Kill(h.readPID(), syscall.SIGUSR2); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, mode := range []string{"process", "tree", "all"} {
		for _, c := range []struct {
			name   string
			end    func(*host)
			status int
		}{
			{"own exit", ownExit, 128 + 12},
			{"stdin end", (*host).closeStdin, 1},
			{"SIGTERM", func(h *host) { h.kill(syscall.SIGTERM) }, 128 + 15},
		} {
			t.Run(mode+" "+c.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				logs := []string{dir + "/child", dir + "/grandchild"}
				h := startWith(t, born(logs[0], logs[1]), "--kill-mode", mode, "-k100", "--capture-output", "--",
					"sh", "-c", "trap '' TERM; echo $$; exec sleep 1000")
				h.armed()
				for _, log := range logs {
					awaitWitness(t, log)
				}
				c.end(h)
				h.wantStatus(c.status)
				h.wantNothingLeft()
				for _, log := range logs {
					pid := awaitWitness(t, log)
					if got := readLines(t, log); len(got) != 1 || !alive(pid) || state(pid) == "T" {
						t.Errorf("%s: lives: %v, state %s, log %q", log, alive(pid), state(pid), got)
					}
				}
			})
		}
	}
}

func TestForcedStopBesideUnrelatedChildrenReachesTheTree(t *testing.T) {
	for name, prepare := range map[string]string{"heeds SIGTERM": "", "ignores SIGTERM": "trap '' TERM; "} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := startWith(t, born(dir+"/1", dir+"/2"), "-k500", "--capture-output", "--",
				"sh", "-c", prepare+"sleep 1000 & echo ready; sleep 1000; true")
			h.armed()
			for _, log := range []string{dir + "/1", dir + "/2"} {
				awaitWitness(t, log)
			}
			h.awaitReady(3 + 3)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

// setUIDRoot makes a copy of this test binary that runs as root, whoever runs it.
func setUIDRoot(t *testing.T) string {
	t.Helper()
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, openDir(t)+"/as-root", 0o755|os.ModeSetuid, string(binary))
}

func TestDescendantThatCannotBeSignalledIsNamedAndLeft(t *testing.T) {
	t.Parallel()
	helper := setUIDRoot(t)
	for _, c := range []struct{ name, script string }{
		{"child", `"$0" @as-root & sleep 1000; true`},
		{"orphan", `(setsid "$0" @as-root &); exec sleep 1000`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, _, _ := startUnprivileged(t, "-k100", "--capture-output", "--", "sh", "-c", c.script, helper)
			h.killLeftovers()
			survivor := h.readPID()
			begin := time.Now()
			h.closeStdin()
			h.wantStatus(1)
			if took := time.Since(begin); took < 10*time.Second {
				t.Errorf("given up after %v", took)
			}
			lines := strings.Split(h.messages(), "\n")
			name := fmt.Sprintf("process %d (as-root)", survivor)
			if len(lines) != 3 || !strings.Contains(lines[0], "cannot send SIGTERM to "+name) || !strings.Contains(lines[1], name+" is still there") {
				t.Errorf("messages %q", lines)
			}
			if left := tagged(h.tag); !slices.Equal(left, []int{survivor}) {
				t.Errorf("left are %s, want only %s", describeAll(left), name)
			}
		})
	}
}

func TestUnprivilegedMuontrapStopsTheWholeTree(t *testing.T) {
	h, _, _ := startUnprivileged(t, "-k100", "--capture-output", "--", "sh", "-c",
		"trap '' TERM; (setsid sleep 1000 <&- >&- 2>&- &); sleep 1000 & echo ready; wait")
	h.awaitReady(3)
	h.closeStdin()
	h.wantStatus(1)
	h.wantNothingLeft()
	h.wantNoMessages()
}

func TestTreeWithOddNamesIsStopped(t *testing.T) {
	for _, name := range []string{"a b", "a) S 1 (b", ")", "((", "1 2 3", "\n"} {
		t.Run(name, func(t *testing.T) {
			h := startArmed(t, "-k1000000", "--capture-output", "--", "sh", "-c",
				`(setsid "$0" @renamed "$1" &); exec sleep 1000`, self, name)
			h.awaitReady(2)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

// Ctrl-C goes to muontrap and to its program at once. Which end is noticed first
// is chance; what the program leaves behind is stopped either way.
func TestSignalToTheProcessGroupStopsWhatTheProgramLeavesToo(t *testing.T) {
	ownGroup := func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			for range 50 {
				h := startWith(t, ownGroup, "--capture-output", "-k0", "--", "sh", "-c",
					"trap '' INT TERM HUP; sleep 1000 & trap - INT TERM HUP; echo ready; exec sleep 1000")
				h.awaitReady(2)
				if err := syscall.Kill(-h.cmd.Process.Pid, sig); err != nil {
					t.Fatal(err)
				}
				h.wantStatus(128 + int(sig))
				h.wantNothingLeft()
			}
		})
	}
}
