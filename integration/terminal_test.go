// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with an interactive bash that has job control.
type terminal struct {
	t      *testing.T
	master *os.File
	fd     int // the same
	bash   *exec.Cmd
	tag    string
	seen   []byte // and not yet expected
	exited chan struct{}
}

const prompt = "ready> "

// openTerminal starts bash in a terminal of its own, where muontrap is in PATH and
// $mt is how a shell calls it.
func openTerminal(t *testing.T, mt ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // Fd has made it block
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	x := &terminal{
		t: t, master: master, fd: fd, tag: newTag("MUONTRAP_TEST"), exited: make(chan struct{}),
		bash: exec.Command("bash", "--norc", "--noprofile", "--noediting", "-i"),
	}
	x.bash.Stdin, x.bash.Stdout, x.bash.Stderr = slave, slave, slave
	x.bash.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	x.bash.Dir = t.TempDir()
	x.bash.Env = append(shellEnv(t), x.tag, "PS1="+prompt, "TERM=dumb", "HISTFILE=/dev/null", "mt=muontrap --inherit-output "+strings.Join(mt, " "))
	if err := x.bash.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = x.bash.Wait()
		close(x.exited)
	}()
	t.Cleanup(x.close)
	x.expect(prompt)
	return x
}

// shellEnv is an environment with the muontrap under test in PATH.
func shellEnv(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(muontrap, dir+"/muontrap"); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
}

// close hangs up and looks for what is left.
func (x *terminal) close() {
	x.master.Close()
	eventually(x.t, "bash to end with its terminal", func() bool {
		select {
		case <-x.exited:
			return true
		default:
			return false
		}
	})
	x.wantNothingLeft()
}

// wantNothingLeft waits until all is gone, but does not let it stay.
func (x *terminal) wantNothingLeft() {
	x.t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if len(tagged(x.tag)) == 0 {
			return
		}
	}
	left := tagged(x.tag)
	x.t.Errorf("left: %s", describeAll(left))
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// keys types.
func (x *terminal) keys(text string) {
	x.t.Helper()
	if _, err := x.master.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// expect reads until this comes, and returns what came before.
func (x *terminal) expect(text string) string {
	x.t.Helper()
	buf := make([]byte, 4096)
	for {
		if before, after, ok := bytes.Cut(x.seen, []byte(text)); ok {
			x.seen = after
			return string(before)
		}
		if err := x.master.SetReadDeadline(time.Now().Add(soon)); err != nil {
			x.t.Fatal(err)
		}
		n, err := x.master.Read(buf)
		x.seen = append(x.seen, buf[:n]...)
		if err != nil {
			x.t.Fatalf("%v while waiting for %q, came: %q; there are %s", err, text, x.seen, describeAll(tagged(x.tag)))
		}
	}
}

// run types a command and returns what it printed.
func (x *terminal) run(command string) string {
	x.t.Helper()
	x.keys(command + "\n")
	x.expect(command + "\r\n") // the echo
	return strings.ReplaceAll(x.expect(prompt), "\r\n", "\n")
}

// start types a command that is to stay in the foreground, and waits for a word of
// its.
func (x *terminal) start(command, word string) {
	x.t.Helper()
	x.keys(command + "\n")
	x.expect(command + "\r\n")
	x.expect(word)
}

// wantStatus compares the status of the latest command.
func (x *terminal) wantStatus(want int) {
	x.t.Helper()
	if got := x.run("echo $?"); got != fmt.Sprintf("%d\n", want) {
		x.t.Fatalf("status %q, want %d", got, want)
	}
}

// job lists all that runs but bash.
func (x *terminal) job() (pids []int) {
	for _, pid := range tagged(x.tag) {
		if pid != x.bash.Process.Pid {
			pids = append(pids, pid)
		}
	}
	return pids
}

// wantJob waits until all of the job is in one of these states, and there are n.
func (x *terminal) wantJob(n int, states string) {
	x.t.Helper()
	eventually(x.t, fmt.Sprintf("%d processes in state %s", n, states), func() bool {
		pids := x.job()
		for _, pid := range pids {
			if !strings.Contains(states, state(pid)) {
				return false
			}
		}
		return len(pids) == n
	})
}

// wantForeground waits until the shell has given the terminal to muontrap.
func (x *terminal) wantForeground() {
	x.t.Helper()
	eventually(x.t, "the job to come to the foreground", func() bool {
		group, err := unix.IoctlGetInt(x.fd, unix.TIOCGPGRP)
		return err == nil && comm(group) == "muontrap"
	})
}

func comm(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}

const (
	ctrlC         = "\x03"
	ctrlD         = "\x04"
	ctrlZ         = "\x1a"
	ctrlBackslash = "\x1c"
)

// eachWatch runs a test in a terminal with each way to watch that leaves it alone.
// The number of muontraps is told.
func eachWatch(t *testing.T, f func(t *testing.T, x *terminal, muontraps int)) {
	for _, c := range []struct {
		options []string
		n       int
	}{{[]string{"--watch=parent"}, 1}, {[]string{"--watch=none"}, 1}, {[]string{"--watch=parent", "--guard"}, 2}} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) { f(t, openTerminal(t, c.options...), c.n) })
	}
}

