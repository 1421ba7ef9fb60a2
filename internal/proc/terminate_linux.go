// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tellTime bounds Terminate: there may be processes that fork and exit all the time, or
// never take a signal that they block.
const tellTime = 100 * time.Millisecond

// Terminate sends SIGTERM to all on a list, and SIGCONT for those that are stopped. Its
// error names the first that can't be signalled.
//
// Meanwhile they fork, so it lists them again until nobody new has come. What somebody
// starts who has taken SIGTERM, to tidy up, is left alone as long as that one lives. Nobody
// can fork who is to die of a signal (clone(2) gives up then); but C libraries block
// signals while they fork, so that one is waited for.
func Terminate(list func() []int, send func(pid int, sigs ...syscall.Signal) error) error {
	var first error
	told, spared := map[int]bool{}, map[int]bool{}
	tell := func(pids []int) {
		for _, pid := range pids {
			told[pid] = true
			if err := send(pid, unix.SIGTERM, unix.SIGCONT); err != nil && first == nil {
				first = fmt.Errorf("cannot send SIGTERM to %s: %w", Describe(pid), err)
			}
		}
	}
	tell(list())
	for end := time.Now().Add(tellTime); time.Now().Before(end); {
		waiting := anyForking(told)
		late := slices.DeleteFunc(list(), func(pid int) bool {
			if !told[pid] && !spared[pid] {
				parent := Parent(pid)
				spared[pid] = spared[parent] || told[parent] && sigtermOf(parent).taken()
			}
			return told[pid] || spared[pid]
		})
		if tell(late); len(late) > 0 {
			continue
		}
		if !waiting {
			break
		}
		_, _ = unix.Poll(nil, 1)
	}
	return first
}

// anyForking tells whether any of these may yet get a child without having taken SIGTERM.
func anyForking(pids map[int]bool) bool {
	for pid := range pids {
		if sigterm := sigtermOf(pid); sigterm.blocked && sigterm.pending {
			return true
		}
	}
	return false
}

// disposition is what a process does about a signal, and whether that waits to be done.
type disposition struct{ pending, blocked, caught bool }

// taken tells whether a process that was sent the signal may be acting on it.
func (d disposition) taken() bool { return !d.pending && (d.blocked || d.caught) }

// sigtermOf reads a process's disposition of SIGTERM (proc_pid_status(5)): none if it is
// gone.
func sigtermOf(pid int) disposition {
	status, _ := ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	in := func(set string) bool {
		_, rest, _ := strings.Cut(string(status), "\n"+set+":\t")
		line, _, _ := strings.Cut(rest, "\n")
		signals, _ := strconv.ParseUint(line, 16, 64)
		return signals>>(unix.SIGTERM-1)&1 != 0
	}
	return disposition{in("ShdPnd"), in("SigBlk"), in("SigCgt")}
}
