// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/protocol"
	"github.com/muontrap/muontrap/internal/signals"
	"golang.org/x/sys/unix"
)

const (
	testWindow = 16
	soon       = 30 * time.Second
)

// rig is a supervisor with a real program, and the far ends of its pipes.
type rig struct {
	*supervisor
	t    *testing.T
	host *os.File // acknowledgements written here are read from fd 0
	out  *os.File // relayed output comes out here
	pipe int      // the program's end of its output pipe
}

// newRig starts a shell script under a supervisor whose loop does not turn: the
// test says what happens next.
func newRig(t *testing.T, script string) *rig {
	t.Helper()
	acks, host := pipe(t)
	out, sink := pipe(t)
	becomeStdin(t, acks)
	sigs, err := signals.Open([]syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := child.OpenStreams(child.CaptureStdout, testWindow, false)
	if err != nil {
		t.Fatal(err)
	}
	end, err := unix.Dup(streams.Files[1])
	if err != nil {
		t.Fatal(err)
	}
	program, err := child.Start(&child.Spec{
		Program: "sh", Args: []string{"sh", "-c", script}, Env: os.Environ(), Files: streams.Files,
	})
	if err != nil {
		t.Fatal(err)
	}
	streams.Started()
	r := &rig{t: t, host: host, out: out, pipe: end, supervisor: &supervisor{
		opts: &options{delay: time.Hour}, program: program, streams: streams, signals: sigs,
		group: new(cgroup.Group), contained: new(cgroup.Group),
		relay:  child.NewRelay(streams.Source, int(sink.Fd())),
		window: protocol.NewWindow(testWindow),
	}}
	t.Cleanup(func() {
		_ = program.Signal(unix.SIGKILL)
		r.awaitExit()
		streams.EndStdin()
		unix.Close(end)
		unix.Close(streams.Source)
	})
	return r
}

// in returns a rig that has come to this phase.
func in(t *testing.T, p phase) *rig {
	t.Helper()
	script := map[phase]string{
		running:  "printf %100s x; exec sleep 1000",
		stopping: "trap '' TERM; printf %100s x; exec sleep 1000",
		draining: "printf %100s x", // more than the window
		settling: "printf %10s x",
	}[p]
	r := newRig(t, script)
	await(t, r.streams.Source)
	switch p {
	case stopping:
		r.end(128 + int(unix.SIGTERM))
	case draining, settling:
		r.exits()
	}
	if r.phase != p {
		t.Fatalf("phase %d, want %d", r.phase, p)
	}
	return r
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

// becomeStdin makes f this process's fd 0, until the test ends.
func becomeStdin(t *testing.T, f *os.File) {
	t.Helper()
	replace := func(by int) {
		unix.Close(0)
		if fd, err := unix.Dup(by); fd != 0 || err != nil { // takes the lowest that is free
			t.Fatalf("fd 0 is now %d, %v", fd, err)
		}
	}
	before, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	replace(int(f.Fd()))
	t.Cleanup(func() {
		replace(before)
		unix.Close(before)
	})
}

// await waits until a descriptor is readable.
func await(t *testing.T, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(soon.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Fatalf("nothing to read from descriptor %d: %v", fd, err)
		}
		return
	}
}

func (r *rig) awaitExit() {
	r.t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, gone := r.program.Exited(true); gone {
			return
		}
	}
	r.t.Error("the program does not end")
}

// The events, as the loop learns of them.

func (r *rig) exits() {
	r.awaitExit()
	r.reap(true)
}

func (r *rig) isKilled() {
	_ = r.program.Signal(unix.SIGKILL)
	r.exits()
}

func (r *rig) getsSignal() {
	_ = unix.Kill(unix.Getpid(), unix.SIGUSR1)
	await(r.t, r.signals.FD())
	r.takeSignals()
}

func (r *rig) hostLeaves() {
	r.host.Close()
	r.fds[pollHost].Revents = unix.POLLHUP
	r.hearHost()
}

func (r *rig) hostAcks(n int) {
	r.t.Helper()
	if _, err := r.host.Write(protocol.AppendAcks(nil, n)); err != nil {
		r.t.Fatal(err)
	}
	r.fds[pollHost].Revents = unix.POLLIN
	r.hearHost()
}

func (r *rig) hostAcksAll()     { r.hostAcks(r.window.InFlight()) }
func (r *rig) hostAcksTooMuch() { r.hostAcks(r.window.InFlight() + 1) }

// hostTakesAll leaves only the last acknowledgement to be sent.
func (r *rig) hostTakesAll() {
	for range 100 / testWindow {
		r.hostAcksAll()
	}
}

func (r *rig) sinkBreaks() {
	r.out.Close()
	r.fds[pollSink].Revents = unix.POLLERR
	r.moveOutput()
}

func (r *rig) isLate() {
	r.deadline = time.Now()
	r.checkDeadline()
}

// Though SIGCHLD has not been heard yet.
func TestProgramsOwnEndIsBetterNews(t *testing.T) {
	for name, event := range map[string]func(*rig){
		"host gone": (*rig).hostLeaves, "fd 1 broken": (*rig).sinkBreaks,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "exit 7")
			r.awaitExit()
			event(r)
			if r.phase != done || r.status != 7 {
				t.Errorf("phase %d, status %d", r.phase, r.status)
			}
		})
	}
}

