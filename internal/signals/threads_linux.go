// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build 386 || amd64 || arm || arm64 || mips || mipsle || riscv64

package signals

import (
	"strconv"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// settleTime bounds the wait for other threads: an emulator may have some of its own.
const settleTime = 100 * time.Millisecond

// Settle returns when the default effect of all signals that came before Open has come. A
// thread that is in the Go runtime's handler is about to end this process, and may be held
// up on a busy machine: so this waits until every other thread was seen elsewhere. It takes
// 0.1 ms. A program without a cgroup is not worth them: what it would leave behind dies of
// its parent-death signal.
func (p *Pipe) Settle() {
	self := strconv.Itoa(unix.Gettid())
	for _, thread := range proc.Names("/proc/self/task") {
		for end := time.Now().Add(settleTime); thread != self && !asleep(thread) && time.Now().Before(end); {
			_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		}
	}
}

// asleep tells whether a thread sleeps outside of all signal handlers, where the Go
// runtime never has SIGCHLD blocked.
func asleep(thread string) bool {
	const state, blocked = 0, 29
	stat := proc.Stat("/proc/self/task/" + thread + "/stat")
	if stat == "" {
		return true // it has ended
	}
	set, err := strconv.ParseUint(proc.Field(stat, blocked), 10, 64)
	return err == nil && proc.Field(stat, state) == "S" && set&(1<<(unix.SIGCHLD-1)) == 0
}
