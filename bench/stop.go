// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

const endRuns = 300

// end is the time from end of file until a program that obeys is gone, and
// muontrap too, against a process in C that does nothing but kill(2) and wait(2): on all
// processors, and on one, where none has to be woken or interrupted.
func (b *bench) end() error {
	program := []string{b.fixture("tree"), "wide", "1", "obey"}
	run := func(where string) error {
		bare := &stopper{name: "kill and wait" + where, argv: append(slices.Clone(program), "bare")}
		ours := &stopper{name: "muontrap" + where, argv: append([]string{b.muontrap, "--"}, program...), bare: bare}
		return b.interleave("end", 1, endRuns, []*stopper{bare, ours})
	}
	if err := run(""); err != nil {
		return err
	}
	undo, err := onOneProcessor()
	if err != nil {
		return err
	}
	defer undo()
	return run(", one processor")
}

// sizes of trees, and how often each is stopped.
var sizes = []struct{ n, runs int }{{10, 20}, {100, 10}, {1000, 3}, {10000, 1}}

// stopDelay is from SIGTERM to SIGKILL for n that ignore the former. It is not
// counted, and enough for SIGTERM to reach them all.
func stopDelay(n int) time.Duration { return time.Duration(max(100, n/10)) * time.Millisecond }

// stop is the time from end of file until a whole tree is gone, and muontrap too.
func (b *bench) stop() error {
	for _, size := range sizes {
		var list []*stopper
		for _, shape := range []string{"wide", "deep"} {
			for _, manner := range []string{"obey", "ignore"} {
				program := []string{b.fixture("tree"), shape, strconv.Itoa(size.n), manner}
				bare := &stopper{name: shape + ", " + manner + ": kill and wait", argv: append(slices.Clone(program), "bare")}
				list = append(list, bare)
				for _, o := range options(shape) {
					s := &stopper{name: strings.TrimSpace(shape + ", " + manner + ": muontrap " + o.name), bare: bare}
					delay := defaultDelay
					if manner == "ignore" {
						delay, s.delay = stopDelay(size.n), stopDelay(size.n)
					}
					s.argv = append([]string{b.muontrap, "-k", strconv.FormatInt(delay.Milliseconds(), 10)}, o.argv...)
					s.argv = append(append(s.argv, "--"), program...)
					list = append(list, s)
				}
			}
		}
		if err := b.interleave("stop", size.n, size.runs, list); err != nil {
			return err
		}
	}
	return nil
}

// defaultDelay is longer than any tree that obeys may take.
const defaultDelay = time.Minute

// options are how muontrap contains the program. The shape is nothing to a cgroup.
func options(shape string) []way {
	if shape == "deep" {
		return []way{{}}
	}
	return append([]way{{}}, inCgroups()...)
}

// settleTime is for whatever starts or is swept up in the background.
const settleTime = 10 * time.Millisecond

// stopper is one way to start and stop a tree.
type stopper struct {
	name    string
	argv    []string
	bare    *stopper      // what it is measured against; nil: itself
	delay   time.Duration // not counted
	samples []float64
}

// interleave measures each in turn, and enters all.
func (b *bench) interleave(section string, n, runs int, list []*stopper) error {
	for range runs {
		for _, i := range rand.Perm(len(list)) {
			took, err := list[i].run(n)
			if err != nil {
				return fmt.Errorf("%s, %d: %w", list[i].name, n, err)
			}
			list[i].samples = append(list[i].samples, ms(took-list[i].delay))
		}
	}
	for _, s := range list {
		bare := s.bare
		if bare == nil {
			bare = s
		}
		b.table.add(section, s.name, n, "ms", s.samples, "kill and wait", bare.samples)
	}
	return nil
}

// run starts a tree of n, and stops it when all its members are there.
func (s *stopper) run(n int) (time.Duration, error) {
	stdin, w, err := pipe()
	if err != nil {
		return 0, err
	}
	members, stderr, err := pipe()
	if err != nil {
		return 0, err
	}
	defer closeAll(members)
	pid, err := spawn(s.argv, stdin, 1, stderr)
	closeAll(stdin, stderr)
	if err != nil {
		return 0, err
	}
	if err := readFull(members, make([]byte, 4*n)); err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	begin := time.Now()
	closeAll(w)
	if err := wait(pid); err != nil {
		return 0, err
	}
	// Every member holds this pipe: its end is the end of the last one.
	err = silence(members)
	took := time.Since(begin)
	reap()
	return took, err
}

// silence waits for the end of a pipe, and takes anything on it for a complaint.
func silence(fd int) error {
	var message [200]byte
	n, err := read(fd, message[:])
	if n > 0 {
		return fmt.Errorf("unexpected: %q", message[:n])
	}
	return err
}
