// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startScript runs a script that has muontrap with these arguments as "$@". Its
// own session is what a script has that cron, a CI runner or sshd started.
func startScript(t *testing.T, shell, script string, args ...string) *host {
	t.Helper()
	return startWith(t, func(c *exec.Cmd) {
		through("/usr/bin/env", shell, "-c", script, "script")(c)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}, args...)
}

// says waits for these words, and leaves stdin alone.
func (h *host) says(words string) {
	h.t.Helper()
	if got := string(h.read(len(words) + 1)); got != words+"\n" {
		h.t.Fatalf("got %q, want %q", got, words)
	}
}

// comesToNothing waits until all is gone.
func (h *host) comesToNothing() {
	h.t.Helper()
	eventually(h.t, "all to be gone", func() bool { return len(tagged(h.tag)) == 0 })
}

// parentWatches are the ways to watch the parent.
var parentWatches = [][]string{{"--watch=parent"}, {"--watch=parent", "--guard"}, {"--watch", "parent", "--kill-mode=all"}}

// server is a program that a script may want, and which has children.
var server = []string{"--inherit-output", "--", "sh", "-c", "(setsid sleep 1000 &); sleep 1000 & echo up; wait"}

func TestProgramLivesAsLongAsTheScript(t *testing.T) {
	for _, shell := range []string{"bash", "dash"} {
		for _, options := range parentWatches {
			for name, end := range map[string]func(*host){
				"exit":    (*host).closeStdin,
				"SIGTERM": func(h *host) { h.kill(syscall.SIGTERM) },
				"SIGKILL": func(h *host) { h.kill(syscall.SIGKILL) },
			} {
				t.Run(shell+" "+strings.Join(options, " ")+" "+name, func(t *testing.T) {
					t.Parallel()
					h := startScript(t, shell, `"$@" & read line; echo $line; read line`, append(options, server...)...)
					h.says("up")
					if _, err := h.stdin.WriteString("still there\n"); err != nil {
						t.Fatal(err)
					}
					h.says("still there")
					muontraps := slices.DeleteFunc(tagged(h.tag), func(pid int) bool { return !runs(pid, muontrap) })
					if len(muontraps) == 0 {
						t.Fatal("muontrap has not waited for the script")
					}
					end(h)
					h.comesToNothing()
				})
			}
		}
	}
}

// At whatever moment the script is killed.
func TestScriptThatIsKilledEarlyLeavesNothing(t *testing.T) {
	for _, options := range parentWatches {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			for i := range 60 {
				h := startScript(t, "dash", `"$@" & wait`, append(options, "-k1000", "--inherit-output", "sleep", "1000")...)
				time.Sleep(time.Duration(i) * 150 * time.Microsecond) // no event to wait for: any moment will do
				h.kill(syscall.SIGKILL)
				h.comesToNothing()
			}
		})
	}
}

func TestParentThatIsGoneAlreadyIsNoticed(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	h := startScript(t, "bash", `{ while kill -0 $$; do sleep 0.01; done 2>/dev/null; "$@"; echo "status $?"; } & exit`,
		"--watch=parent", "--inherit-output", "touch", marker)
	<-h.exited
	// That subshell lives on, and is muontrap's parent.
	h.says("status 0")

	h = startScript(t, "bash", `{ while kill -0 $$; do sleep 0.01; done 2>/dev/null; exec "$@"; } & exit`,
		"--watch=parent", "--inherit-output", "touch", marker+"2")
	<-h.exited
	h.comesToNothing()
	h.wantOneMessage("--watch=parent", "ended already")
	if _, err := os.Stat(marker + "2"); err == nil {
		t.Error("the program was started")
	}
}

func TestParentOutOfSightIsRefused(t *testing.T) {
	h := startWith(t, through("/usr/bin/unshare", "--pid", "--fork"), "--watch=parent", "true")
	h.wantStatus(1)
	h.wantOneMessage("--watch=parent", "--watch=none")
}

