// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"io"
	"math"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/protocol"
	"github.com/muontrap/muontrap/internal/signals"
	"golang.org/x/sys/unix"
)

// phase is how far a run has come. What each event means in each of them:
//
//	              running       stopping      clearing      draining    settling
//	program gone  clearing      clear rest    -             -           -
//	all gone      -             draining      draining      -           -
//	pipe empty    -             -             -             settling    -
//	all acked     -             -             -             -           done
//	signal N      stopping      -             done soon     done        done
//	host gone     stopping      -             done soon     done        done
//	over-ack      stopping      -             done soon     done        done
//	fd 1 broken   stopping      (drop output) done soon     done        -
//	deadline      -             SIGKILL       SIGKILL       done        done
//
// "All" is the program and what is in its cgroup; without one, clearing is over at once,
// unless the program ended with a signal that was for both. "Done soon" means as soon as
// all is gone. "Done" from draining means that output is lost: unless nothing was left
// after all, the status then tells of the event and not of the program's success. A stop
// whose cause was that nobody takes output any more ends without draining.
type phase int

const (
	running  phase = iota // the program lives
	stopping              // it is being stopped, and all that it left in its cgroup
	clearing              // it ended by itself; what it left in its cgroup is being stopped
	draining              // all are gone; the pipe may still hold output
	settling              // all is relayed; acknowledgements are outstanding
	done
)

// patience is how long draining and settling wait for any progress, unless the
// stop was forced: then it is the time from SIGTERM to SIGKILL.
const patience = 10 * time.Second

// The descriptors that one poll(2) waits for.
const (
	pollHost    = iota // fd 0: acknowledgements, and the host's life; or its pidfd
	pollSink           // fd 1: where output goes
	pollSource         // the program's pipe
	pollSignals        // the signal pipe; SIGCHLD tells of the program's end
	pollGroup          // its cgroup's events
	pollSlots
)

// supervisor owns all state from the program's start to muontrap's exit.
type supervisor struct {
	opts    *options
	program *child.Process
	streams *child.Streams
	signals *signals.Pipe
	relay   *child.Relay // nil: nothing is captured, or its source has ended
	window  protocol.Window

	as        *syscall.Credential // nil: muontrap's own
	group     *cgroup.Group       // of no directory if none was asked for
	contained containment
	terminal  *terminal // that the program reads; nil: it is to be left alone
	guarded   bool      // another muontrap waits for this one

	phase    phase
	status   int       // to exit with, once known
	deadline time.Time // of this phase; zero: none
	giveUp   time.Time // stopping: after SIGKILL; zero before
	host     int       // what tells of the host's end: fd 0, its pidfd, or -1: nothing
	hostGone bool      // and is not asked any more
	sinkFull bool      // fd 1 takes nothing: wait until it is writable
	eager    bool      // the program's pipe holds more than one window
	discard  bool      // nobody can get output any more
	forced   bool      // not the program's own end
	gone     bool      // the program has ended
	waitable bool      // some child may have ended since reap looked
	cut      int       // clearing: the status of what made the host's patience end
	owed     int       // draining: bytes in the pipe that may still be the program's
	refused  bool      // a signal could not be sent, and that was said

	fds [pollSlots]unix.PollFd

	acks [8192]byte // one read: acknowledges 8 KiB to 2 MiB
}

// containment is what holds the program's processes together: its cgroup, or
// else the tree of its descendants.
type containment interface {
	// EventsFD is readable (POLLPRI) when Empty may have changed; -1: unknown.
	EventsFD() int
	Empty() bool
	Members() []int
	Thaw()
	// Terminate may wait for those who die of its SIGTERM, until end.
	Terminate(end time.Time) error
	Kill() error
}

// run is the loop. It returns the status to exit with when nothing is left to do.
func (s *supervisor) run() (status int) {
	defer func() {
		if r := recover(); r != nil {
			complain("internal error, please report it: %v", r)
			_ = s.program.Signal(unix.SIGKILL)
			_ = s.contained.Kill()
			status = statusFailure
		}
	}()
	s.streams.Started()
	if s.streams.Source >= 0 {
		s.relay = child.NewRelay(s.streams.Source, unix.Stdout)
		s.window = protocol.NewWindow(s.opts.window)
		s.eager = s.relay.Held() > s.window.Avail()
	}
	for s.phase != done {
		s.turn()
	}
	return s.status
}

// turn waits for events and handles each kind once. A program that has ended is
// noticed before what else ends a run: its own status is the better news.
func (s *supervisor) turn() {
	s.wait()
	if s.phase != running || s.waitable || s.fds[pollSignals].Revents != 0 {
		s.waitable = false
		s.reap(true)
	}
	if s.fds[pollSignals].Revents != 0 {
		s.takeSignals()
	}
	s.checkContained()
	s.hearHost()
	s.moveOutput()
	s.checkDeadline()
}

