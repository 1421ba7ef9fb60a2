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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
)

// soon bounds everything that a loaded machine should do at once.
const soon = 30 * time.Second

// host is a parent that holds the other ends of muontrap's pipes.
type host struct {
	t      *testing.T
	cmd    *exec.Cmd
	tag    string   // in the environment of muontrap and all below it
	stdin  *os.File // acknowledgements go in here
	stdout *os.File // output comes out here
	stderr *os.File // a file; read it with messages
	exited chan struct{}
}

var tags atomic.Int64

// start runs muontrap with these arguments between two pipes. Whatever the test
// leaves running is a failure of the test.
func start(t *testing.T, args ...string) *host {
	t.Helper()
	return startWith(t, nil, args...)
}

// startWith lets the test change the command before it starts: environment,
// descriptors, or the program that is to exec muontrap.
func startWith(t *testing.T, change func(*exec.Cmd), args ...string) *host {
	t.Helper()
	inR, inW := pipe(t)
	outR, outW := pipe(t)
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{
		t: t, cmd: exec.Command(muontrap, args...),
		tag:   fmt.Sprintf("MUONTRAP_TEST=%d.%d", os.Getpid(), tags.Add(1)),
		stdin: inW, stdout: outR, stderr: stderr,
		exited: make(chan struct{}),
	}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = inR, outW, stderr
	h.cmd.Env = append(os.Environ(), h.tag)
	if change != nil {
		change(h.cmd)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	go func() {
		_ = h.cmd.Wait()
		close(h.exited)
	}()
	t.Cleanup(h.cleanup)
	return h
}

// cleanup ends what the test did not, and looks for what muontrap left.
func (h *host) cleanup() {
	h.closeStdin()
	h.stdout.Close()
	select {
	case <-h.exited:
	case <-time.After(soon):
		h.t.Errorf("muontrap %q does not end after its host has gone", h.cmd.Args[1:])
		_ = h.cmd.Process.Kill()
		<-h.exited
	}
	if left := tagged(h.tag); len(left) > 0 && !h.gone() {
		h.t.Errorf("left behind by muontrap %q: %v", h.cmd.Args[1:], left)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	h.stderr.Close()
}

// gone waits a moment for what is dying already.
func (h *host) gone() bool {
	for range 200 {
		if len(tagged(h.tag)) == 0 {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// tagged finds processes, zombies aside, that have the tag in their environment.
func tagged(tag string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err == nil && bytes.Contains(append(env, 0), append([]byte(tag), 0)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// status waits for muontrap's end and returns its exit status.
func (h *host) status() int {
	h.t.Helper()
	select {
	case <-h.exited:
	case <-time.After(soon):
		h.t.Fatalf("muontrap %q does not end", h.cmd.Args[1:])
	}
	if ws := h.cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		h.t.Fatalf("muontrap was killed by %v", ws.Signal())
	}
	return h.cmd.ProcessState.ExitCode()
}

// wantStatus waits for muontrap's end and compares its exit status.
func (h *host) wantStatus(want int) {
	h.t.Helper()
	if got := h.status(); got != want {
		h.t.Fatalf("status %d, want %d; messages: %q", got, want, h.messages())
	}
}

// messages is what came on stderr so far.
func (h *host) messages() string {
	h.t.Helper()
	b, err := os.ReadFile(h.stderr.Name())
	if err != nil {
		h.t.Fatal(err)
	}
	return string(b)
}

// ack acknowledges n bytes.
func (h *host) ack(n int) {
	h.t.Helper()
	if _, err := h.stdin.Write(protocol.AppendAcks(nil, n)); err != nil && !errors.Is(err, syscall.EPIPE) {
		h.t.Fatal(err)
	}
}

// read returns the next n bytes of output, without acknowledging them.
func (h *host) read(n int) []byte {
	h.t.Helper()
	h.deadline()
	b := make([]byte, n)
	if got, err := io.ReadFull(h.stdout, b); err != nil {
		h.t.Fatalf("after %d of %d bytes: %v; messages: %q", got, n, err, h.messages())
	}
	return b
}

// readAll returns the output up to its end and acknowledges all of it.
func (h *host) readAll() []byte {
	h.t.Helper()
	h.deadline()
	var all []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := h.stdout.Read(buf)
		all = append(all, buf[:n]...)
		if n > 0 {
			h.ack(n)
		}
		if err == io.EOF {
			return all
		}
		if err != nil {
			h.t.Fatalf("after %d bytes: %v; messages: %q", len(all), err, h.messages())
		}
	}
}

func (h *host) deadline() {
	h.t.Helper()
	if err := h.stdout.SetReadDeadline(time.Now().Add(soon)); err != nil {
		h.t.Fatal(err)
	}
}

// closeStdin is how a host goes away.
func (h *host) closeStdin() { h.stdin.Close() }

// kill sends muontrap a signal.
func (h *host) kill(sig syscall.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(sig); err != nil {
		h.t.Fatal(err)
	}
}

// program waits until muontrap has a child that is no longer muontrap itself,
// and returns its pid.
func (h *host) program() int {
	h.t.Helper()
	var pid int
	eventually(h.t, "muontrap to run its program", func() bool {
		kids := children(h.cmd.Process.Pid)
		if len(kids) == 0 {
			return false
		}
		pid = kids[0]
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return err == nil && exe != muontrap
	})
	return pid
}

// children lists the children of a process.
func children(pid int) (kids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, k := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(k); err == nil {
				kids = append(kids, n)
			}
		}
	}
	return kids
}

// alive tells whether there is such a process, zombies aside.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// eventually waits until a condition holds that has no event to wait for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
