// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package child starts the one program that muontrap runs, moves its output,
// signals it and collects its exit status.
//
// [OpenStreams] makes the three descriptors that the program gets, [Start] runs
// it with them, a [Relay] carries what it writes, and [Process] is its life:
// ask [Process.Exited] after each SIGCHLD.
//
// A program is started the way execvp(3) would do it in a process that already
// has the wanted user and groups: so the search of PATH sees what that user
// sees. Where the kernel can, the program dies with muontrap (parent-death
// signal, prctl(2)); for that, Start must be called on the main thread.
package child

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// Spec is what to run, and as whom.
type Spec struct {
	Program string   // a path, or a name to be looked up in Env's PATH
	Args    []string // argument vector, argv[0] first
	Env     []string // NAME=VALUE
	Files   [3]int   // become descriptors 0, 1 and 2
	As      *syscall.Credential

	// Orphans may come to this process (see Adopt, or as PID 1), and Exited is to
	// wait for them too.
	Orphans bool

	// Cgroups, as directory descriptors (Linux): Born is where the process is
	// made, 0 for muontrap's own; Join are what it enters before it runs.
	Born int
	Join []int
}

// StartError says why nothing runs.
type StartError struct {
	Program string
	Found   bool   // there is such a file
	Setup   string // if it never came to running it: what failed
	Err     error
}

func (e *StartError) Error() string {
	switch {
	case e.Setup != "":
		return fmt.Sprintf("cannot %s for %q: %v", e.Setup, e.Program, e.Err)
	case e.Found && e.Err == syscall.ENOENT:
		return fmt.Sprintf("cannot run %q: the interpreter or loader that it names does not exist", e.Program)
	case e.Found || e.Err != syscall.ENOENT:
		return fmt.Sprintf("cannot run %q: %v", e.Program, e.Err)
	case strings.Contains(e.Program, "/"):
		return fmt.Sprintf("cannot run %q: no such file", e.Program)
	default:
		return fmt.Sprintf("cannot run %q: not found in PATH", e.Program)
	}
}

func (e *StartError) Unwrap() error { return e.Err }

// Start runs the program, or returns a *StartError and leaves nothing behind.
// Like execvp(3) it tries each candidate in turn, goes on after those that are
// missing or not permitted, and hands a text of no known format to /bin/sh.
func Start(s *Spec) (*Process, error) {
	if len(s.Join) > 0 {
		return startStaged(s)
	}
	failed := &StartError{Program: s.Program, Err: syscall.ENOENT}
	for _, path := range candidates(s.Program, s.Env) {
		if missing(path) {
			continue // the same answer as from execve(2), a process cheaper
		}
		failed.Found = true
		pid, err := spawn(s, path, s.Args)
		if err == syscall.ENOEXEC && !binary(path) {
			pid, err = spawn(s, shell, shellArgs(path, s.Args))
		}
		if err == nil {
			return newProcess(s, pid), nil
		}
		setup := err
		if err != syscall.EAGAIN && err != syscall.ENOMEM {
			setup = setupFails(s)
		}
		if setup != nil {
			if s.Born > 0 {
				return startStaged(s) // it gets in another way, or can tell what is wrong
			}
			failed.Setup, failed.Err = "start a process", setup
			break
		}
		failed.Err = err
		if errno, _ := err.(syscall.Errno); !tryNext(errno) {
			break
		}
	}
	return nil, failed
}

// tryNext tells whether execvp(3) goes on with the next directory.
func tryNext(e syscall.Errno) bool {
	switch e {
	case syscall.EACCES, syscall.ENOENT, syscall.ENOTDIR, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT:
		return true
	}
	return false
}

// A file of no known format is a script for this.
const shell = "/bin/sh"

func shellArgs(path string, args []string) []string {
	return append([]string{shell, path}, args[1:]...)
}

// candidates lists the paths to try. An unset PATH has the C library's default,
// an empty element means the working directory.
func candidates(program string, env []string) []string {
	if strings.Contains(program, "/") {
		return []string{program}
	}
	if program == "" {
		return nil
	}
	path := "/bin:/usr/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
			break
		}
	}
	var paths []string
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, dir+"/"+program)
	}
	return paths
}

func missing(path string) bool {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return err == unix.ENOENT || err == unix.ENOTDIR
}

// binary tells whether a file that the kernel can't run is no script either: a
// text has no NUL in its first line. The shell would complain of gibberish.
func binary(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false // the shell will tell
	}
	defer unix.Close(fd)
	var head [256]byte
	n, _ := unix.Read(fd, head[:])
	line, _, _ := bytes.Cut(head[:max(n, 0)], []byte("\n"))
	return bytes.IndexByte(line, 0) >= 0
}

// setupFails tells a process that could not be made, or could not take on its
// identity, from a program that could not be run. The kernel gives one number
// for all: so try once more with a program that certainly does not exist.
func setupFails(s *Spec) error {
	if _, err := spawn(s, "", s.Args); err != syscall.ENOENT {
		return err
	}
	return nil
}

// Process is a started program.
type Process struct {
	pid    int
	awaits int // what wait4(2) is asked for: pid, or -1 for orphans too
	status int
	exited bool
	killed bool // by a signal
}

func newProcess(s *Spec, pid int) *Process {
	p := &Process{pid: pid, awaits: pid}
	if s.Orphans {
		p.awaits = -1
	}
	return p
}

// PID is the program's process ID, its own until Exited has returned true.
func (p *Process) PID() int { return p.pid }

// Signal sends a signal. A program that is gone is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if p.exited {
		return nil
	}
	// Until it is waited for, nobody else can have this pid.
	if err := unix.Kill(p.pid, sig); err != nil && err != unix.ESRCH {
		return fmt.Errorf("cannot send %s to %s: %w", unix.SignalName(sig), proc.Describe(p.pid), err)
	}
	return nil
}

// Exited tells, without blocking, whether the program is gone, and with which status as
// a shell counts: its own, or 128 plus the signal that killed it. Where wait4(2) fails, the
// program is gone if SIGCHLD has told so.
func (p *Process) Exited(told bool) (status int, yes bool) {
	for range reapAtOnce {
		if !p.wait(p.awaits, unix.WNOHANG, told) {
			return p.status, p.exited
		}
	}
	_ = unix.Kill(os.Getpid(), unix.SIGCHLD) // there may be more: come back
	return p.status, p.exited
}

// reapAtOnce bounds a call of Exited: orphans can end as fast as they are waited
// for, and there are other things to do.
const reapAtOnce = 1000

// Killed tells whether a signal ended the program.
func (p *Process) Killed() bool { return p.killed }

// wait collects one exit status (wait4(2)), and tells whether there may be more.
func (p *Process) wait(pid, options int, told bool) bool {
	var ws unix.WaitStatus
	got, err := unix.Wait4(pid, &ws, options, nil)
	switch {
	case err == unix.EINTR:
		return true
	case err != nil && told && !p.exited: // ECHILD: somebody else took it, its status is lost
		p.exited, p.status = true, 1
	case got == p.pid && !p.exited && ws.Signaled():
		p.exited, p.killed, p.status = true, true, 128+int(ws.Signal())
	case got == p.pid && !p.exited:
		p.exited, p.status = true, ws.ExitStatus()
	}
	return got > 0
}

// reap waits until the program is gone.
func (p *Process) reap() {
	for !p.exited {
		p.wait(p.pid, 0, true)
	}
}
