// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// Tree is all that descends from this process: the program, its children, and
// those whose parents are gone. For these come to this process, a child
// subreaper (prctl(2)), however often they forked and whatever session or
// process group they fled to.
type Tree struct {
	foreign map[int]bool // children that this process was born with (exec keeps them)
}

// Adopt makes this process the subreaper. Call it before Start.
//
// A process that was born with children does not become one: of an orphan it
// could not tell whose it is. Its tree is then what hangs below the program
// as long as every link lives.
func Adopt() (*Tree, error) {
	t := &Tree{foreign: map[int]bool{}}
	if !Childless() { // a walk through /proc costs several times the rest of the start
		for _, pid := range t.children()(os.Getpid()) {
			t.foreign[pid] = true
		}
	}
	if len(t.foreign) > 0 {
		return t, nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return t, fmt.Errorf("cannot become a child subreaper, so processes can escape: %w", err)
	}
	return t, nil
}

// Members lists the descendants, parents before children.
func (t *Tree) Members() []int { return t.walk(map[int]bool{}, func(int) {}) }

// walkTime bounds a walk: there may be processes that fork faster than it goes.
const walkTime = 2 * time.Second

// walk visits the descendants, each before it looks for that one's children, and lists
// them. Whom it has come across is seen, this process included.
func (t *Tree) walk(seen map[int]bool, visit func(pid int)) []int {
	end := time.Now().Add(walkTime)
	kids := t.children()
	self := os.Getpid()
	seen[self] = true
	var pids []int
	next := 0
	for range 2 { // who loses his parent meanwhile comes to where this began
		own := slices.DeleteFunc(kids(self), func(pid int) bool { return seen[pid] })
		pids = append(pids, living(own)...)
		for ; next < len(pids) && time.Now().Before(end); next++ {
			pid := pids[next]
			visit(pid)
			seen[pid] = true
			pids = append(pids, kids(pid)...)
		}
	}
	return pids
}

// living leaves out those of this process's children that are dead and wait to be
// waited for: there can be thousands, and they need no signals.
func living(kids []int) []int {
	return slices.DeleteFunc(kids, func(pid int) bool {
		var ended unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &ended, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		return err == nil && ended.Signo != 0
	})
}

// EventsFD is -1: there is only SIGCHLD to tell that something has changed.
func (t *Tree) EventsFD() int { return -1 }

// Thaw has nothing to do: SIGCONT comes with Terminate.
func (t *Tree) Thaw() {}

// Empty tells whether no descendant is left that was not waited for. To a
// subreaper the kernel can say so; that takes neither /proc nor a descriptor.
func (t *Tree) Empty() bool {
	if len(t.foreign) > 0 {
		return len(t.children()(os.Getpid())) == 0
	}
	return Childless()
}

// Childless tells whether this process has no children. It asks wait(2), without
// waiting.
func Childless() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD
}

// Terminate sends SIGTERM to every descendant, and SIGCONT for those that are
// stopped. Until end, it may wait for those who die of that. Its error names the
// first that can't be signalled.
func (t *Tree) Terminate(end time.Time) error {
	var seen map[int]bool
	var lost error
	list := func() []int {
		seen = map[int]bool{}
		pids := t.walk(seen, func(int) {})
		if len(pids) == 0 && lost == nil {
			lost = t.findable()
		}
		return pids
	}
	err := proc.Terminate(list, func(pid int, sigs ...syscall.Signal) error {
		return signalChildOf(seen, pid, sigs...)
	}, end)
	if err == nil {
		err = lost
	}
	return err
}

// findable tells why members can't be found that there are.
func (t *Tree) findable() error {
	if len(t.children()(os.Getpid())) == 0 && !t.Empty() {
		return errors.New("cannot send signals to what is left: /proc does not tell who that is")
	}
	return nil
}

// The chase after a tree that forks is bounded: SIGKILL for all that was found,
// and another try when the dead are out of the way, is the better way then.
const (
	chaseTime  = 200 * time.Millisecond
	stopPasses = 10
)

// Kill sends SIGKILL to every descendant. First it stops them all, again and
// again until no new ones turn up: the list of a stopped process's children is
// complete, and stays so (proc_tid_children(5)). One that forks and exits all the
// time is caught because each gets its SIGSTOP before its children are looked for.
func (t *Tree) Kill() error {
	stopped := map[int]bool{}
	for end := time.Now().Add(chaseTime); time.Now().Before(end); {
		before := len(stopped)
		t.stopChildren(stopped)
		seen := map[int]bool{}
		t.walk(seen, func(pid int) {
			if !stopped[pid] {
				stopped[pid] = true
				_ = signalChildOf(seen, pid, unix.SIGSTOP) // SIGKILL will tell
			}
		})
		if len(stopped) == before {
			break
		}
	}
	return t.sigkill()
}

// stopChildren stops this process's own children, to which belongs who flees by
// fork and exit, as an orphan. One system call for each is faster than that: for
// nobody else can have a child's pid before it is waited for.
func (t *Tree) stopChildren(stopped map[int]bool) {
	kids := t.children()
	for range stopPasses {
		before := len(stopped)
		for _, pid := range kids(os.Getpid()) {
			if !stopped[pid] {
				stopped[pid] = true
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		}
		if len(stopped) == before {
			return
		}
	}
}

// sigkill sends SIGKILL to those that are there now.
func (t *Tree) sigkill() error {
	seen := map[int]bool{}
	pids := t.walk(seen, func(int) {})
	if len(pids) == 0 {
		return t.findable()
	}
	var first error
	for _, pid := range pids {
		if err := signalChildOf(seen, pid, unix.SIGKILL); err != nil && first == nil {
			first = fmt.Errorf("cannot send SIGKILL to %s: %w", proc.Describe(pid), err)
		}
	}
	return first
}

// signalChildOf signals a process whose parent is one of these, and nobody else: a pid
// from a list may be another's by now.
func signalChildOf(parents map[int]bool, pid int, sigs ...syscall.Signal) error {
	err := proc.Signal(pid, func() bool { return parents[proc.Parent(pid)] }, sigs...)
	if err == proc.ErrOther {
		return nil
	}
	return err
}

// children returns what tells the children of a process.
func (t *Tree) children() func(pid int) []int {
	of := childrenOf
	if missing("/proc/thread-self/children") { // no CONFIG_PROC_CHILDREN
		of = scan()
	}
	return func(pid int) []int {
		kids := of(pid)
		return slices.DeleteFunc(kids, func(kid int) bool { return t.foreign[kid] })
	}
}

func childrenOf(pid int) []int {
	var kids []int
	dir := "/proc/" + strconv.Itoa(pid) + "/task/"
	for _, thread := range proc.Names(dir) {
		list, _ := proc.ReadFile(dir + thread + "/children")
		for _, f := range strings.Fields(string(list)) {
			if kid, err := strconv.Atoi(f); err == nil {
				kids = append(kids, kid)
			}
		}
	}
	return kids
}

// scan asks every process for its parent.
func scan() func(pid int) []int {
	kids := map[int][]int{}
	for _, name := range proc.Names("/proc") {
		if pid, err := strconv.Atoi(name); err == nil {
			parent := proc.Parent(pid)
			kids[parent] = append(kids[parent], pid)
		}
	}
	return func(pid int) []int { return kids[pid] }
}
