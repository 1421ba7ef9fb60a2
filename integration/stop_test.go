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

	"golang.org/x/sys/unix"
)

// terminating are the signals whose default action ends a process and that can
// be caught.
func terminating() []syscall.Signal {
	sigs := []syscall.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS,
		unix.SIGFPE, unix.SIGUSR1, unix.SIGSEGV, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM,
		unix.SIGSTKFLT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGSYS,
	}
	for s := syscall.Signal(32); s <= 64; s++ { // real-time
		if s != 33 { // the Go runtime's own
			sigs = append(sigs, s)
		}
	}
	return sigs
}

func TestSignalStops(t *testing.T) {
	for _, sig := range terminating() {
		name := unix.SignalName(sig)
		if name == "" {
			name = strconv.Itoa(int(sig))
		}
		t.Run(name, func(t *testing.T) {
			h := startArmed(t, "--capture-output", "sh", "-c", "echo $$; exec sleep 1000")
			program := h.readPID()
			h.kill(sig)
			h.wantStatus(128 + int(sig))
			h.wantNoMessages()
			if alive(program) {
				t.Error("the program still runs")
			}
		})
	}
}

func TestHarmlessSignalStopsNothing(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGCHLD, unix.SIGWINCH, unix.SIGURG, unix.SIGCONT} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			h := startArmed(t, "sleep", "1000")
			h.kill(sig)
			h.kill(unix.SIGUSR1)
			h.wantStatus(128 + int(unix.SIGUSR1))
		})
	}
}

// startTrapping starts a program that writes its PID, then "term" for the first
// SIGTERM, and goes on for ever.
func startTrapping(t *testing.T, options ...string) (h *host, program int) {
	t.Helper()
	h = startArmed(t, append(options, "--capture-output", "--",
		"sh", "-c", `trap 'trap "" TERM; echo term' TERM; echo $$; while :; do sleep 0.05; done`)...)
	return h, h.readPID()
}

func TestSIGTERMGivesTheChanceForLastWords(t *testing.T) {
	for _, n := range []int{0, 10, 1000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := startArmed(t, "--capture-output", "--delay-to-sigkill", "20000", "--", self, "@last-words", fmt.Sprint(n))
			if got := h.readLine(); got != "ready" {
				t.Fatalf("got %q", got)
			}
			h.kill(syscall.SIGTERM)
			if got := string(h.readAll()); got != string(testBytes(n)) {
				t.Errorf("%d bytes of last words, want %d, or they differ", len(got), n)
			}
			h.wantStatus(128 + 15)
		})
	}
}

func TestProgramThatIgnoresSIGTERMIsKilledAfterTheDelay(t *testing.T) {
	for _, c := range []struct {
		options []string
		delay   time.Duration
	}{
		{nil, 500 * time.Millisecond},
		{[]string{"-k", "100"}, 100 * time.Millisecond},
		{[]string{"--delay-to-sigkill", "1500"}, 1500 * time.Millisecond},
		{[]string{"-k0"}, 0},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			h := startArmed(t, append(c.options, "--capture-output", "--", "sh", "-c", "trap '' TERM; echo $$; exec sleep 1000")...)
			program := h.readPID()
			begin := time.Now()
			h.kill(syscall.SIGTERM)
			h.wantStatus(128 + 15)
			if took := time.Since(begin); took < c.delay {
				t.Errorf("killed after %v, want %v", took, c.delay)
			}
			if alive(program) {
				t.Error("the program still runs")
			}
		})
	}
}

func TestStopWaitsNoLongerThanTheProgram(t *testing.T) {
	h := startArmed(t, "--delay-to-sigkill", "1000000", "sleep", "1000")
	h.kill(syscall.SIGTERM)
	h.wantStatus(128 + 15)
}

func TestStoppedProgramHearsSIGTERM(t *testing.T) {
	h := startArmed(t, "--capture-output", "--delay-to-sigkill", "1000000", "--", self, "@last-words", "10")
	if got := h.readLine(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	pause(t, h.program())
	h.kill(syscall.SIGTERM)
	h.wantOutput(string(testBytes(10)))
	h.wantStatus(128 + 15)
}

// pause stops a process with SIGSTOP and waits until all of it stands.
func pause(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process to stand still", func() bool { return state(pid) == "T" })
}

// state is the letter that /proc/PID/stat has for a process.
func state(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func TestStdinIsSilentAndEndsWithTheStop(t *testing.T) {
	h := startArmed(t, "--capture-output", "--delay-to-sigkill", "1000000", "--", self, "@stdin")
	// The acknowledgement goes to muontrap and not to the program.
	if got := h.readLine(); got != "0 <nil>" {
		t.Errorf("polling stdin gave %s", got)
	}
	h.kill(syscall.SIGTERM)
	h.wantOutput("0 <nil>\n")
	h.wantStatus(128 + 15)
}

func TestEndOfHostEndsStdin(t *testing.T) {
	h := start(t, "--capture-output", "--delay-to-sigkill", "1000000", "--", self, "@stdin")
	h.readLine()
	h.closeStdin()
	if got := string(h.read(len("0 <nil>\n"))); got != "0 <nil>\n" {
		t.Errorf("reading stdin gave %q", got)
	}
	h.wantStatus(1)
}

func TestStopIsNotDerailedBySignals(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds int
		sigs   []syscall.Signal
	}{
		{"the same again", 1, []syscall.Signal{unix.SIGTERM}},
		{"another one", 1, []syscall.Signal{unix.SIGINT}},
		{"a burst of one", 2000, []syscall.Signal{unix.SIGTERM}},
		{"a burst of all", 50, terminating()},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, program := startTrapping(t, "--delay-to-sigkill", "500")
			begin := time.Now()
			h.kill(unix.SIGTERM)
			if got := h.readLine(); got != "term" {
				t.Fatalf("got %q", got)
			}
			for range c.rounds {
				for _, s := range c.sigs {
					_ = h.cmd.Process.Signal(s) // it may be gone by now
				}
			}
			h.wantStatus(128 + 15)
			if took := time.Since(begin); took < 500*time.Millisecond {
				t.Errorf("the signals cut the delay to %v", took)
			}
			h.wantNoMessages()
			if alive(program) {
				t.Error("the program still runs")
			}
		})
	}
}

