// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
)

// transfer is a host that expects just so many bytes, and keeps count.
type transfer struct {
	h       *host
	window  int
	size    int
	got     []byte
	unacked int
	reader  reader
	acker   acker
}

// reader is a way to read.
type reader struct {
	name  string
	most  func(size int) int // bytes in one read
	pause time.Duration      // now and then
}

var readers = []reader{
	{"fast", func(int) int { return 64 << 10 }, 0},
	{"slow", func(size int) int { return 1 + size/1000 }, 0},
	{"stuttering", func(int) int { return 64 << 10 }, time.Millisecond},
}

// acker is a way to acknowledge the n bytes that were read last.
type acker struct {
	name string
	ack  func(tr *transfer, n int)
}

var ackers = []acker{
	{"whole", func(tr *transfer, n int) { tr.ack(protocol.AppendAcks(nil, n)) }},
	{"bytewise", func(tr *transfer, n int) { tr.ack(make([]byte, n)) }},
	{"late", func(tr *transfer, n int) {
		if tr.unacked == tr.window || len(tr.got) == tr.size {
			tr.ack(protocol.AppendAcks(nil, tr.unacked))
		}
	}},
	{"odd", func(tr *transfer, n int) {
		for i := 0; n > 0; i++ {
			part := 1 + i*89%min(n, protocol.MaxAck)
			tr.ack([]byte{byte(part - 1)})
			n -= part
		}
	}},
}

// ack sends acknowledgements. No write may fail: an Erlang port would be killed
// by it.
func (tr *transfer) ack(acks []byte) {
	tr.h.t.Helper()
	tr.unacked -= protocol.Acknowledged(acks)
	if _, err := tr.h.stdin.Write(acks); err != nil {
		tr.h.t.Fatalf("cannot acknowledge, at %d of %d bytes: %v", len(tr.got), tr.size, err)
	}
}

// run reads to the end of output, and sees to it that the window is kept.
func (tr *transfer) run() {
	tr.h.t.Helper()
	tr.h.deadline()
	buf := make([]byte, min(tr.reader.most(tr.size), tr.size+1))
	for i := 1; ; i++ {
		if i&(i-1) == 0 {
			time.Sleep(tr.reader.pause)
		}
		n, err := tr.h.stdout.Read(buf)
		tr.got = append(tr.got, buf[:n]...)
		tr.unacked += n
		if tr.unacked > tr.window {
			tr.h.t.Fatalf("%d bytes in flight, the window is %d", tr.unacked, tr.window)
		}
		if n > 0 {
			tr.acker.ack(tr, n)
		}
		if err == io.EOF || errors.Is(err, syscall.EIO) { // the latter ends a terminal
			return
		}
		if err != nil {
			tr.h.t.Fatalf("after %d of %d bytes: %v; messages: %q", len(tr.got), tr.size, err, tr.h.messages())
		}
	}
}

// want compares what has come, and muontrap's status.
func (tr *transfer) want(output []byte, status int) {
	tr.h.t.Helper()
	if !bytes.Equal(tr.got, output) {
		tr.h.t.Errorf("got %d bytes, want %d, and they differ", len(tr.got), len(output))
	}
	tr.h.wantStatus(status)
}

func windowOption(n int) string { return "--stdio-window=" + strconv.Itoa(n) }

func TestEveryByteArrivesWhateverTheHostsPace(t *testing.T) {
	const mostRounds = 5000 // a reader that waits for each window takes this many
	for _, size := range []int{0, 1, 15, 16, 17, 4096, 65535, 65536, 65537, 1e6, 5e6} {
		for _, window := range []int{16, 17, 256, 10240, 65536, 1 << 20} {
			if size/window > mostRounds {
				continue
			}
			for _, r := range readers {
				for _, a := range ackers {
					t.Run(fmt.Sprintf("%d/%d/%s/%s", size, window, r.name, a.name), func(t *testing.T) {
						t.Parallel()
						h := start(t, "--capture-output", windowOption(window), "--", self, "@bytes", strconv.Itoa(size))
						tr := transfer{h: h, window: window, size: size, reader: r, acker: a}
						tr.run()
						tr.want(testBytes(size), 0)
					})
				}
			}
		}
	}
}

func TestEveryByteArrivesThroughAnyKindOfStdout(t *testing.T) {
	const window = 10240
	kinds := map[string]func(t *testing.T) (ours, theirs *os.File){
		"pipe":   pipe,
		"socket": socketPair,
		"pty": func(t *testing.T) (ours, theirs *os.File) {
			ours, theirs = openPTY(t)
			makeRaw(t, theirs)
			return ours, theirs
		},
	}
	for kind, open := range kinds {
		for _, size := range []int{1, 65537, 1e6} {
			for _, r := range readers {
				t.Run(fmt.Sprintf("%s/%d/%s", kind, size, r.name), func(t *testing.T) {
					ours, theirs := open(t)
					h := startWith(t, func(cmd *exec.Cmd) { cmd.Stdout = theirs },
						"--capture-output", windowOption(window), "--", self, "@bytes", strconv.Itoa(size))
					theirs.Close()
					h.stdout.Close()
					h.stdout = ours
					tr := transfer{h: h, window: window, size: size, reader: r, acker: ackers[0]}
					tr.run()
					tr.want(testBytes(size), 0)
				})
			}
		}
	}
}

