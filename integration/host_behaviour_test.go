// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReaderThatNeverReads(t *testing.T) {
	t.Parallel()
	h := start(t, "--capture-output", windowOption(1<<20), "--", "yes")
	h.awaitUnread(almostFull)
	h.wantIdle()
	h.closeStdin()
	h.wantStatus(1)
}

func TestReaderThatNeverAcknowledges(t *testing.T) {
	t.Parallel()
	h := start(t, "--capture-output", "--", "yes")
	h.read(10240)
	h.wantIdle()
	h.closeStdin()
	h.wantStatus(1)
}

func TestHostThatHearsOfNothing(t *testing.T) {
	t.Parallel()
	h := start(t, "--capture-output", "--", "sleep", "1000")
	h.program()
	h.wantIdle()
	h.closeStdin()
	h.wantStatus(1)
}

func TestReaderThatComesBackGetsEveryByte(t *testing.T) {
	const size = 1 << 20
	h := start(t, "--capture-output", windowOption(size), "--", self, "@bytes", strconv.Itoa(size))
	h.awaitUnread(almostFull)
	if !bytes.Equal(h.readAll(), testBytes(size)) {
		t.Error("the bytes differ")
	}
	h.wantStatus(0)
}

func TestTooManyAcknowledgementsStopEverything(t *testing.T) {
	const hello = "echo hello; exec sleep 1000"
	for _, c := range []struct {
		name      string
		args      []string
		misbehave func(h *host)
	}{
		{"nothing captured", []string{"sleep", "1000"}, func(h *host) { h.ack(1) }},
		{"both streams dropped", []string{"--capture-stderr", "sleep", "1000"}, func(h *host) { h.ack(1) }},
		{"nothing relayed", []string{"--capture-output", "sleep", "1000"}, func(h *host) { h.ack(1) }},
		{"one too many", []string{"--capture-output", "sh", "-c", hello}, func(h *host) {
			h.read(6)
			h.ack(7)
		}},
		{"one byte later", []string{"--capture-output", "sh", "-c", hello}, func(h *host) {
			h.read(6)
			h.ack(6)
			h.ack(1)
		}},
		{"thousands", []string{"--capture-output", "yes"}, func(h *host) {
			h.read(10240)
			h.ack(1 << 20)
		}},
		{"program ignores SIGTERM", []string{"-k100", "--capture-output", "sh", "-c", "trap '' TERM; " + hello}, func(h *host) {
			h.read(6)
			h.ack(7)
		}},
		{"program gone, all output relayed", []string{"--capture-output", "sh", "-c", "echo hello; exit 3"}, func(h *host) {
			h.read(6)
			h.awaitProgramsEnd()
			h.ack(7)
		}},
		{"program gone, output left", []string{"--capture-output", windowOption(16), "seq", "1", "1000"}, func(h *host) {
			h.read(16)
			h.awaitProgramsEnd()
			h.ack(17)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, c.args...)
			c.misbehave(h)
			h.wantStatus(1)
			m := h.messages()
			if !strings.HasPrefix(m, "muontrap: protocol violation") || strings.Count(m, "\n") != 1 {
				t.Errorf("want one line about a protocol violation, got %q", m)
			}
		})
	}
}

func TestLateAcknowledgementsLetTheRestThrough(t *testing.T) {
	h := start(t, "--capture-output", windowOption(1000), "--", "sh", "-c", "seq 1 10000; exit 3")
	got := h.read(1000)
	h.awaitProgramsEnd()
	h.ack(1)
	got = append(got, h.read(1)...)
	h.ack(1000)
	got = append(got, h.readAll()...)
	if !bytes.Equal(got, numbers(10000)) {
		t.Error("the output differs")
	}
	h.wantStatus(3)
}

func TestHostThatIsSilentAfterTheProgramsEndGetsTenSeconds(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		args    []string
		read    int
		status  int
		message string
	}{
		{"all read, none acknowledged", []string{"sh", "-c", "echo hello; exit 3"}, 6, 3, ""},
		{"nothing read, but all relayed", []string{"sh", "-c", "echo hello; exit 3"}, 0, 3, ""},
		{"window full", []string{"seq", "1", "10000"}, 10240, 1, "output is lost"},
		{"pipe full", []string{windowOption(1 << 20), "seq", "1", "30000"}, 1, 1, "output is lost"},
	}
	begin := time.Now()
	hosts := make([]*host, len(cases))
	for i, c := range cases { // all at once: they take their time
		hosts[i] = start(t, append([]string{"--capture-output"}, c.args...)...)
		hosts[i].read(c.read)
	}
	for i, c := range cases {
		h := hosts[i]
		if got := h.status(); got != c.status {
			t.Errorf("%s: status %d, want %d", c.name, got, c.status)
		}
		if took := time.Since(begin); took < 9*time.Second {
			t.Errorf("%s: it waited for %v only", c.name, took)
		}
		if m := h.messages(); !strings.Contains(m, c.message) || (m == "") != (c.message == "") {
			t.Errorf("%s: message %q, want %q", c.name, m, c.message)
		}
	}
}

func TestProgressAfterTheProgramsEndGivesTheHostMoreTime(t *testing.T) {
	t.Parallel()
	h := start(t, "--capture-output", "--", "sh", "-c", "echo hello; exit 3")
	h.read(6)
	h.awaitProgramsEnd()
	for range 2 {
		time.Sleep(6 * time.Second) // what is waited for is that nothing happens
		select {
		case <-h.exited:
			t.Fatalf("muontrap has gone; messages: %q", h.messages())
		default:
			h.ack(1)
		}
	}
	h.ack(4)
	h.wantStatus(3)
}

func TestHostThatLeavesAfterTheProgramsEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		script string
		status int
	}{
		{"with all output", "echo hello; exit 3", 3},
		{"before all output", "seq 1 1000; exit 3", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, "--capture-output", windowOption(16), "--", "sh", "-c", c.script)
			h.read(6)
			h.awaitProgramsEnd()
			h.closeStdin()
			h.wantStatus(c.status)
		})
	}
}

func TestHostThatClosesItsPipes(t *testing.T) {
	closeStdin := func(h *host) { h.closeStdin() }
	closeStdout := func(h *host) { h.stdout.Close() }
	orders := map[string][]func(*host){
		"stdin":             {closeStdin},
		"stdout":            {closeStdout},
		"stdin then stdout": {closeStdin, closeStdout},
		"stdout then stdin": {closeStdout, closeStdin},
	}
	programs := map[string]func(t *testing.T) *host{
		"silent": func(t *testing.T) *host {
			h := start(t, "--capture-output", "--", "sleep", "1000")
			h.program()
			return h
		},
		"chatty": func(t *testing.T) *host {
			h := start(t, "--capture-output", windowOption(1<<20), "--", "yes")
			h.ack(len(h.read(4096)))
			return h
		},
		"window full": func(t *testing.T) *host {
			h := start(t, "--capture-output", "--", "yes")
			h.read(10240)
			return h
		},
		"pipe full": func(t *testing.T) *host {
			h := start(t, "--capture-output", windowOption(1<<20), "--", "yes")
			h.awaitUnread(almostFull)
			return h
		},
	}
	for order, steps := range orders {
		for program, begin := range programs {
			t.Run(order+", "+program, func(t *testing.T) {
				h := begin(t)
				for _, step := range steps {
					step(h)
				}
				h.wantStatus(1)
			})
		}
	}
}

func TestLastWordsAfterTheHostsEnd(t *testing.T) {
	h := start(t, "--capture-output", "--", "sh", "-c", `trap "echo bye; exit" TERM; echo hello; while :; do sleep 0.01; done`)
	h.read(6)
	h.closeStdin()
	if got := string(h.readRest()); got != "bye\n" {
		t.Errorf("got %q", got)
	}
	h.wantStatus(1)
}

func TestProgramMayTalkALotWhileItTidiesUp(t *testing.T) {
	tidied := filepath.Join(t.TempDir(), "tidied")
	h := start(t, "--capture-output", "-k20000", "--", "sh", "-c",
		`trap 'seq 1 100000; >"$0"; exit' TERM; echo hello; while :; do sleep 0.01; done`, tidied)
	h.read(6)
	h.closeStdin()
	h.wantStatus(1)
	if _, err := os.Stat(tidied); err != nil {
		t.Error("the program was stuck in its output: ", err)
	}
}

func TestHostKilledTakesTheProgramWithIt(t *testing.T) {
	for _, program := range []string{"sleep", "yes"} {
		t.Run(program, func(t *testing.T) {
			h := startWith(t, func(cmd *exec.Cmd) {
				cmd.Path, cmd.Args = self, []string{self, "@host", muontrap, "--capture-output", program, "1000"}
			})
			eventually(t, "the program to run", func() bool {
				for _, trap := range children(h.cmd.Process.Pid) {
					for _, pid := range children(trap) {
						return processName(pid) == program
					}
				}
				return false
			})
			h.kill(syscall.SIGKILL)
			<-h.exited
			eventually(t, "everything to be gone", func() bool { return len(tagged(h.tag)) == 0 })
		})
	}
}

// almostFull is what a full pipe holds at least, its last page being started.
const almostFull = pipeSize - 4<<10

// awaitUnread waits until so many bytes of output are there, and nobody has
// read them.
func (h *host) awaitUnread(n int) {
	h.t.Helper()
	eventually(h.t, "the pipe to be full", func() bool {
		return unread(h.t, h.stdout) >= n
	})
}

// unread is how many bytes a pipe or socket holds.
func unread(t *testing.T, f *os.File) (n int) {
	t.Helper()
	withFD(t, f, func(fd int) (err error) {
		n, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
		return err
	})
	return n
}

// withFD lends out a file's descriptor. The file's Fd would make it blocking,
// and deadlines impossible.
func withFD(t *testing.T, f *os.File, use func(fd int) error) {
	t.Helper()
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := conn.Control(func(fd uintptr) { err = use(int(fd)) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// wantIdle sees to it that muontrap does not spin: in a second it may use a
// tenth of a CPU.
func (h *host) wantIdle() {
	h.t.Helper()
	before := h.cpuTicks()
	time.Sleep(time.Second)
	if used := h.cpuTicks() - before; used > 10 {
		h.t.Errorf("muontrap is busy: it used %d hundredths of a second in a second", used)
	}
}

// cpuTicks is the CPU time that muontrap has used, in hundredths of a second.
func (h *host) cpuTicks() int {
	h.t.Helper()
	const utime, stime = 14 - 3, 15 - 3 // proc_pid_stat(5)
	f := statFields(h.cmd.Process.Pid)
	if len(f) <= stime {
		h.t.Fatalf("muontrap is gone; messages: %q", h.messages())
	}
	user, err := strconv.Atoi(f[utime])
	if err != nil {
		h.t.Fatal(err)
	}
	system, err := strconv.Atoi(f[stime])
	if err != nil {
		h.t.Fatal(err)
	}
	return user + system
}