// wait polls for what this phase is interested in.
func (s *supervisor) wait() {
	for i := range s.fds {
		s.fds[i] = unix.PollFd{Fd: -1}
	}
	if !s.hostGone {
		s.fds[pollHost] = unix.PollFd{Fd: int32(s.host), Events: unix.POLLIN}
	}
	if s.relay != nil && !s.discard && s.phase != settling {
		s.fds[pollSink].Fd = 1 // errors are always reported
		if s.sinkFull {
			s.fds[pollSink].Events = unix.POLLOUT
		}
	}
	if s.wantsOutput() {
		s.fds[pollSource] = unix.PollFd{Fd: int32(s.streams.Source), Events: unix.POLLIN}
	}
	s.fds[pollSignals] = unix.PollFd{Fd: int32(s.signals.FD()), Events: unix.POLLIN}
	if s.gone && s.phase < draining {
		s.fds[pollGroup] = unix.PollFd{Fd: int32(s.contained.EventsFD()), Events: unix.POLLPRI}
	}
	_, err := unix.Poll(s.fds[:], s.timeout())
	if err != nil {
		for i := range s.fds {
			s.fds[i].Revents = 0
		}
		s.pollFailed(err)
	}
}

// wantsOutput tells whether the program's pipe is to be read. With the window
// or fd 1 full it is not: the program then blocks in write(2), which is the
// back-pressure. What is left in it after the end is drain's business.
func (s *supervisor) wantsOutput() bool {
	return s.phase < draining && s.relay != nil && (s.discard || s.canMove())
}

func (s *supervisor) canMove() bool { return !s.sinkFull && s.window.Avail() > 0 }

// lookAgain is how often a containment without events is asked whether it is empty.
const lookAgain = 5 * time.Millisecond

// timeout is the time to the deadline in milliseconds, as poll(2) takes it:
// rounded up, so that the loop does not spin through the last one.
func (s *supervisor) timeout() int {
	switch {
	case s.waitable:
		return 0
	case s.deadline.IsZero():
		return -1
	}
	left := time.Until(s.deadline)
	if s.gone && s.phase < draining && s.contained.EventsFD() < 0 {
		left = min(left, lookAgain)
	}
	ms := (left + time.Millisecond - 1) / time.Millisecond
	return int(min(max(ms, 0), math.MaxInt32))
}

// reap notices the program's end. What it leaves behind is told to end too, if
// it is in a cgroup or if that was asked for. What else ends a run asks too, before SIGCHLD
// has told: that may have come while poll(2) returned.
func (s *supervisor) reap(told bool) {
	status, gone := s.program.Exited(told)
	if s.gone || !gone {
		return
	}
	s.gone = true
	s.streams.EndStdin()
	if s.phase == running {
		s.phase, s.status = clearing, status
		s.deadline = time.Now().Add(s.opts.delay)
	}
	switch {
	case s.contained.Empty():
	case s.leaves():
		s.signals.Flush() // one that ended the program may have been for both
		s.takeSignals()
	default:
		s.terminate()
	}
	s.checkContained()
}

// leaves tells whether what is left is none of muontrap's business.
func (s *supervisor) leaves() bool {
	return s.phase == clearing && s.cut == 0 && s.opts.group == nil && s.opts.killMode != killAll
}

// clear tells whether nothing is left that has to be stopped.
func (s *supervisor) clear() bool {
	return s.leaves() || s.contained.Empty()
}

// checkContained moves on when nothing is left to be stopped.
func (s *supervisor) checkContained() {
	if !s.gone || s.phase >= draining || !s.clear() {
		return
	}
	if s.relay != nil {
		s.owed = s.relay.Held()
	}
	if s.phase == stopping && (s.hostGone || s.discard) {
		s.flush() // last words, as far as they go
		s.phase = done
		return
	}
	if s.status != 0 && !s.forced {
		for _, hit := range s.group.Hits() {
			complain("%s", hit)
		}
	}
	s.phase = draining
	s.progress()
	s.drain()
	if s.cut != 0 {
		s.end(s.cut)
	}
}

// takeSignals lets a signal begin the stop, or cut short what follows the
// program's end.
func (s *supervisor) takeSignals() {
	for sig, ok := s.signals.Next(); ok; sig, ok = s.signals.Next() {
		switch {
		case sig == unix.SIGCHLD:
			s.waitable = true
		case sig == unix.SIGTERM && s.guarded && s.forced: // the guard's copy of what was for both
		default:
			s.end(128 + int(sig))
		}
	}
}

