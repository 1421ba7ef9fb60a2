// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command muontrap runs a program for a host that may vanish at any moment.
//
// It watches its stdin: bytes there acknowledge output, end of file means that
// the host is gone. It relays the program's output in acknowledged windows, and
// when anything ends (the host, the program, muontrap itself) it stops what
// still runs: SIGTERM first, SIGKILL after a delay.
//
// One goroutine owns all state and waits in one poll(2): see loop.go for what
// happens while the program lives, stop.go for how it ends.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

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

func init() {
	// The parent-death signal follows the thread that forks: it has to be one
	// that lives as long as the process, and only the main thread surely does.
	runtime.LockOSThread()
}

func main() {
	if child.Stage(os.Args) {
		return
	}
	// The loop allocates nothing, so there is nothing to collect; and a collector
	// that never runs never needs a thread in a moment when there is none to be had.
	debug.SetGCPercent(-1)
	os.Exit(run(os.Args))
}

func run(args []string) int {
	vital, others := signals.Terminating()
	sigs, err := signals.Open(vital, append(others, unix.SIGCHLD)) // orphans end, too
	if err != nil {
		return fail(statusFailure, err)
	}
	opts, err := parse(args[1:])
	if err != nil {
		return fail(statusFailure, err)
	}
	if opts.help {
		return printUsage()
	}
	if opts.guard && args[0] != guardedName {
		return guard(opts, args[1:], sigs)
	}
	as, err := opts.identity()
	if err != nil {
		return fail(statusFailure, err)
	}
	streams, err := child.OpenStreams(opts.capture(), opts.window)
	if err != nil {
		return fail(statusFailure, err)
	}
	if opts.group != nil || signal.Ignored(unix.SIGINT) {
		// A signal must not leave a directory behind. And in a shell's background
		// job SIGINT is ignored, but not by muontrap, and so not by its program:
		// not just when that happens to start later.
		sigs.Armed()
	}
	group, err := opts.contain()
	if err != nil {
		return fail(statusFailure, err)
	}
	defer removeGroup(group)
	s := &supervisor{opts: opts, streams: streams, signals: sigs, group: group, contained: group}
	if opts.group == nil && opts.killMode != killProcess {
		if s.contained, err = child.Adopt(); err != nil {
			complain("%v", err)
		}
	}
	dirs := group.Dirs()
	s.program, err = child.Start(&child.Spec{
		Program: opts.program[0],
		Args:    opts.argv(),
		Env:     syscall.Environ(),
		Files:   streams.Files,
		As:      as,
		Born:    dirs.Born,
		Join:    dirs.Join,
	})
	if err != nil {
		status := startStatus(err)
		if status == statusFailure {
			err = group.Explain(err)
		}
		return fail(status, err)
	}
	// A program lives: from here on every way out leads through the stop sequence.
	return s.run()
}

// contain makes the cgroup that was asked for; an empty one if none was.
func (o *options) contain() (*cgroup.Group, error) {
	if o.group == nil {
		return new(cgroup.Group), nil
	}
	group, err := cgroup.Create(*o.group, o.controllers)
	if err != nil {
		return nil, err
	}
	for _, note := range group.Notes() {
		complain("%s", note)
	}
	return group, nil
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
	if n, _ := unix.Poll(fds, 0); n == 0 {
		return
	}
	line := "muontrap: " + fmt.Sprintf(format, args...)
	_, _ = unix.Write(2, append([]byte(line[:min(len(line), maxMessage-1)]), '\n'))
}

func printUsage() int {
	if _, err := os.Stdout.WriteString(usage()); err != nil {
		return fail(statusFailure, err)
	}
	return 0
}
