// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"slices"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// rekill is the pause between two rounds of SIGKILL.
const rekill = 100 * time.Millisecond

// end is what a signal, the host's end or a fault leads to, in any phase: it
// begins the stop, or ends the wait for a host that is slow to take output.
func (s *supervisor) end(status int) {
	switch s.phase {
	case running:
		s.stop(status)
	case clearing:
		if s.cut == 0 {
			s.endClearing(status)
		}
	case draining:
		s.flush()
		if !s.drained() && !s.forced {
			s.status = status // a program's success must not hide lost output
		}
		s.phase = done
	case settling:
		s.phase = done
	}
}

// endClearing remembers what came while the program's end was looked into. That
// was for what the program left behind, too: a Ctrl-C goes to all of them at once.
func (s *supervisor) endClearing(status int) {
	left := s.leaves()
	s.cut = status
	if left {
		s.deadline = time.Now().Add(s.opts.delay)
		s.terminate()
	}
}

// tellTime bounds a round of SIGTERM. The loop has to wait for that.
const tellTime = 100 * time.Millisecond

// terminate tells all that is contained to end; SIGKILL comes no later for that.
func (s *supervisor) terminate() {
	end := time.Now().Add(tellTime)
	if s.deadline.Before(end) {
		end = s.deadline
	}
	s.tell(s.contained.Terminate(end))
}

// stop begins the stop sequence: the program's stdin ends, and SIGTERM asks it
// to. SIGCONT, or thawing its cgroup, lets a stopped program hear that. SIGKILL
// follows at the deadline.
func (s *supervisor) stop(status int) {
	s.phase, s.status, s.forced = stopping, status, true
	s.deadline = time.Now().Add(s.opts.delay)
	s.streams.EndStdin()
	s.tell(s.program.Signal(unix.SIGTERM))
	s.tell(s.program.Signal(unix.SIGCONT))
	s.contained.Thaw()
}

// escalate sends SIGKILL, again and again, and gives up on what is stuck in the
// kernel or not ours to kill.
func (s *supervisor) escalate() {
	now := time.Now()
	if s.giveUp.IsZero() {
		s.giveUp = now.Add(patience)
	}
	if now.After(s.giveUp) {
		s.nameSurvivors()
		s.phase = done
		return
	}
	// The program last: its end can be what lets its children out of sight.
	s.tell(s.contained.Kill())
	s.tell(s.program.Signal(unix.SIGKILL))
	s.deadline = time.Now().Add(rekill)
}

// mostNamed is how many survivors get a line of their own.
const mostNamed = 10

func (s *supervisor) nameSurvivors() {
	pids := s.contained.Members()
	if !s.gone {
		pids = append(pids, s.program.PID())
	}
	slices.Sort(pids)
	pids = slices.Compact(pids)
	for _, pid := range pids[:min(len(pids), mostNamed)] {
		complain("%s is still there %v after SIGKILL: left behind", proc.Describe(pid), patience)
	}
	switch {
	case len(pids) == 0:
		complain("something is still there %v after SIGKILL, and can't be found: is /proc mounted?", patience)
	case len(pids) > mostNamed:
		complain("and so are %d more processes", len(pids)-mostNamed)
	}
}

// tell says once that something can't be signalled; the sequence goes on.
func (s *supervisor) tell(err error) {
	if err != nil && !s.refused {
		s.refused = true
		complain("%v", err)
	}
}

// pollFailed keeps the loop going without poll(2), which has no reason to fail:
// slowly, and with the one thing left to wait for.
func (s *supervisor) pollFailed(err error) {
	if err == unix.EINTR {
		return
	}
	if s.phase == running {
		complain("cannot wait for events: %v", err)
	}
	s.end(statusFailure)
	s.waitable = true
	proc.Pause(10 * time.Millisecond)
}
