// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// soon bounds what happens at once on an idle machine, in milliseconds.
const soon = 30_000

func open(t *testing.T, sigs ...syscall.Signal) *Pipe {
	t.Helper()
	p, err := Open(sigs)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// raise sends this very process a signal.
func raise(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := unix.Kill(unix.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

// next waits for the descriptor to become readable, as muontrap does.
func (p *Pipe) next(t *testing.T) syscall.Signal {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}, soon)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n != 1 {
			t.Fatalf("no signal to be read: %v", err)
		}
		s, ok := p.Next()
		if !ok {
			t.Fatal("readable, but no signal")
		}
		return s
	}
}

func TestEverySignalIsDelivered(t *testing.T) {
	sigs := Terminating()
	p := open(t, sigs...)
	for _, s := range sigs {
		raise(t, s)
		if got := p.next(t); got != s {
			t.Errorf("sent %v, got %v", s, got)
		}
	}
	if s, ok := p.Next(); ok {
		t.Errorf("%v that nobody sent", s)
	}
}

func TestSignalsOfABurstAreAllDelivered(t *testing.T) {
	sigs := Terminating()
	p := open(t, sigs...)
	for _, s := range sigs {
		raise(t, s)
	}
	var got []syscall.Signal
	for range sigs {
		got = append(got, p.next(t))
	}
	slices.Sort(got)
	slices.Sort(sigs)
	if !slices.Equal(got, sigs) {
		t.Errorf("got %v, want %v", got, sigs)
	}
}

// A pipe takes 64 KiB.
func TestFloodOfSignalsKeepsNoOtherOut(t *testing.T) {
	p := open(t, syscall.SIGUSR1, syscall.SIGUSR2)
	for range 100_000 {
		raise(t, syscall.SIGUSR1)
	}
	raise(t, syscall.SIGUSR2)
	for p.next(t) != syscall.SIGUSR2 {
	}
	raise(t, syscall.SIGUSR1)
	if got := p.next(t); got != syscall.SIGUSR1 {
		t.Errorf("got %v after the flood", got)
	}
}

func TestFaultsOfThisProgramStayPanics(t *testing.T) {
	open(t, Terminating()...)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	var nowhere *int
	*nowhere = 1
}

func TestNoSignalIsNoNews(t *testing.T) {
	p := open(t, syscall.SIGUSR1)
	if s, ok := p.Next(); ok {
		t.Errorf("%v that nobody sent", s)
	}
}

// heed makes a signal count as not ignored, whatever this process inherited.
func heed(s syscall.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, s)
	signal.Stop(c)
}

// nohup(1) asks for it.
func TestIgnoredHangUpStaysIgnored(t *testing.T) {
	heed(syscall.SIGHUP)
	if !slices.Contains(Terminating(), syscall.SIGHUP) {
		t.Error("SIGHUP is not taken, though it is not ignored")
	}
	signal.Ignore(syscall.SIGHUP)
	defer heed(syscall.SIGHUP)
	if slices.Contains(Terminating(), syscall.SIGHUP) {
		t.Error("SIGHUP is taken, though it is ignored")
	}
}

func TestPipeIsNotInherited(t *testing.T) {
	p := open(t)
	for _, fd := range []int{p.r, p.w} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d: flags %#x, %v", fd, flags, err)
		}
	}
}