func TestBytesInFlightNeverExceedTheWindow(t *testing.T) {
	for _, window := range []int{0, 15, 16, 17, 10240, 65536, 1 << 20} {
		for _, size := range []int{10, 2 << 20} {
			t.Run(fmt.Sprintf("%d/%d", window, size), func(t *testing.T) {
				h := start(t, "--capture-output", windowOption(window), "--",
					"sh", "-c", `head -c "$1" /dev/zero; exec sleep 1000`, "sh", strconv.Itoa(size))
				h.read(min(max(window, protocol.MinWindow), size))
				h.wantNoMoreOutput()
				h.closeStdin()
				if rest := h.readRest(); len(rest) > 0 {
					t.Errorf("%d bytes more when it stops", len(rest))
				}
				h.wantStatus(1)
			})
		}
	}
}

func TestAcknowledgementLetsJustAsMuchThrough(t *testing.T) {
	const window = 100
	h := start(t, "--capture-output", windowOption(window), "--", "yes")
	h.read(window)
	for _, n := range []int{1, 2, 50, 99, 100} {
		h.ack(n)
		h.read(n)
		h.wantNoMoreOutput()
	}
}

func TestBothStreamsShareOneWindow(t *testing.T) {
	const window = 100
	h := start(t, "--capture-output", "--capture-stderr", windowOption(window), "--",
		"sh", "-c", "head -c 80 /dev/zero; head -c 80 /dev/zero >&2; exec sleep 1000")
	h.read(window)
	h.wantNoMoreOutput()
}

func TestFullWindowHoldsTheProgramBack(t *testing.T) {
	h := start(t, "--capture-output", windowOption(16), "--", "yes")
	h.read(16)
	h.awaitHeldBack()
	h.wantNoMoreOutput()
}

func TestOutputLeftInThePipeArrivesAfterTheProgramsEnd(t *testing.T) {
	h := start(t, "--capture-output", "--", "seq", "1", "10000")
	got := h.read(protocol.DefaultWindow)
	h.awaitProgramsEnd()
	tr := transfer{
		h: h, window: protocol.DefaultWindow, size: len(numbers(10000)), got: got, unacked: len(got),
		reader: readers[1], acker: ackers[2],
	}
	tr.ack([]byte{255})
	tr.run()
	tr.want(numbers(10000), 0)
}

func TestOutputOfAKilledProgramArrives(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGPIPE} {
		t.Run(sig.String(), func(t *testing.T) {
			h := start(t, "--capture-output", windowOption(100), "--",
				"sh", "-c", `seq 1 30000; kill "-$1" $$`, "sh", strconv.Itoa(int(sig)))
			if !bytes.Equal(h.readAll(), numbers(30000)) {
				t.Error("the output differs")
			}
			h.wantStatus(128 + int(sig))
		})
	}
}

func TestDaemonThatHoldsThePipeDoesNotHoldUpTheExit(t *testing.T) {
	h := start(t, "--capture-output", "--", "sh", "-c", "setsid sleep 1000 & echo hello; exit 3")
	h.killLeftovers()
	if got := string(h.readAll()); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	h.wantStatus(3)
	if len(tagged(h.tag)) != 1 {
		t.Error("the daemon is gone")
	}
}