// hearHost takes in acknowledgements, and notices that the host is gone.
func (s *supervisor) hearHost() {
	if s.fds[pollHost].Revents == 0 || s.phase == done {
		return
	}
	if s.host != unix.Stdin { // a pidfd has but one event
		s.hostLeft()
		return
	}
	full := s.window.Avail() == 0
	n, err := unix.Read(unix.Stdin, s.acks[:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case n <= 0:
		s.hostLeft()
	case s.window.Ack(s.acks[:n]) == nil:
		if full && s.eager { // there is more, and poll(2) need not be asked
			s.fds[pollSource].Revents = unix.POLLIN
		}
		s.progress()
		s.drain()
	default:
		s.overAcked(n)
	}
}

func (s *supervisor) hostLeft() {
	s.reap(false)
	s.hostGone = true
	s.noMoreAcks()
	s.end(statusFailure)
}

// overAcked ends everything: the host has lost count.
func (s *supervisor) overAcked(n int) {
	inFlight := s.window.InFlight()
	s.reap(false)
	s.hostGone, s.discard = true, true
	if s.phase == stopping || s.phase == done {
		return
	}
	complain("protocol violation: the host acknowledged %d bytes of output, %d were in flight",
		protocol.Acknowledged(s.acks[:n]), inFlight)
	s.end(statusFailure)
	s.status = statusFailure
}

// moveOutput relays once when both ends are ready.
func (s *supervisor) moveOutput() {
	if s.relay == nil || s.phase == done {
		return
	}
	sink := s.fds[pollSink].Revents
	if sink&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		s.sinkBroke(unix.EPIPE)
		return
	}
	if sink&unix.POLLOUT != 0 {
		s.sinkFull = false
		s.drain()
	}
	if s.fds[pollSource].Revents != 0 && s.wantsOutput() {
		s.move()
	}
}

// move relays once, or drops what nobody can get, and tells whether there may
// be more.
func (s *supervisor) move() bool {
	var n int
	var err error
	if s.discard {
		err = s.relay.Discard()
	} else {
		n, err = s.relay.Move(s.window.Avail())
	}
	switch err {
	case nil:
		s.window.Sent(n)
		s.owed -= n
		s.progress()
		s.noMoreAcks()
		return true
	case child.ErrEmpty:
	case child.ErrFull:
		s.sinkFull = true
	case io.EOF:
		s.relay.Close()
		s.relay = nil
	default:
		s.sinkBroke(err)
	}
	return false
}

// noMoreAcks gives up on output that no acknowledgement can ever let through.
// It is dropped, so that the program is not stuck in write(2) while it tidies up.
func (s *supervisor) noMoreAcks() {
	if s.hostGone && s.window.Avail() == 0 {
		s.discard = true
	}
}

// sinkBroke ends everything: output has nowhere to go.
func (s *supervisor) sinkBroke(err error) {
	if err != unix.EPIPE { // that is a reader who left, and no news to him
		complain("cannot write the program's output: %v", err)
	}
	s.discard = true
	s.reap(false)
	s.end(statusFailure)
}

// drain relays what the program left in its pipe, up to the window, and moves
// on when that is all out, and again when it is all acknowledged.
func (s *supervisor) drain() {
	if s.phase == draining {
		s.flush()
		if s.drained() {
			s.phase = settling
		}
	}
	if s.phase == settling && s.window.Settled() {
		s.phase = done
	}
}

// flush relays as much as goes at once.
func (s *supervisor) flush() {
	for s.relay != nil && !s.discard && s.owed > 0 && s.canMove() && s.move() {
	}
}

// drained tells whether all that the program wrote is out. Who else holds the
// pipe may go on writing: a pipeful after the program's end, nothing in it can
// be the program's any more.
func (s *supervisor) drained() bool {
	return s.relay == nil || s.owed <= 0 || s.relay.Empty()
}

// progress gives draining and settling more time.
func (s *supervisor) progress() {
	switch {
	case s.phase != draining && s.phase != settling:
	case s.forced:
		s.deadline = time.Now().Add(s.opts.delay)
	default:
		s.deadline = time.Now().Add(patience)
	}
}

// checkDeadline acts when this phase has had its time.
func (s *supervisor) checkDeadline() {
	if s.deadline.IsZero() || s.phase == done || time.Now().Before(s.deadline) {
		return
	}
	switch s.phase {
	case stopping, clearing:
		s.escalate()
	case draining:
		if !s.forced {
			complain("output is lost: the host took none of it for %v", patience)
		}
		s.end(statusFailure)
	case settling:
		s.phase = done
	}
}
