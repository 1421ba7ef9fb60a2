// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package supervisor

import (
	"os"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/proc"
	"github.com/muontrap/muontrap/internal/signals"
	"golang.org/x/sys/unix"
)

// With --guard there are two of us. The process that the host started becomes
// the guard: it starts a second muontrap, which does all the work, and waits for
// it. Whichever is killed with SIGKILL, the other one finishes the stop:
//
//   - the worker is killed: its orphans come to the guard, a child subreaper,
//     which stops them and removes the cgroup;
//   - the guard is killed: the kernel sends the worker SIGTERM (parent-death
//     signal), which it takes as any other.
//
// The guard gives fd 0 and 1 away, so it keeps no pipe of the host's open. It is the
// guard that watches the parent, if that is asked for: the worker has another one.
// No pid is ever remembered for later: each is the other's parent or child.

// guardedName is argv[0] of the worker.
const guardedName = "muontrap-guarded"

// needsGuard tells whether there have to be two: because that was asked for, or
// because this process was born with children, as when a shell with background jobs
// execs it. It could not tell their orphans from its program's; a second one can.
func (o *options) needsGuard() bool {
	return o.guard || o.group == nil && o.killMode != killProcess && !child.Childless()
}

// guard runs args in a second muontrap and returns the status to exit with.
func guard(opts *options, args []string, sigs *signals.Pipe, host int) int {
	tree, err := child.Adopt()
	if err != nil {
		return fail(statusFailure, err)
	}
	worker, err := child.Start(&child.Spec{
		Program: "/proc/self/exe",
		Args:    append([]string{guardedName}, args...),
		Env:     syscall.Environ(),
		Files:   [3]int{0, 1, 2},
		Orphans: true,
	})
	if err != nil {
		return fail(statusFailure, err)
	}
	letGo(unix.Stdin, unix.Stdout)
	if opts.watch == watchStdin {
		host = -1 // fd 0 is the worker's
	}
	status, killed := watch(worker, sigs, host)
	if !killed {
		return status
	}
	return finish(opts, tree, worker, sigs, status)
}

// letGo replaces streams that are another process's now: when that closes them, they
// have to be closed.
func letGo(fds ...int) {
	if len(fds) == 0 {
		return
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	for _, fd := range fds {
		if err == nil {
			err = unix.Dup2(null, fd)
		}
	}
	if err != nil {
		complain("cannot let go of what is the program's: %v", os.NewSyscallError("dup2", err))
	}
}

// watch passes signals and the parent's end on to the worker until that has ended:
// all as SIGTERM, which even a worker that only starts does not miss. The status is
// that of what came first.
func watch(worker *child.Process, sigs *signals.Pipe, parent int) (status int, killed bool) {
	cause := 0
	stop := func(status int) {
		if cause == 0 {
			cause = status
		}
		_ = worker.Signal(unix.SIGTERM)
	}
	fds := []unix.PollFd{{Fd: int32(sigs.FD()), Events: unix.POLLIN}, {Fd: int32(parent), Events: unix.POLLIN}}
	for {
		for sig, ok := sigs.Next(); ok; sig, ok = sigs.Next() {
			if sig != unix.SIGCHLD {
				stop(128 + int(sig))
			}
		}
		if fds[1].Revents != 0 {
			fds[1] = unix.PollFd{Fd: -1}
			stop(statusFailure)
		}
		if status, gone := worker.Exited(true); gone {
			if cause != 0 && status == 128+int(unix.SIGTERM) {
				status = cause
			} else if worker.Killed() {
				complain("the muontrap under guard was killed: stopping what it ran")
			}
			return status, worker.Killed()
		}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			proc.Pause(10 * time.Millisecond) // do not spin
		}
	}
}

// finish stops what the worker left, its cgroup included.
func finish(opts *options, tree *child.Tree, worker *child.Process, sigs *signals.Pipe, status int) int {
	var left containment = tree
	if opts.killMode == killProcess && opts.group == nil {
		left = new(cgroup.Group) // the program itself has died with the worker
	}
	s := &supervisor{
		opts: opts, program: worker, streams: new(child.Streams), signals: sigs,
		group: new(cgroup.Group), contained: left, phase: stopping, status: status, gone: true, hostGone: true,
		deadline: time.Now().Add(opts.delay),
	}
	s.streams.Source = -1
	s.terminate()
	s.run()
	if opts.group != nil {
		// What a dead muontrap left is killed and made anew by whoever wants it.
		group, err := cgroup.Create(*opts.group, unlimited(opts.controllers))
		if err != nil {
			return fail(status, err)
		}
		removeGroup(group)
	}
	return status
}

func unlimited(controllers []cgroup.Controller) []cgroup.Controller {
	bare := make([]cgroup.Controller, len(controllers))
	for i, c := range controllers {
		bare[i].Name = c.Name
	}
	return bare
}
