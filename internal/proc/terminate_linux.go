// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Terminate sends SIGTERM to all on a list, and SIGCONT for those that are stopped. Its
// error names the first that can't be signalled.
//
// Meanwhile they fork, so it lists them again until nobody new has come. No list is sure
// to be complete before those who die of SIGTERM are dead: until then they may be about to
// fork, as C libraries block signals for that, and their children on the way to somebody
// else. It waits for them, until end at most.
//
// What somebody starts who has taken SIGTERM, to tidy up, is left alone as long as that
// one lives.
func Terminate(list func() []int, send func(pid int, sigs ...syscall.Signal) error, end time.Time) error {
	t := &telling{send: send, caught: map[int]bool{}}
	for pass := 0; ; pass++ {
		late, spared := t.newcomers(list())
		var dying []int
		for _, pid := range late {
			if t.tell(pid) {
				dying = append(dying, pid)
			}
		}
		for _, pid := range dying {
			awaitDeath(pid, end)
		}
		switch {
		case pass > 0 && len(late) == 0 && !spared:
			return t.first
		case pass > 1 && !time.Now().Before(end): // there are many if it is late so soon
			return t.first
		case spared:
			Pause(5 * time.Millisecond) // children that end cut it short
		}
	}
}

// telling is how far Terminate has come.
type telling struct {
	send   func(pid int, sigs ...syscall.Signal) error
	caught map[int]bool // who was told, and whether he had a handler then
	first  error
}

// tell sends the signals to one, and tells whether he has to die of that.
func (t *telling) tell(pid int) (dying bool) {
	is := sigtermOf(pid) // now: the handler may be gone when it has run
	t.caught[pid] = is.caught
	err := t.send(pid, unix.SIGTERM, unix.SIGCONT)
	if err != nil && t.first == nil {
		t.first = fmt.Errorf("cannot send SIGTERM to %s: %w", Describe(pid), err)
	}
	return !is.caught && !is.ignored && err == nil
}

// newcomers lists those who are to be told yet. Others are spared for now: their next
// elder who was told, if there is one, may have started them in answer to that.
func (t *telling) newcomers(pids []int) (late []int, spared bool) {
	if len(t.caught) == 0 {
		return pids, false
	}
	here, answers := map[int]bool{}, map[int]bool{}
	for _, pid := range pids {
		here[pid] = true
	}
	var answer func(pid int) bool
	answer = func(pid int) bool {
		if _, known := answers[pid]; !known && here[pid] {
			answers[pid] = false
			if caught, told := t.caught[pid]; told {
				answers[pid] = sigtermOf(pid).taken(caught)
			} else {
				answers[pid] = answer(Parent(pid))
			}
		}
		return answers[pid]
	}
	for _, pid := range pids {
		if _, told := t.caught[pid]; told {
			continue
		}
		if answer(pid) {
			spared = true
		} else {
			late = append(late, pid)
		}
	}
	return late, spared
}

// awaitDeath waits for the end of one who dies of SIGTERM.
func awaitDeath(pid int, end time.Time) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err == nil {
		defer unix.Close(fd)
	}
	for time.Now().Before(end) {
		dead, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1)
		if dead == 1 || !sigtermOf(pid).dying() {
			return
		}
	}
}

// disposition is what a process does about a signal, and whether that waits to be done.
type disposition struct{ alive, pending, blocked, ignored, caught bool }

// taken tells whether a process that was sent the signal may be acting on it, now or if it
// caught it then.
func (d disposition) taken(caught bool) bool {
	return d.alive && !d.pending && (caught || d.caught || d.blocked)
}

// dying tells whether that is to be the end of it. While it has the signal blocked and has
// not taken it, nothing is decided.
func (d disposition) dying() bool {
	return d.alive && (d.blocked && d.pending || !d.blocked && !d.ignored && !d.caught)
}

// sigtermOf reads a process's disposition of SIGTERM (proc_pid_status(5); what is blocked
// is the main thread's).
func sigtermOf(pid int) disposition {
	text, _ := ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	status := string(text)
	field := func(name string) string {
		_, rest, _ := strings.Cut(status, "\n"+name+":\t")
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	in := func(set string) bool {
		signals, _ := strconv.ParseUint(field(set), 16, 64)
		return signals>>(unix.SIGTERM-1)&1 != 0
	}
	state := field("State")
	return disposition{
		alive:   state != "" && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X"),
		pending: in("ShdPnd"), blocked: in("SigBlk"), ignored: in("SigIgn"), caught: in("SigCgt"),
	}
}