// muontrap is born with a child here, so a second muontrap does the work.
func TestParentIsThatOfTheFirstMuontrap(t *testing.T) {
	h := startScript(t, "bash", `{ sleep 1000 & exec "$@"; } & read line`, append([]string{"--watch=parent"}, server...)...)
	h.says("up")
	h.kill(syscall.SIGKILL)
	eventually(t, "all but the shell's own job to be gone", func() bool { return len(tagged(h.tag)) == 1 })
	for _, pid := range tagged(h.tag) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestEndOfTheParentIsStatusOne(t *testing.T) {
	for _, options := range parentWatches {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			status := filepath.Join(t.TempDir(), "status")
			// A subreaper gets muontrap when its parent has ended, and its status.
			h := startWith(t, through(self, "@status-of-orphan", status, "/bin/sh", "-c", `"$@" & read line; :`, "sh"), append(options, server...)...)
			h.says("up")
			h.closeStdin()
			<-h.exited
			if got, err := os.ReadFile(status); string(got) != "1" {
				t.Errorf("status %q, %v", got, err)
			}
			h.wantNothingLeft()
			h.wantNoMessages()
		})
	}
}

func TestUnwatchedProgramEndsBySignalsOnly(t *testing.T) {
	for _, guard := range [][]string{nil, {"--guard"}} {
		t.Run(strings.Join(guard, " "), func(t *testing.T) {
			h := startScript(t, "bash", `"$@" </dev/null & echo $!; read line`, append(append([]string{"--watch=none"}, guard...), server...)...)
			h.killLeftovers()
			lines := string(h.read(3)) // "up" may come first
			for strings.Count(lines, "\n") < 2 {
				lines += string(h.read(1))
			}
			var pid int
			if _, err := fmt.Sscan(strings.Trim(strings.Replace(lines, "up\n", "", 1), "\n"), &pid); err != nil {
				t.Fatal(err)
			}
			h.kill(syscall.SIGKILL)
			<-h.exited
			program := children(pid)
			if len(program) == 0 || !alive(pid) || !alive(program[0]) {
				t.Fatal("it ended with the script")
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			h.comesToNothing()
		})
	}
}

func TestStdinBelongsToTheProgramUnlessItIsWatched(t *testing.T) {
	for _, options := range [][]string{{"--watch=none"}, {"--watch=parent"}, {"--watch=parent", "--guard"}, {"--watch=none", "--group", testGroup(t)}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := start(t, append(options, "--inherit-output", "cat")...)
			if _, err := h.stdin.WriteString("hello\n"); err != nil {
				t.Fatal(err)
			}
			h.says("hello")
			h.closeStdin()
			h.wantStatus(0)
			h.wantNoMessages()
		})
	}
}

func TestStdinOfAWatchedStdinIsSilent(t *testing.T) {
	h := start(t, "--inherit-output", "--", self, "@stdin")
	if got := string(h.read(len("0 <nil>\n"))); got != "0 <nil>\n" {
		t.Errorf("polling stdin gave %s", got)
	}
	h.closeStdin()
	h.wantStatus(1)
}

func TestBackgroundJobOfAScriptNeedsAWatch(t *testing.T) {
	h := startScript(t, "bash", `"$@" & wait $!; echo $?; read line`, "--inherit-output", "sleep", "1000")
	h.says("1") // /dev/null ends at once
}

func TestInheritedOutputIsMuontrapsOwn(t *testing.T) {
	for _, options := range [][]string{nil, {"--watch=none"}, {"--watch=parent"}, {"--guard"}, {"--group", testGroup(t)}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			dir := t.TempDir()
			out, err := os.Create(dir + "/out")
			if err != nil {
				t.Fatal(err)
			}
			h := startWith(t, func(c *exec.Cmd) { c.Stdout = out }, append(options, "--inherit-output", "--", "sh", "-c",
				"readlink /proc/self/fd/1; seq 100000; echo $(readlink /proc/$$/fd/2) >&2")...)
			h.wantStatus(0)
			text, err := os.ReadFile(dir + "/out")
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), "\n"); !strings.HasPrefix(string(text), dir+"/out\n1\n2\n") || n != 100001 {
				t.Errorf("%d lines, the first %.100q", n, text)
			}
			if got := h.messages(); got != h.stderr.Name()+"\n" {
				t.Errorf("stderr is %q, want %q", got, h.stderr.Name())
			}
		})
	}
}

