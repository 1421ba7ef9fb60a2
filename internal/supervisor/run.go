// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package supervisor is muontrap: it knows what for and when.
//
// One goroutine owns all state and waits in one poll(2): see run.go for how a run
// begins, loop.go for what happens while the program lives, stop.go for how it ends.
package supervisor

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"unicode"

	"github.com/muontrap/muontrap/internal/cgroup"
	"github.com/muontrap/muontrap/internal/child"
	"github.com/muontrap/muontrap/internal/signals"
	"golang.org/x/sys/unix"
)

// Exit statuses that are not the program's own. A signal N adds 128.
const (
	statusFailure     = 1 // nothing was started, the host is gone, or it broke the protocol
	statusNotRunnable = 126
	statusNotFound    = 127
)

// Main does all that muontrap is asked for, and returns the status to exit with. It has to
// be called on the main thread, and stay there.
func Main(args []string) int {
	parent := unix.Getppid() // before anything that takes time: it may be about to end
	// The loop allocates nothing, so there is nothing to collect. What a long stop
	// allocates is bounded all the same.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
	child.Stage(args)
	return run(args, parent)
}

const memoryLimit = 32 << 20

func run(args []string, parent int) int {
	// From here on, every signal is an order to stop. (SIGINT is heard even in a
	// background job, which ignores it. So it is not ignored in the program either.)
	sigs, err := signals.Open(append(signals.Terminating(), unix.SIGCHLD))
	if err != nil {
		return fail(statusFailure, err)
	}
	opts, err := parse(os.Getenv(optionsVariable), args[1:])
	if err != nil {
		return fail(statusFailure, err)
	}
	switch {
	case opts.help:
		return answer(usage())
	case opts.version:
		return answer(about())
	}
	guarded := args[0] == guardedName
	host, err := opts.openHost(parent, guarded)
	if err != nil {
		return fail(statusFailure, err)
	}
	if opts.needsGuard() && !guarded {
		return guard(opts, args[1:], sigs, host)
	}
	if guarded {
		debug.SetTraceback("crash") // should the runtime fail, the guard is to see that
		if err := followGuard(parent); err != nil {
			return fail(statusFailure, err)
		}
	}
	s := &supervisor{opts: opts, signals: sigs, host: host, guarded: guarded}
	if err := s.prepare(); err != nil {
		return fail(statusFailure, err)
	}
	defer removeGroup(s.group)
	if err := s.start(); err != nil {
		return fail(startStatus(err), err)
	}
	// A program lives: from here on every way out leads through the stop sequence.
	status := s.run()
	if s.forced || s.program.Killed() {
		s.terminal.restore()
	}
	return status
}

func removeGroup(group *cgroup.Group) {
	if err := group.Remove(); err != nil {
		complain("%v", err)
	}
}

func startStatus(err error) int {
	var e *child.StartError
	switch {
	case !errors.As(err, &e) || e.Setup != "":
		return statusFailure
	case e.Found:
		return statusNotRunnable
	}
	return statusNotFound
}

func fail(status int, err error) int {
	complain("%v", err)
	return status
}

// maxMessage is what a writable pipe is sure to take without blocking (pipe(7)).
const maxMessage = 4096

// complain writes one line to fd 2, if it can be done at once: nobody reading
// there must not keep muontrap from its work.
func complain(format string, args ...any) {
	fds := []unix.PollFd{{Fd: 2, Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	if n == 0 || err == unix.EINTR || fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
		return // and a broken pipe would answer with SIGPIPE, which is an order to stop
	}
	defer unsuspended()()
	line := "muontrap: " + strings.Map(printable, fmt.Sprintf(format, args...))
	_, _ = unix.Write(2, append([]byte(line[:min(len(line), maxMessage-1)]), '\n'))
}

// printable keeps what others chose (an option, a program's name) from making
// two lines of one message.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return '?'
	}
	return r
}

func answer(text string) int {
	if _, err := os.Stdout.WriteString(text); err != nil {
		return fail(statusFailure, err)
	}
	return 0
}
