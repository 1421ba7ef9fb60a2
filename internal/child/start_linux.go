// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// spawn forks and execs. The standard library does groups, gid, uid and then
// the parent-death signal, in this order, restores RLIMIT_NOFILE, and hands
// back execve's errno.
func spawn(s *Spec, path string, args []string) (pid int, err error) {
	return forkExec(path, args, s.Env, s.Files[:], &syscall.SysProcAttr{
		Credential:  s.As,
		UseCgroupFD: s.Born > 0,
		CgroupFD:    s.Born,
	})
}

func forkExec(path string, args, env []string, files []int, attr *syscall.SysProcAttr) (pid int, err error) {
	// The child gets this thread's signal mask; what muontrap inherited blocked
	// would stay blocked in a program that waits for it.
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return 0, err
	}
	attr.Pdeathsig = syscall.SIGKILL
	fds := make([]uintptr, len(files))
	for i, fd := range files {
		fds[i] = uintptr(fd)
	}
	return syscall.ForkExec(path, args, &syscall.ProcAttr{Env: env, Files: fds, Sys: attr})
}