func TestStopIsNotDerailedByTheEndOfTheHost(t *testing.T) {
	h, program := startTrapping(t, "--delay-to-sigkill", "300")
	h.kill(unix.SIGTERM)
	if got := h.readLine(); got != "term" {
		t.Fatalf("got %q", got)
	}
	h.closeStdin()
	h.stdout.Close()
	h.wantStatus(128 + 15)
	if alive(program) {
		t.Error("the program still runs")
	}
}

func TestFirstReasonToStopGivesTheStatus(t *testing.T) {
	h, _ := startTrapping(t, "--delay-to-sigkill", "300")
	h.closeStdin()
	if got := string(h.read(len("term\n"))); got != "term\n" {
		t.Fatalf("got %q", got)
	}
	h.kill(unix.SIGTERM)
	h.wantStatus(1)
}

func TestProgramGoneBeforeItsStopIsNoticed(t *testing.T) {
	for name, stop := range map[string]func(*host){
		"signal":        func(h *host) { h.kill(unix.SIGTERM) },
		"end of stdin":  (*host).closeStdin,
		"broken stdout": func(h *host) { h.stdout.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			h := startArmed(t, "--capture-output", "sh", "-c", "echo $$; exec sleep 1000")
			program := h.readPID()
			pause(t, h.cmd.Process.Pid)
			if err := syscall.Kill(program, unix.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the program to end", func() bool { return !alive(program) })
			stop(h)
			h.kill(unix.SIGCONT)
			h.wantStatus(128 + 12) // its own
			h.wantNoMessages()
		})
	}
}

func TestSignalEndsTheWaitForAcknowledgements(t *testing.T) {
	h := startArmed(t, "--capture-output", "sh", "-c", "echo hello; exit 3")
	h.read(len("hello\n"))
	eventually(t, "the program's end", func() bool { return len(children(h.cmd.Process.Pid)) == 0 })
	h.kill(unix.SIGTERM)
	h.wantStatus(3)
}

func TestProgramDiesWithMuontrap(t *testing.T) {
	for _, options := range [][]string{nil, {"--uid", "nobody"}, {"--uid", "1", "--gid", "1", "--groups="}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := start(t, append(options, "--capture-output", "--", "sh", "-c", "trap '' TERM HUP; echo $$; exec sleep 1000")...)
			program := h.readPID()
			h.kill(syscall.SIGKILL)
			<-h.exited
			eventually(t, "the program's end", func() bool { return !alive(program) })
		})
	}
}

// Another thread's end would be taken for muontrap's.
func TestProgramIsTheMainThreadsChild(t *testing.T) {
	for _, options := range [][]string{nil, {"--guard"}, {"--kill-mode=process"}} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			h := start(t, append(options, "--capture-output", "--", "sh", "-c", "echo $$; exec sleep 1000")...)
			program := h.readPID()
			parent := h.cmd.Process.Pid
			if slices.Contains(options, "--guard") {
				parent = children(parent)[0]
			}
			if got := readFile(t, fmt.Sprintf("/proc/%d/task/%d/children", parent, parent)); strings.TrimSpace(got) != strconv.Itoa(program) {
				t.Errorf("the main thread has the children %q, not %d", got, program)
			}
		})
	}
}

// badStderr are descriptors that muontrap can say nothing on.
func badStderr(t *testing.T) map[string]func(*exec.Cmd) {
	t.Helper()
	r, broken := pipe(t)
	r.Close()
	_, full := pipe(t)
	for size := 1 << 16; size > 0; size /= 2 { // to the last byte
		if err := full.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, _ = full.Write(make([]byte, size))
	}
	return map[string]func(*exec.Cmd){
		"closed": throughShell("exec 2>&-"),
		"broken": func(c *exec.Cmd) { c.Stderr = broken },
		"full":   func(c *exec.Cmd) { c.Stderr = full },
	}
}

func TestStopNeedsNoStderr(t *testing.T) {
	for name, change := range badStderr(t) {
		for _, c := range []struct {
			reason string
			stop   func(*host)
			status int
		}{
			{"SIGTERM", func(h *host) { h.kill(syscall.SIGTERM) }, 128 + 15},
			{"end of host", (*host).closeStdin, 1},
			{"protocol violation", func(h *host) { h.ack(1) }, 1}, // has something to say
		} {
			t.Run(name+" "+c.reason, func(t *testing.T) {
				h := startWith(t, change, "--capture-output", "sh", "-c", "trap '' PIPE; echo $$; exec sleep 1000")
				h.armed()
				program := h.readPID()
				c.stop(h)
				h.wantStatus(c.status)
				if alive(program) {
					t.Error("the program still runs")
				}
			})
		}
	}
}

func TestRefusalNeedsNoStderr(t *testing.T) {
	for name, change := range badStderr(t) {
		t.Run(name, func(t *testing.T) {
			startWith(t, change, "--bogus").wantStatus(1)
			startWith(t, change, "/nonexistent/program").wantStatus(127)
		})
	}
}