func TestInterruptKeyStopsAll(t *testing.T) {
	for name, program := range map[string]string{
		"a plain program":           `sh -c "sleep 1000 & echo u''p; wait"`,
		"one that ignores the key":  `sh -c "trap '' INT; (setsid sleep 1000 &); echo u''p; while :; do sleep 0.05; done"`,
		"one that ignores all else": `-k100 sh -c "trap '' INT TERM HUP; echo u''p; while :; do sleep 0.05; done"`,
	} {
		t.Run(name, func(t *testing.T) {
			eachWatch(t, func(t *testing.T, x *terminal, _ int) {
				x.start("$mt "+program, "up")
				x.keys(ctrlC)
				x.expect(prompt)
				if left := x.job(); len(left) > 0 {
					t.Errorf("left: %s", describeAll(left))
				}
				x.wantStatus(128 + 2)
			})
		})
	}
}

// A shell ends with a program that was killed by SIGINT; muontrap exits.
func TestScriptGoesOnAfterTheInterruptKey(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, _ int) {
		x.start(`bash -c '$mt sh -c "echo u\"\"p; exec sleep 1000"; echo "goes on: $?"'`, "up")
		x.keys(ctrlC)
		x.expect("goes on: 130")
		x.expect(prompt)
		x.start(`bash -c '$mt sh -c "echo u\"\"p; exec sleep 1000" || exit; echo never'`, "up")
		x.keys(ctrlC)
		if got := x.expect(prompt); strings.Contains(got, "never") {
			t.Errorf("the script went on: %q", got)
		}
	})
}

func TestQuitKeyStopsAll(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, _ int) {
		x.start(`$mt sh -c "ulimit -c 0; trap '' QUIT; echo u''p; while :; do sleep 0.05; done"`, "up")
		x.keys(ctrlBackslash)
		x.expect(prompt)
		x.wantStatus(128 + 3)
	})
}

func TestSuspendKeyAndForegroundGoOnWhereItWas(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, muontraps int) {
		x.start("$mt cat", "")
		x.keys("one\n")
		x.expect("one\r\none\r\n")
		for range 3 {
			x.keys(ctrlZ)
			x.expect("Stopped")
			x.expect(prompt)
			x.wantJob(muontraps+1, "T")
			x.start("fg", "$mt cat\r\n")
			x.keys("two\n")
			x.expect("two\r\ntwo\r\n")
		}
		x.keys(ctrlD)
		x.expect(prompt)
		x.wantStatus(0)
	})
}

func TestSuspendedJobGoesOnInTheBackground(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, muontraps int) {
		x.start(`$mt sh -c "echo u''p; exec sleep 1000"`, "up")
		x.keys(ctrlZ)
		x.expect("Stopped")
		x.expect(prompt)
		x.run("bg")
		x.wantJob(muontraps+1, "S")
		x.run("kill %1; wait %1")
		x.wantStatus(128 + 15)
	})
}

func TestSuspendedJobCanBeStopped(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, _ int) {
		x.start(`$mt sh -c "echo u''p; exec sleep 1000"`, "up")
		x.keys(ctrlZ)
		x.expect("Stopped")
		x.expect(prompt)
		x.run("kill %1") // what bash's wait tells of a job that was suspended depends on the moment
		x.wantJob(0, "")
	})
}

func TestProgramReadsTheTerminal(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, _ int) {
		x.start(`$mt sh -c 'echo u""p; read line; echo "<$line>"; exit 3'`, "up")
		x.keys("hello\n")
		x.expect("<hello>")
		x.expect(prompt)
		x.wantStatus(3)
	})
}

