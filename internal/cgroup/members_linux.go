// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
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

// EventsFD signals a change (POLLPRI) when the last member has gone. It is -1
// where there is nothing but to ask Empty again and again: on v1.
func (g *Group) EventsFD() int {
	for _, d := range g.dirs {
		if d.v2 && d.events >= 0 {
			return d.events
		}
	}
	return -1
}

// Empty tells whether no process lives in the group or below. Asking takes note
// of the latest event.
func (g *Group) Empty() bool {
	return !slices.ContainsFunc(g.dirs, func(d *dir) bool { return d.populated(d.fd) })
}

// populated counts what can't be asked as yes, unless it is because the directory
// is no more.
func (d *dir) populated(fd int) bool {
	var text string
	var err error
	if d.v2 {
		text, err = d.readEvents(fd)
	} else {
		text, err = readAt(fd, "cgroup.procs")
	}
	switch {
	case err != nil:
		return err != unix.ENODEV && err != unix.ENOENT
	case d.v2:
		return strings.Contains(text, "populated 1")
	}
	return text != "" || len(members(fd)) > 0
}

func (d *dir) readEvents(fd int) (string, error) {
	if d.events < 0 {
		return readAt(fd, "cgroup.events")
	}
	var b [256]byte
	n, err := unix.Pread(d.events, b[:], 0)
	return string(b[:max(n, 0)]), err
}

// Members lists the processes in the group and below.
func (g *Group) Members() []int {
	var pids []int
	for _, d := range g.dirs {
		pids = append(pids, members(d.fd)...)
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

func members(fd int) []int {
	var pids []int
	each(fd, func(fd int) {
		list, _ := readAt(fd, "cgroup.procs")
		for _, f := range strings.Fields(list) {
			// 0 is a process that can't be seen from this pid namespace.
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	})
	return pids
}

// Thaw lets frozen members run, so that they hear signals.
func (g *Group) Thaw() {
	for _, d := range g.dirs {
		d.thaw(d.fd)
	}
}

// Terminate thaws all members and sends them SIGTERM, and SIGCONT for those that
// are stopped. Until end, it may wait for those who die of that. Its error names the
// first that can't be signalled.
func (g *Group) Terminate(end time.Time) error {
	g.Thaw()
	return proc.Terminate(g.Members, func(pid int, sigs ...syscall.Signal) error {
		for _, d := range g.dirs {
			if err := d.signal(pid, sigs...); err != proc.ErrOther {
				return err
			}
		}
		return nil
	}, end)
}

// Kill sends SIGKILL to every member, by the surest means there is. It takes
// several rounds where members could fork meanwhile, or have left one of the
// group's hierarchies: call it until Empty.
func (g *Group) Kill() error {
	defer g.Thaw() // a v1 freezer, which need not be where they are killed, holds SIGKILL back
	for _, d := range g.dirs {
		if d.populated(d.fd) {
			return d.kill(d.fd)
		}
	}
	return nil
}

// kill empties the directory at fd: in one step with cgroup.kill (since 5.14),
// else frozen, so that nobody forks meanwhile.
func (d *dir) kill(fd int) error {
	if d.v2 && writeAt(fd, "cgroup.kill", "1") == nil {
		return nil
	}
	d.freeze(fd)
	defer d.thaw(fd)
	for range 10 {
		pids := members(fd)
		if len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if err := d.signal(pid, unix.SIGKILL); err != nil && err != proc.ErrOther {
				return fmt.Errorf("cannot send SIGKILL to %s: %w", proc.Describe(pid), err)
			}
		}
	}
	return nil
}

// freezeTime bounds the wait for a v1 freezer, which can take many attempts.
const freezeTime = 50 * time.Millisecond

func (d *dir) freeze(fd int) {
	switch {
	case d.v2:
		_ = writeAt(fd, "cgroup.freeze", "1") // since 5.2
	case d.carries("freezer"):
		for end := time.Now().Add(freezeTime); time.Now().Before(end); proc.Pause(time.Millisecond) {
			_ = writeAt(fd, "freezer.state", "FROZEN")
			if state, err := readAt(fd, "freezer.state"); err != nil || strings.HasPrefix(state, "FROZEN") {
				return
			}
		}
	}
}

// thaw lets everything below fd run, sub-groups that the program froze too. A v1
// freezer takes even SIGKILL only when thawed.
func (d *dir) thaw(fd int) {
	file, running := "cgroup.freeze", "0"
	if !d.v2 {
		if !d.carries("freezer") {
			return
		}
		file, running = "freezer.state", "THAWED"
	}
	each(fd, func(fd int) {
		if state, err := readAt(fd, file); err == nil && strings.TrimSpace(state) != running {
			_ = writeAt(fd, file, running)
		}
	})
}

// signal signals a process if it is in the group or below.
func (d *dir) signal(pid int, sigs ...syscall.Signal) error {
	return proc.Signal(pid, func() bool { return d.holds(pid) }, sigs...)
}

// holds tells whether a process is in the group or below.
func (d *dir) holds(pid int) bool {
	at := d.pathOf(strconv.Itoa(pid))
	return at == d.inside || strings.HasPrefix(at, d.inside+"/")
}

// pathOf is where a process is in this hierarchy, by /proc/PID/cgroup; "" if
// there is no such process.
func (d *dir) pathOf(pid string) string {
	text, err := proc.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || d.v2 != (f[1] == "") {
			continue
		}
		if d.v2 || slices.Contains(strings.Split(f[1], ","), d.hierarchy.controllers[0]) {
			return f[2]
		}
	}
	return ""
}

// each calls f for every directory from fd down, those below first.
func each(fd int, f func(fd int)) {
	for _, name := range subdirs(fd) {
		if sub, err := openBeneath(fd, name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			each(sub, f)
			unix.Close(sub)
		}
	}
	f(fd)
}

func subdirs(fd int) []string {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Nlink == 2 {
		return nil // "." and the entry above
	}
	dup, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(dup), ".")
	defer f.Close()
	entries, _ := f.ReadDir(-1)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
