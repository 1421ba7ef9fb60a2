// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package child

import "syscall"

// spawn forks and execs: groups, gid and uid in this order.
func spawn(s *Spec, path string, args []string) (pid int, err error) {
	return syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env:   s.Env,
		Files: []uintptr{uintptr(s.Files[0]), uintptr(s.Files[1]), uintptr(s.Files[2])},
		Sys:   sysProcAttr(s.As),
	})
}

func startStaged(s *Spec) (*Process, error) {
	return nil, &StartError{Program: s.Program, Setup: "enter cgroups", Err: syscall.ENOSYS}
}

// Stage is for Linux, where a program may have to enter cgroups first.
func Stage([]string) {}