// There is no job control in a script: all of it is in one process group.
func TestProgramInAScriptReadsTheTerminal(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, _ int) {
		x.start(`bash -c '$mt sh -c "echo u\"\"p; read line; echo \"<\$line>\"; exit 3"; exit $?'`, "up")
		x.keys("hello\n")
		x.expect("<hello>")
		x.expect(prompt)
		x.wantStatus(3)
	})
}

func TestBackgroundJobThatReadsIsSuspendedAsAnyOther(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, muontraps int) {
		x.run("$mt cat &")
		x.wantJob(muontraps+1, "T")
		x.start("fg", "$mt cat\r\n")
		x.keys("hello\n")
		x.expect("hello\r\nhello\r\n")
		x.keys(ctrlD)
		x.expect(prompt)
		x.wantStatus(0)
	})
}

func TestTypingDoesNotDisturbABackgroundJob(t *testing.T) {
	eachWatch(t, func(t *testing.T, x *terminal, muontraps int) {
		x.run("$mt sleep 1000 &")
		x.wantJob(muontraps+1, "S")
		for range 3 {
			x.run("echo hello")
		}
		x.wantJob(muontraps+1, "S")
		x.run("kill %1; wait %1")
		x.wantStatus(128 + 15)
	})
}

func TestJobEndsWithItsTerminal(t *testing.T) {
	for name, suspend := range map[string]string{"running": "", "suspended": ctrlZ} {
		for how, end := range map[string]func(*terminal){
			"hang-up":          func(x *terminal) { x.master.Close() },
			"SIGKILL of shell": func(x *terminal) { _ = x.bash.Process.Kill() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				eachWatch(t, func(t *testing.T, x *terminal, muontraps int) {
					x.start(`$mt sh -c "trap '' HUP; echo u''p; while :; do sleep 0.05; done"`, "up")
					if suspend != "" {
						x.keys(suspend)
						x.expect("Stopped")
					}
					end(x)
					x.wantNothingLeft()
				})
			})
		}
	}
}

func TestTerminalIsSaneAfterwards(t *testing.T) {
	const raw = `sh -c "stty raw -echo; trap '' INT TERM HUP; echo u''p; while :; do sleep 0.05; done"`
	for name, c := range map[string]struct {
		program string
		end     func(x *terminal)
	}{
		"after an exit":                {`sh -c "echo u''p; exit 3"`, func(*terminal) {}},
		"after the interrupt key":      {`sh -c "echo u''p; exec sleep 1000"`, func(x *terminal) { x.keys(ctrlC) }},
		"after SIGTERM in raw mode":    {"-k100 " + raw, func(x *terminal) { x.signalJob(syscall.SIGTERM, "muontrap") }},
		"after the program was killed": {raw, func(x *terminal) { x.signalJob(syscall.SIGKILL, "sh") }},
		"after a time in suspense": {`sh -c "echo u''p; exec sleep 1000"`, func(x *terminal) {
			x.keys(ctrlZ)
			x.expect(prompt)
			x.start("fg", "$mt")
			x.wantForeground()
			x.keys(ctrlC)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachWatch(t, func(t *testing.T, x *terminal, _ int) {
				before := x.run("stty -a")
				x.start("$mt "+c.program, "up")
				c.end(x)
				x.expect(prompt)
				if after := x.run("stty -a"); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
			})
		})
	}
}

// A background job that writes to a terminal set so is suspended. Not so muontrap
// with a message about what it has to stop.
func TestMessageFromTheBackgroundSuspendsNothing(t *testing.T) {
	x := openTerminal(t, "--watch=parent", "--guard")
	x.run(`stty tostop; $mt sh -c "(setsid sleep 1000 &); exec sleep 1000" &`)
	x.wantJob(4, "S")
	x.signalJob(syscall.SIGKILL, "exe")
	x.keys("wait %1\n")
	x.expect(workerKilled) // before the echo, or after it
	x.expect(prompt)
	x.wantStatus(128 + 9)
}

// signalJob sends a signal to the first process of this name.
func (x *terminal) signalJob(sig syscall.Signal, name string) {
	x.t.Helper()
	for _, pid := range x.job() {
		if comm(pid) == name {
			if err := syscall.Kill(pid, sig); err != nil {
				x.t.Fatal(err)
			}
			return
		}
	}
	x.t.Fatalf("no %s among %s", name, describeAll(x.job()))
}
