// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { fixtures["@seccomp"] = fixtureSeccomp }

// fault makes a system call fail: with this number, and with these bits in the
// lower half of this argument (counted from 0).
type fault struct {
	nr         uintptr
	arg        int
	mask, bits uint32
	err        syscall.Errno
}

// failing makes every such call fail.
func failing(nr uintptr, err syscall.Errno) fault { return fault{nr: nr, err: err} }

// failingIf makes calls fail that have these bits, among those of the mask.
func failingIf(nr uintptr, arg int, mask, bits uint32, err syscall.Errno) fault {
	return fault{nr, arg, mask, bits, err}
}

const faultFormat = "%d,%d,%d,%d,%d"

func (f fault) String() string {
	return fmt.Sprintf(faultFormat, f.nr, f.arg, f.mask, f.bits, f.err)
}

// throughFaults starts muontrap, and so its program, where calls fail.
func throughFaults(faults ...fault) func(*exec.Cmd) {
	return through(faultArgs(faults)...)
}

func faultArgs(faults []fault) []string {
	args := []string{self, "@seccomp"}
	for _, f := range faults {
		args = append(args, f.String())
	}
	return append(args, "--")
}

// startFaulty is startArmed where calls fail.
func startFaulty(t *testing.T, faults []fault, args ...string) *host {
	t.Helper()
	h := startWith(t, through(faultArgs(faults)...), args...)
	h.armed()
	return h
}

// fixtureSeccomp executes a command in which the faults happen that come
// before "--" (seccomp(2)).
func fixtureSeccomp(args []string) int {
	runtime.LockOSThread()
	end := slices.Index(args, "--")
	var faults []fault
	for _, a := range args[:end] {
		var f fault
		if _, err := fmt.Sscanf(a, faultFormat, &f.nr, &f.arg, &f.mask, &f.bits, &f.err); err != nil {
			return fixtureFailed(err)
		}
		faults = append(faults, f)
	}
	if err := install(filter(faults)); err != nil {
		return fixtureFailed(err)
	}
	return execute(args[end+1:])
}

// install makes this thread, and what it executes, subject to a filter.
func install(filter []unix.SockFilter) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Offsets in struct seccomp_data, of which a filter loads 32 bits at a time.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// filter translates faults to a program of the classic packet filter machine.
func filter(faults []fault) []unix.SockFilter {
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		and   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		give  = unix.BPF_RET | unix.BPF_K
	)
	prog := []unix.SockFilter{
		{Code: load, K: offsetArch},
		{Code: equal, K: arch, Jt: 1},
		{Code: give, K: unix.SECCOMP_RET_ALLOW},
	}
	for _, f := range faults {
		prog = append(prog,
			unix.SockFilter{Code: load, K: offsetNr},
			unix.SockFilter{Code: equal, K: uint32(f.nr), Jf: 4}, // to the next fault
			unix.SockFilter{Code: load, K: offsetArgs + 8*uint32(f.arg)},
			unix.SockFilter{Code: and, K: f.mask},
			unix.SockFilter{Code: equal, K: f.bits, Jf: 1},
			unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(f.err)})
	}
	return append(prog, unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW})
}