func TestDaemonThatFloodsThePipeDoesNotHoldUpTheExit(t *testing.T) {
	// In a small window the flood is sure to outrun the host.
	h := start(t, "--capture-output", windowOption(1000), "--", "sh", "-c", "setsid yes & exec sleep 1000")
	h.killLeftovers()
	h.ack(len(h.read(1000)))
	if err := syscall.Kill(h.program(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.readAll()
	h.wantStatus(137)
}

func TestStdoutAndStderrKeepTheirOrder(t *testing.T) {
	h := start(t, "--capture-output", "--capture-stderr", windowOption(100), "--", "sh", "-c",
		"i=0; while [ $i -lt 1000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")
	var want strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	if string(h.readAll()) != want.String() {
		t.Error("the lines differ")
	}
	h.wantStatus(0)
}

func TestStreamsGoWhereTheOptionsSay(t *testing.T) {
	const output, stderr, only = "--capture-output", "--capture-stderr", "--capture-stderr-only"
	const toNull, relayed = "/dev/null", "pipe:["
	for _, c := range []struct {
		options        []string
		stdout, stderr string // "": where muontrap's goes
		relayed        string
		passed         string
	}{
		{nil, toNull, "", "", "err\n"},
		{[]string{stderr}, toNull, toNull, "", ""},
		{[]string{output}, relayed, "", "out\n", "err\n"},
		{[]string{output, stderr}, relayed, relayed, "out\nerr\n", ""},
		{[]string{stderr, output}, relayed, relayed, "out\nerr\n", ""},
		{[]string{only}, toNull, relayed, "err\n", ""},
		{[]string{only, output}, toNull, relayed, "err\n", ""},
		{[]string{only, stderr}, toNull, relayed, "err\n", ""},
		{[]string{output, stderr, only}, toNull, relayed, "err\n", ""},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			links := filepath.Join(t.TempDir(), "links")
			args := append(c.options, "--", "sh", "-c",
				`l=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo "$l" >"$0"; echo out; echo err >&2; exit 3`, links)
			h := start(t, args...)
			if got := string(h.readAll()); got != c.relayed {
				t.Errorf("%q was relayed, want %q", got, c.relayed)
			}
			h.wantStatus(3)
			if got := h.messages(); got != c.passed {
				t.Errorf("%q went to muontrap's stderr, want %q", got, c.passed)
			}
			if c.stderr == "" {
				c.stderr = h.stderr.Name()
			}
			lines := readLines(t, links)
			if len(lines) != 2 || !strings.HasPrefix(lines[0], c.stdout) || !strings.HasPrefix(lines[1], c.stderr) {
				t.Errorf("the program's stdout and stderr are %q, want %q and %q", lines, c.stdout, c.stderr)
			}
		})
	}
}

func TestProgramMayCloseItsStdoutAndGoOn(t *testing.T) {
	t.Parallel()
	h := start(t, "--capture-output", "--", "sh", "-c", "echo hello; exec >&-; kill -STOP $$; exit 3")
	h.ack(len(h.read(6)))
	program := h.program()
	eventually(t, "the program to stop", func() bool { return processState(program) == "T" })
	h.wantIdle()
	if err := syscall.Kill(program, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	h.wantStatus(3)
}

func TestProgramCannotEatAcknowledgements(t *testing.T) {
	h := start(t, "--capture-output", "--", "sh", "-c", "echo ready; exec cat")
	h.read(6)
	program := h.program()
	eventually(t, "cat to wait for input", func() bool {
		return processName(program) == "cat" && processState(program) == "S"
	})
	for range 6 {
		h.ack(1)
	}
	h.wantNoMoreOutput()
	theirs, ours := descriptor(t, program, 0), descriptor(t, h.cmd.Process.Pid, 0)
	if !strings.HasPrefix(theirs, "pipe:[") || theirs == ours {
		t.Errorf("the program's stdin is %s, muontrap's is %s", theirs, ours)
	}
}

// wantNoMoreOutput gives output that must not come a moment to do so.
func (h *host) wantNoMoreOutput() {
	h.t.Helper()
	if err := h.stdout.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		h.t.Fatal(err)
	}
	b := make([]byte, 1)
	if n, err := h.stdout.Read(b); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		h.t.Errorf("want no more output, got %q, %v; messages: %q", b[:n], err, h.messages())
	}
}

// readRest returns the output up to its end, and acknowledges nothing.
func (h *host) readRest() []byte {
	h.t.Helper()
	h.deadline()
	rest, err := io.ReadAll(h.stdout)
	if err != nil {
		h.t.Fatal(err)
	}
	return rest
}

// awaitProgramsEnd waits until muontrap has seen the end of a program of which
// there was output already.
func (h *host) awaitProgramsEnd() {
	h.t.Helper()
	eventually(h.t, "the program to be reaped", func() bool { return len(children(h.cmd.Process.Pid)) == 0 })
}

// awaitHeldBack waits until yes sleeps, which it never does but in write(2).
func (h *host) awaitHeldBack() {
	h.t.Helper()
	program := h.program()
	eventually(h.t, "the program to block in write", func() bool { return processState(program) == "S" })
}

// killLeftovers ends what may be left when the test is over.
func (h *host) killLeftovers() {
	h.t.Cleanup(func() {
		for _, pid := range tagged(h.tag) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// numbers is what seq 1 n writes.
func numbers(n int) []byte {
	var b []byte
	for i := range n {
		b = append(strconv.AppendInt(b, int64(i+1), 10), '\n')
	}
	return b
}

func readLines(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// statFields are the fields of /proc/PID/stat from the third, the state, on.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// processState is the letter that ps shows; "" for no such process.
func processState(pid int) string {
	if f := statFields(pid); len(f) > 0 {
		return f[0]
	}
	return ""
}

// processName is the name that ps shows.
func processName(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(b))
}

// descriptor tells what a process has open as fd.
func descriptor(t *testing.T, pid, fd int) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		t.Fatal(err)
	}
	return link
}