// The table at the head of loop.go, cell by cell.
func TestEveryEventInEveryPhase(t *testing.T) {
	const (
		terminated = 128 + int(unix.SIGTERM) // what began the stop
		user       = 128 + int(unix.SIGUSR1)
		killed     = 128 + int(unix.SIGKILL)
	)
	for _, c := range []struct {
		name   string
		in     phase
		event  func(*rig)
		want   phase
		status int
	}{
		{"program gone/running", running, (*rig).isKilled, draining, killed},
		{"program gone/stopping", stopping, (*rig).isKilled, draining, terminated},

		{"signal/running", running, (*rig).getsSignal, stopping, user},
		{"signal/stopping", stopping, (*rig).getsSignal, stopping, terminated},
		{"signal/draining", draining, (*rig).getsSignal, done, user},
		{"signal/settling", settling, (*rig).getsSignal, done, 0},

		{"host gone/running", running, (*rig).hostLeaves, stopping, 1},
		{"host gone/stopping", stopping, (*rig).hostLeaves, stopping, terminated},
		{"host gone/draining", draining, (*rig).hostLeaves, done, 1},
		{"host gone/settling", settling, (*rig).hostLeaves, done, 0},

		{"over-ack/running", running, (*rig).hostAcksTooMuch, stopping, 1},
		{"over-ack/stopping", stopping, (*rig).hostAcksTooMuch, stopping, terminated},
		{"over-ack/draining", draining, (*rig).hostAcksTooMuch, done, 1},
		{"over-ack/settling", settling, (*rig).hostAcksTooMuch, done, 1},

		{"fd 1 broken/running", running, (*rig).sinkBreaks, stopping, 1},
		{"fd 1 broken/stopping", stopping, (*rig).sinkBreaks, stopping, terminated},
		{"fd 1 broken/draining", draining, (*rig).sinkBreaks, done, 1},

		{"pipe empty/draining", draining, (*rig).hostTakesAll, settling, 0},
		{"all acked/settling", settling, (*rig).hostAcksAll, done, 0},

		{"deadline/stopping", stopping, (*rig).isLate, stopping, terminated},
		{"deadline/draining", draining, (*rig).isLate, done, 1},
		{"deadline/settling", settling, (*rig).isLate, done, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := in(t, c.in)
			c.event(r)
			if r.phase != c.want || r.status != c.status {
				t.Errorf("phase %d, status %d; want %d, %d", r.phase, r.status, c.want, c.status)
			}
		})
	}
}

func TestBrokenOutputIsDroppedWhileStopping(t *testing.T) {
	r := in(t, stopping)
	r.sinkBreaks()
	if !r.discard || !r.wantsOutput() {
		t.Error("the program can get stuck in write(2)")
	}
}

func TestLastWordsOfAStoppedProgramAreRelayed(t *testing.T) {
	r := in(t, stopping)
	r.isKilled()
	if n := r.window.InFlight(); n != testWindow {
		t.Errorf("%d bytes relayed, want a window full", n)
	}
}

func TestDeadlineOfTheStopBringsSIGKILL(t *testing.T) {
	r := in(t, stopping)
	r.isLate()
	r.awaitExit()
	if status, _ := r.program.Exited(true); status != 128+int(unix.SIGKILL) {
		t.Errorf("the program ended with %d", status)
	}
	if r.deadline.IsZero() || r.giveUp.IsZero() {
		t.Error("that was the last try")
	}
}

func TestStopOfAProgramThatCannotBeKilledEnds(t *testing.T) {
	r := in(t, stopping)
	r.isLate()
	r.giveUp = time.Now().Add(-time.Second)
	r.isLate()
	if r.phase != done || r.status != 128+int(unix.SIGTERM) {
		t.Errorf("phase %d, status %d", r.phase, r.status)
	}
}

// The garbage collector is off: what a turn of the loop allocated would stay.
func TestTurnsAllocateNothing(t *testing.T) {
	r := newRig(t, "exec sleep 1000")
	host, out := int(r.host.Fd()), int(r.out.Fd())
	acks := protocol.AppendAcks(nil, 10)
	buf := make([]byte, testWindow)
	n := testing.AllocsPerRun(100, func() {
		_, _ = unix.Write(r.pipe, buf[:10])
		r.turn()
		_, _ = unix.Read(out, buf)
		_, _ = unix.Write(host, acks)
		r.turn()
		if r.phase != running || !r.window.Settled() {
			t.Fatal("the loop is not where it should be")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A signal for the whole process group comes twice to a worker under guard.
func TestCopyOfASignalDoesNotCutTheLastWords(t *testing.T) {
	r := in(t, draining)
	r.guarded, r.forced = true, true
	for _, c := range []struct {
		sig  syscall.Signal
		want phase
	}{{unix.SIGTERM, draining}, {unix.SIGUSR1, done}} {
		if err := unix.Kill(os.Getpid(), c.sig); err != nil {
			t.Fatal(err)
		}
		await(t, r.signals.FD())
		r.takeSignals()
		if r.phase != c.want {
			t.Errorf("%v: phase %d, want %d", c.sig, r.phase, c.want)
		}
	}
}
