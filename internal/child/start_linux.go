// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawn forks and execs. The standard library does groups, gid, uid and then
// the parent-death signal, in this order, restores RLIMIT_NOFILE, and hands
// back execve's errno.
func spawn(s *Spec, path string, args []string) (pid int, err error) {
	// The child gets this thread's signal mask; what muontrap inherited blocked
	// would stay blocked in a program that waits for it.
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env:   s.Env,
		Files: []uintptr{uintptr(s.Files[0]), uintptr(s.Files[1]), uintptr(s.Files[2])},
		Sys:   &syscall.SysProcAttr{Credential: s.As, Pdeathsig: syscall.SIGKILL},
	})
}

func newProcess(pid int) *Process {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1
	}
	return &Process{pid: pid, pidfd: fd}
}

// Name is the program's name as the kernel knows it, for messages.
func (p *Process) Name() string {
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(comm))
}
