// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// vm is a running Erlang VM: the script in it talks to the test in lines.
type vm struct {
	t      *testing.T
	cmd    *exec.Cmd
	tag    string // in the environment of the VM and all below it
	stdin  io.WriteCloser
	lines  chan string // closed at the end of the VM's output
	stderr *os.File
	exited chan struct{}
}

// startVM runs a script with escript or elixir. It ends with its stdin, or by
// itself.
func startVM(t *testing.T, runtime, script string, args ...string) *vm {
	t.Helper()
	if _, err := exec.LookPath(runtime); err != nil {
		t.Fatalf("%v: run scripts/install-test-deps", err)
	}
	v := &vm{
		t: t, cmd: exec.Command(runtime, append([]string{filepath.Join("testdata", script)}, args...)...),
		tag:   newTag("VM_TAG"),
		lines: make(chan string), exited: make(chan struct{}),
	}
	v.cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0", v.tag)
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	v.cmd.Stderr, v.stderr = stderr, stderr
	stdin, err := v.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.stdin = stdin
	go func() {
		for s := bufio.NewScanner(stdout); s.Scan(); {
			v.lines <- s.Text()
		}
		close(v.lines)
		_ = v.cmd.Wait()
		close(v.exited)
	}()
	t.Cleanup(v.cleanup)
	return v
}

// cleanup ends the VM and looks for what it left, and for complaints.
func (v *vm) cleanup() {
	v.stdin.Close()
	if v.t.Failed() {
		_ = v.cmd.Process.Kill()
	}
	for range v.lines {
	}
	<-v.exited
	for end := time.Now().Add(soon); len(tagged(v.tag)) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, pid := range tagged(v.tag) {
		v.t.Errorf("process %d is left behind", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	said, err := os.ReadFile(v.stderr.Name())
	if err != nil {
		v.t.Error(err)
	}
	if len(said) > 0 {
		v.t.Errorf("the VM's stderr: %.1000s", said)
	}
	v.stderr.Close()
}

// say sends the script a line.
func (v *vm) say(line string) {
	v.t.Helper()
	if _, err := fmt.Fprintln(v.stdin, line); err != nil {
		v.t.Fatal(err)
	}
}

// next returns the script's next line.
func (v *vm) next() string {
	v.t.Helper()
	select {
	case line, ok := <-v.lines:
		if !ok {
			v.t.Fatal("the VM has ended")
		}
		return line
	case <-time.After(2 * soon):
		v.t.Fatal("the VM says nothing")
	}
	return ""
}

// want compares the script's next line.
func (v *vm) want(line string) {
	v.t.Helper()
	if got := v.next(); got != line {
		v.t.Fatalf("got  %s\nwant %s", got, line)
	}
}

// newTag returns an environment variable that no other program has.
func newTag(name string) string {
	return fmt.Sprintf("%s=%d.%d", name, os.Getpid(), tags.Add(1))
}

func TestErlangGetsARealProgramsWholeOutput(t *testing.T) {
	erl, err := exec.LookPath("erl")
	if err != nil {
		t.Fatalf("%v: run scripts/install-test-deps", err)
	}
	if erl, err = filepath.EvalSymlinks(erl); err != nil {
		t.Fatal(err)
	}
	erlang := filepath.Dir(filepath.Dir(erl)) // some 25 MB in files of all sizes
	for _, c := range []struct{ window, program string }{
		{"", "seq 1000000"},
		{"", "tar c -C " + erlang + " ."},
		{"16", "seq 2000"},
		{"4096", "seq 1000000"},
		{"65536", "tar c -C " + erlang + " ."},
		{"1048576", "seq 1000000"},
	} {
		command := strings.Fields(c.program)
		t.Run(command[0]+" "+c.window, func(t *testing.T) {
			output, err := exec.Command(command[0], command[1:]...).Output()
			if err != nil {
				t.Fatal(err)
			}
			args := []string{"stream", muontrap, "--capture-output"}
			if c.window != "" {
				args = append(args, "--stdio-window", c.window)
			}
			args = append(append(args, "--"), command...)
			v := startVM(t, "escript", "port.escript", args...)
			v.want(fmt.Sprintf("0 %d %x", len(output), sha256.Sum256(output)))
		})
	}
}

func TestErlangRunsAThousandProgramsFiftyAtOnce(t *testing.T) {
	v := startVM(t, "escript", "port.escript", "many", muontrap, "1000", "50")
	v.want("1000 runs, all as they should be")
}

func TestAFloodNeverOverfillsTheMailboxOfASlowOwner(t *testing.T) {
	for _, window := range []string{"16", "10240", "200000"} {
		t.Run(window, func(t *testing.T) {
			v := startVM(t, "escript", "port.escript", "slow", muontrap, window, "30")
			v.want("never more than " + window)
		})
	}
}

func TestProgramsGoWithTheirErlangOwner(t *testing.T) {
	for _, c := range []struct {
		how     string
		vmLives bool
	}{
		{"owner killed", true},
		{"owner crashed", true},
		{"owner returned", true},
		{"port closed", true},
		{"VM stopped", false},
		{"VM halted", false},
		{"VM killed", false},
	} {
		t.Run(c.how, func(t *testing.T) {
			tag := newTag("PROGRAM_TAG")
			_, value, _ := strings.Cut(tag, "=")
			v := startVM(t, "escript", "port.escript", "gone", muontrap, value, c.how)
			v.want("in mid-stream")
			if pids := tagged(tag); len(pids) != 6 {
				t.Fatalf("processes %v, want three programs and three muontraps", pids)
			}
			v.say("go")
			if c.how == "VM killed" {
				if err := v.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the programs to be gone", func() bool { return len(tagged(tag)) == 0 })
			if c.vmLives != alive(v.cmd.Process.Pid) {
				t.Fatalf("the VM lives: %v, want %v", !c.vmLives, c.vmLives)
			}
		})
	}
}