func TestAcknowledgementOfInheritedOutputIsAViolation(t *testing.T) {
	h := start(t, "--inherit-output", "sh", "-c", "echo up; exec sleep 1000")
	h.says("up")
	h.ack(3)
	h.wantStatus(1)
	h.wantOneMessage("protocol violation")
}

func TestClosedStreamsAreNoHindrance(t *testing.T) {
	for _, options := range [][]string{{"--watch=parent"}, {"--watch=none"}, {"--watch=parent", "--guard"}} {
		for _, closing := range []string{"<&-", ">&-", "2>&-", "<&- >&- 2>&-"} {
			t.Run(strings.Join(options, " ")+" "+closing, func(t *testing.T) {
				marker := filepath.Join(t.TempDir(), "marker")
				startWith(t, through("/bin/sh", "-c", `"$@" `+closing, "sh"), append(options, "--inherit-output", "sh", "-c", "echo text; echo text >&2; touch '"+marker+"'; exit 3")...).wantStatus(3)
				if _, err := os.Stat(marker); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// withOptions puts options into the environment.
func withOptions(options string) func(*exec.Cmd) {
	return func(c *exec.Cmd) { c.Env = append(c.Env, "MUONTRAP_OPTIONS="+options) }
}

func TestOptionsComeFromTheEnvironment(t *testing.T) {
	h := startWith(t, withOptions(" --inherit-output\t--watch none\n"), "cat")
	if _, err := h.stdin.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	h.says("hello")
	h.closeStdin()
	h.wantStatus(0)
}

func TestCommandLineWinsOverTheEnvironment(t *testing.T) {
	for options, args := range map[string][]string{
		"--watch=none":     {"--watch=stdin", "-k0", "sleep", "1000"},
		"--kill-mode=all":  {"--kill-mode", "tree", "sleep", "1000"},
		"--watch parent ":  {"--guard", "--watch=stdin", "sleep", "1000"},
		"--guard":          {"sleep", "1000"},
		"":                 {"sleep", "1000"},
		"--inherit-output": {"sleep", "1000"},
	} {
		t.Run(options, func(t *testing.T) {
			h := startWith(t, withOptions(options), args...)
			h.closeStdin()
			h.wantStatus(1)
			h.wantNothingLeft()
		})
	}
}

func TestOptionsInTheEnvironmentAreNotHandedDown(t *testing.T) {
	for _, options := range [][]string{nil, {"--guard"}, {"--group", testGroup(t)}, {"-u", "nobody"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := startWith(t, withOptions("--inherit-output --kill-mode=all"), append(options, "--", "sh", "-c", "echo ${MUONTRAP_OPTIONS-unset}")...)
			h.says("unset")
			h.wantStatus(0)
		})
	}
}

func TestGuardIsAskedForByTheEnvironment(t *testing.T) {
	h := startWith(t, withOptions("--guard"), "sleep", "1000")
	eventually(t, "a second muontrap", func() bool {
		kids := children(h.cmd.Process.Pid)
		return len(kids) == 1 && runs(kids[0], muontrap) && len(children(kids[0])) == 1
	})
}

func TestBadOptionsInTheEnvironmentStartNothing(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	for options, word := range map[string]string{
		"--uid=nobody":              "--uid",
		"-u nobody":                 "--uid",
		"--gid nogroup":             "--gid",
		"-G=":                       "--groups",
		"--group mt_test":           "--group",
		"-c memory":                 "--controller",
		"--set memory.max=1":        "--set",
		"--capture-output":          "--capture-output",
		"--guard -k5":               "--delay-to-sigkill",
		"-h":                        "--help",
		"--bogus":                   "--bogus",
		"--watch":                   "--watch",
		"--watch=nobody":            "nobody",
		"--guard true":              "true",
		"-- true":                   "true",
		"'--guard'":                 "'--guard'",
		"--watch=none\x01--bogus":   "--watch",
		"--inherit-output --guard=": "--guard",
	} {
		t.Run(options, func(t *testing.T) {
			h := startWith(t, withOptions(options), "touch", marker)
			h.wantStatus(1)
			h.wantOneMessage("MUONTRAP_OPTIONS", word)
			if _, err := os.Stat(marker); err == nil {
				t.Fatal("the program was started")
			}
		})
	}
}

func TestCaptureWinsOverTheEnvironment(t *testing.T) {
	h := startWith(t, withOptions("--inherit-output --watch=parent"), "--capture-output", "echo", "relayed")
	h.wantOutput("relayed\n")
	h.wantStatus(0)
	h.wantNoMessages()
}

func TestContradictionsAreRefused(t *testing.T) {
	for _, capture := range []string{"--capture-output", "--capture-stderr", "--capture-stderr-only"} {
		for _, option := range []string{"--inherit-output", "--watch=parent", "--watch=none"} {
			t.Run(capture+" "+option, func(t *testing.T) {
				name, _, _ := strings.Cut(option, "=")
				h := start(t, capture, option, "true")
				h.wantStatus(1)
				h.wantOneMessage(name, "--capture-output")
			})
		}
	}
}

func TestVersionTellsOfTheBuildAndTheKernel(t *testing.T) {
	form := regexp.MustCompile(`^muontrap \S+
commit: \S+
built by: go\S+ for linux/\w+
threads: 1
kernel: Linux \S+
pidfd: (yes|no)
cgroups: .+
cgroup\.kill: .+
$`)
	for _, args := range [][]string{{"--version"}, {"--version", "--", "false"}, {"--capture-output", "--version", "--inherit-output"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			h := start(t, args...)
			if got := string(h.readAll()); !form.MatchString(got) {
				t.Errorf("got %q", got)
			}
			h.wantStatus(0)
			h.wantNoMessages()
		})
	}
}

func TestVersionKnowsTheControllers(t *testing.T) {
	out, err := exec.Command(muontrap, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ mount, word string }{{" - cgroup2 ", "v2 ("}, {" - cgroup ", "v1 ("}} {
		if there, told := strings.Contains(string(table), c.mount), strings.Contains(string(out), c.word); there != told {
			t.Errorf("mounted%s: %v, told: %v in %q", c.mount, there, told, out)
		}
	}
}

func TestFirstProcessOfAContainerReapsOrphans(t *testing.T) {
	h := startWith(t, through("/usr/bin/unshare", "--pid", "--fork", "--mount-proc"), "--watch=none", "--inherit-output", "--", "sh", "-c",
		`(true & true & sleep 0.05 &); while set -- /proc/[0-9]*; [ $# -gt 2 ]; do sleep 0.02; done; echo $PPID; exit 3`)
	h.says("1") // this shell and muontrap are all that is left
	h.wantStatus(3)
}

func TestFirstProcessOfAContainerStopsAll(t *testing.T) {
	for _, options := range [][]string{nil, {"--guard"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := startWith(t, through("/usr/bin/unshare", "--pid", "--fork", "--mount-proc"), append(options, "--watch=none", "-k1000000", "--inherit-output", "--", "sh", "-c",
				`(setsid sleep 1000 &); trap 'echo told; exit 4' TERM; echo up; while :; do sleep 0.05; done`)...)
			h.says("up")
			if err := syscall.Kill(children(h.cmd.Process.Pid)[0], syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			h.says("told")
			h.wantStatus(128 + 15)
			h.wantNothingLeft()
		})
	}
}

func TestOutputThatTheProgramClosesIsClosed(t *testing.T) {
	for _, guard := range []string{"--kill-mode=tree", "--guard"} {
		h := start(t, guard, "--inherit-output", "--", "sh", "-c", "exec >&-; exec sleep 1000")
		if got := string(h.readAll()); got != "" {
			t.Errorf("output %q", got)
		}
		h.closeStdin()
		h.wantStatus(1)
	}
}

func TestInputThatTheProgramClosesIsClosed(t *testing.T) {
	for _, guard := range []string{"--kill-mode=tree", "--guard"} {
		h := start(t, guard, "--watch=none", "--", "sh", "-c", "exec <&-; exec sleep 1000")
		eventually(t, "the end of whoever reads", func() bool {
			_, err := h.stdin.Write([]byte("x"))
			return errors.Is(err, syscall.EPIPE)
		})
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}
}
