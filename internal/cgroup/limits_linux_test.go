// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyTheControllersFilesCanBeSet(t *testing.T) {
	for _, c := range []struct {
		controller, file string
		want             bool
	}{
		{"memory", "memory.max", true},
		{"memory", "memory.limit_in_bytes", true},
		{"cpu", "cpu.max", true},
		{"name=systemd", "systemd.x", true},
		{"memory", "cgroup.max.descendants", true},
		{"memory", "cgroup.max.depth", true},

		{"cpu", "cpuset.cpus", false},
		{"cpu", "cpuacct.usage", false},
		{"cpu", "memory.max", false},
		{"memory", "memory", false},
		{"memory", "max", false},
		{"memory", "", false},
		{"cgroup", "tasks", false},
		{"memory", "tasks", false},
		{"memory", "release_agent", false},
		{"memory", "notify_on_release", false},
		{"memory", "cgroup.procs", false},
		{"memory", "cgroup.threads", false},
		{"memory", "cgroup.kill", false},
		{"memory", "cgroup.freeze", false},
		{"memory", "cgroup.type", false},
		{"memory", "cgroup.subtree_control", false},
		{"memory", "cgroup.event_control", false},
		{"freezer", "freezer.state", false},
	} {
		if got := settable(c.controller, c.file); got != c.want {
			t.Errorf("settable(%q, %q) = %v", c.controller, c.file, got)
		}
	}
}

func TestValueThatTheKernelChangedIsNoticed(t *testing.T) {
	page := os.Getpagesize()
	for _, c := range []struct {
		file, asked, holds string
		differs            bool
	}{
		{"pids.max", "10", "10\n", false},
		{"pids.max", "10", "9\n", true},
		{"pids.max", "max", "10\n", false}, // not a number: nothing to compare
		{"pids.max", "10", "max\n", false},
		{"cpu.shares", "1", "2\n", true},
		{"cpu.max", "50000 100000", "50000 100000\n", false},
		{"cpu.cfs_quota_us", "-1", "-1\n", false},
		{"memory.max", fmt.Sprint(3 * page), fmt.Sprintln(3 * page), false},
		{"memory.max", fmt.Sprint(3*page + 1), fmt.Sprintln(3 * page), false},
		{"memory.max", fmt.Sprint(4*page - 1), fmt.Sprintln(3 * page), false},
		{"memory.max", fmt.Sprint(4 * page), fmt.Sprintln(3 * page), true},
		{"memory.max", "9223372036854775807", "9223372036854771712\n", page > 4096},
		{"memory.swappiness", "60", "60\n", false},
		{"cpu.shares", "5", "", false},
	} {
		d := openTemp(t, map[string]string{c.file: c.holds})
		got, differs := d.differs(Setting{c.file, c.asked})
		if differs != c.differs || differs && got != strings.TrimSpace(c.holds) {
			t.Errorf("%s asked %s holds %q: got %q, %v", c.file, c.asked, c.holds, got, differs)
		}
	}
}

func TestFileThatCannotBeReadBackIsNotCompared(t *testing.T) {
	if got, differs := openTemp(t, nil).differs(Setting{"memory.reclaim", "1"}); differs {
		t.Fatalf("got %q", got)
	}
}

func TestMissingFileIsNamedAsTheOtherGenerationDoes(t *testing.T) {
	for _, c := range []struct {
		v2   bool
		file string
		want string
	}{
		{true, "memory.limit_in_bytes", "this is cgroup v2, where the file is memory.max"},
		{false, "memory.max", "this is cgroup v1, where the file is memory.limit_in_bytes"},
		{true, "cpu.cfs_quota_us", "this is cgroup v2, where the file is cpu.max"},
		{false, "cpu.max", "this is cgroup v1, where the file is cpu.cfs_quota_us and cpu.cfs_period_us"},
		{true, "memory.typo", "this kernel has no such file"},
		{true, "memory.swap.max", "this kernel has no such file"}, // it may lack swap
		{false, "memory.memsw.limit_in_bytes", "this kernel has no such file"},
	} {
		d := openTemp(t, nil)
		d.v2 = c.v2
		controller, _, _ := strings.Cut(c.file, ".")
		_, err := d.set(controller, Setting{c.file, "1"})
		if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), d.path+"/"+c.file) {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}

func TestUnknownControllerHasAHint(t *testing.T) {
	hs := []hierarchy{{dir: "/nowhere", controllers: []string{"blkio"}}, {dir: "/nowhere2", controllers: []string{"pids", "cpu"}}}
	for controller, want := range map[string]string{
		"io":      `"io": no such controller, there are: blkio cpu pids; blkio does its work here`,
		"cpuacct": `"cpuacct": no such controller, there are: blkio cpu pids; cpu does its work here`,
		"memory":  `"memory": no such controller, there are: blkio cpu pids`,
	} {
		if _, err := find(hs, controller); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := find(nil, "memory"); err == nil || !strings.Contains(err.Error(), "no cgroup controllers here") {
		t.Errorf("got %v", err)
	}
}

// A v2 hierarchy that offers the controller is preferred, whatever the order.
func TestControllerIsFoundWhereItIs(t *testing.T) {
	unified := t.TempDir()
	if err := os.WriteFile(unified+"/cgroup.controllers", []byte("memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	hs := []hierarchy{
		{dir: "/v1/pids", controllers: []string{"pids"}},
		{dir: "/v1/cpu,cpuacct", controllers: []string{"cpu", "cpuacct"}},
		{dir: unified, v2: true},
	}
	for controller, want := range map[string]string{
		"pids": unified, "memory": unified, "cpu": "/v1/cpu,cpuacct", "cpuacct": "/v1/cpu,cpuacct",
	} {
		if h, err := find(hs, controller); err != nil || h.dir != want {
			t.Errorf("%s: got %s, %v; want %s", controller, h.dir, err, want)
		}
	}
}

// Another muontrap removes a directory above as soon as nobody uses it.
func TestDirectoryThatVanishesIsNotBlamed(t *testing.T) {
	d := openTemp(t, nil)
	d.v2, d.controllers = true, []string{"pids"}
	if err := d.enable(d.fd, d.path); err == nil || err == unix.ENOENT {
		t.Errorf("a directory without the file: %v", err)
	}
	if err := os.Remove(d.path); err != nil {
		t.Fatal(err)
	}
	if err := d.enable(d.fd, d.path); err != unix.ENOENT {
		t.Errorf("a removed directory: %v, want %v", err, unix.ENOENT)
	}
}

func TestCountsInMessages(t *testing.T) {
	for _, c := range []struct {
		n          int
		what, want string
	}{
		{1, "process", "1 process"}, {2, "process", "2 processes"}, {1, "fork", "1 fork"}, {3, "fork", "3 forks"},
	} {
		if got := many(c.n, c.what); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestEventCountsAreRead(t *testing.T) {
	d := openTemp(t, map[string]string{"memory.events": "low 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 1\n"})
	for name, want := range map[string]int{"max": 12, "oom": 2, "oom_kill": 3, "oo": 0, "none": 0} {
		if got := d.count("memory.events", name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	if got := d.count("pids.events", "max"); got != 0 {
		t.Errorf("without the file: %d", got)
	}
}

// openTemp makes a directory that stands for a cgroup.
func openTemp(t *testing.T, files map[string]string) *dir {
	t.Helper()
	path := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(path, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &dir{path: path, fd: fd, events: -1}
}
