// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
	"golang.org/x/sys/unix"
)

const (
	lineSize    = 100
	latencyRuns = 5000
)

// latency is the time from asking a program for a line to having it. The way to
// the program is a pipe from here, with or without muontrap. All share one processor:
// else it is the kernel's choice of processors that is measured, a factor of five.
func (b *bench) latency() error {
	undo, err := onOneProcessor()
	if err != nil {
		return err
	}
	defer undo()
	lines := []string{b.fixture("stream"), "lines", strconv.Itoa(lineSize)}
	bare, err := newTalker(lines)
	if err != nil {
		return err
	}
	ours, err := newTalker(append([]string{b.muontrap, "--capture-output", "--"}, lines...))
	if err != nil {
		return err
	}
	list := []*talker{bare, ours}
	ack := protocol.AppendAcks(nil, lineSize)
	for range latencyRuns {
		for _, t := range list {
			if err := t.ask(); err != nil {
				return err
			}
		}
		if _, err := unix.Write(ours.stdin, ack); err != nil {
			return err
		}
	}
	for _, t := range list {
		closeAll(t.stdin, t.question, t.answer)
	}
	reap()
	b.table.add("latency", "line of 100 bytes, bare pipe", 0, "µs", bare.samples, "bare pipe", bare.samples)
	b.table.add("latency", "line of 100 bytes, muontrap", 0, "µs", ours.samples, "bare pipe", bare.samples)
	return nil
}

// onOneProcessor ties this thread, and whom it starts, to the first that it may use.
func onOneProcessor() (undo func(), err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, err
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, unix.SchedSetaffinity(0, firstOf(all))
}

func firstOf(all unix.CPUSet) *unix.CPUSet {
	var one unix.CPUSet
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	return &one
}

// talker is a program that answers with lines, perhaps through muontrap.
type talker struct {
	stdin, question, answer int
	samples                 []float64
}

func newTalker(argv []string) (*talker, error) {
	var fds [6]int
	for i := 0; i < len(fds); i += 2 {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		fds[i], fds[i+1] = r, w
	}
	_, err := spawn(argv, fds[0], fds[3], 2, fds[4])
	closeAll(fds[0], fds[3], fds[4])
	t := &talker{stdin: fds[1], question: fds[5], answer: fds[2]}
	if err != nil {
		return nil, err
	}
	return t, t.ask()
}

func (t *talker) ask() error {
	var line [lineSize]byte
	begin := time.Now()
	if _, err := unix.Write(t.question, line[:1]); err != nil {
		return err
	}
	for n := 0; n < lineSize; {
		got, err := unix.Read(t.answer, line[n:])
		if got <= 0 && err != unix.EINTR {
			return err
		}
		n += max(got, 0)
	}
	t.samples = append(t.samples, float64(time.Since(begin))/float64(time.Microsecond))
	return nil
}
