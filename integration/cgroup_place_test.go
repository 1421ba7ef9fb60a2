// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A way is how programs get into their group. All must look the same from inside.
type way struct {
	name    string
	needs   func(*kernel) bool
	options []string
	steps   []string // preparations of muontrap
}

var ways = []way{
	{"born into it", hasUnified, nil, nil},
	{"clone3 refused", hasUnified, nil, []string{"no-clone3"}},
	{"through the stage", onV1("pids"), []string{"-c", "pids", "-s", "pids.max=1000"}, nil},
	{"through the stage, clone3 refused", onV1("pids"),
		[]string{"-c", "pids", "-s", "pids.max=1000"}, []string{"no-clone3"}},
}

// start runs a program in a group of its own, this way.
func (w way) start(t *testing.T, change func(*exec.Cmd), options []string, program ...string) *host {
	t.Helper()
	return startWith(t, func(c *exec.Cmd) {
		prepared(w.steps...)(c)
		if change != nil {
			change(c)
		}
	}, inGroup(newGroup(), slices.Concat(w.options, options), program...)...)
}

// placeCases are where the program is, and that it is as well off there as
// without a cgroup, whichever way it came.
func placeCases() []cgroupCase {
	cases := slices.Clone(memberCases)
	for _, w := range ways {
		for _, name := range slices.Sorted(maps.Keys(wayCases)) {
			run := wayCases[name]
			cases = append(cases, cgroupCase{w.name + ": " + name, w.needs, func(t *testing.T, _ *kernel) { run(t, w) }})
		}
	}
	return cases
}

var memberCases = []cgroupCase{
	{"program and its children are in the group and muontrap is not", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-c", "pids"}, "sh", "-c",
			`cat /proc/$$/cgroup; echo --; cat /proc/self/cgroup; echo --; cat /proc/$PPID/cgroup`)...)
		got := strings.Split(string(h.readAll()), "--\n")
		h.wantStatus(0)
		k.wantMember(t, got[0], g, k.used("pids"))
		k.wantMember(t, got[1], g, k.used("pids"))
		k.wantMember(t, got[2], g, nil)
	}},
	{"group alone contains", nil, func(t *testing.T, k *kernel) {
		g := newGroup() + "/a/b"
		h := start(t, inGroup(g, nil, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g, k.used())
	}},
	{"muontrap's threads stay outside", has("memory", "pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, slices.Concat([]string{"-c", "pids"}, k.memory(64<<20)), "sleep", "1000")...)
		program := h.program()
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/cgroup", h.cmd.Process.Pid))
		if len(threads) == 0 {
			t.Fatalf("threads: %q", threads)
		}
		for _, thread := range threads {
			k.wantMember(t, readFile(t, thread), g, nil)
		}
		for _, m := range k.used("memory", "pids") {
			if got := pidsIn(m + "/" + g); !slices.Equal(got, []int{program}) {
				t.Errorf("in %s: %v, want just %d", m, got, program)
			}
		}
	}},
	{"clone3 refused: joins the group with its limits", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := startWith(t, prepared("no-clone3"), inGroup(g, []string{"-c", "pids", "-s", "pids.max=1"}, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g, k.used("pids"))
	}},
}

// wantMember compares /proc/PID/cgroup: the group in these hierarchies, and where
// this test itself is in all others.
func (k *kernel) wantMember(t *testing.T, got, group string, mounts []string) {
	t.Helper()
	own := strings.Split(strings.TrimSpace(readFile(t, "/proc/self/cgroup")), "\n")
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != len(own) {
		t.Fatalf("got %q", got)
	}
	for i, line := range own {
		f := strings.SplitN(line, ":", 3)
		first, _, _ := strings.Cut(f[1], ",")
		mount := k.v1[first]
		if first == "" {
			mount = k.unified
		}
		want := line
		if mount != "" && slices.Contains(mounts, mount) {
			want = f[0] + ":" + f[1] + ":/" + group
		}
		if lines[i] != want {
			t.Errorf("in %q, want %q", lines[i], want)
		}
	}
}

var wayCases = map[string]func(*testing.T, way){
	"output and status": func(t *testing.T, w way) {
		w.start(t, nil, nil, "sh", "-c", "echo hello; exit 3").wantSays("hello\n", 3)
	},
	"death by signal": func(t *testing.T, w way) {
		w.start(t, nil, nil, "sh", "-c", "kill -9 $$").wantSays("", 137)
	},
	"user and groups": func(t *testing.T, w way) {
		s := status(t, w.start(t, nil, []string{"-u4001", "-a4002", "-G7,9"}, "cat", "/proc/self/status"))
		if s["Uid"] != "4001\t4001\t4001\t4001" || s["Gid"] != "4002\t4002\t4002\t4002" || s["Groups"] != "7 9" {
			t.Fatalf("uid %q, gid %q, groups %q", s["Uid"], s["Gid"], s["Groups"])
		}
	},
	"no groups": func(t *testing.T, w way) {
		s := status(t, w.start(t, asRootWithGroups, []string{"-u4001", "-G", ""}, "cat", "/proc/self/status"))
		if s["Uid"] != "4001\t4001\t4001\t4001" || s["Groups"] != "" {
			t.Fatalf("uid %q, groups %q", s["Uid"], s["Groups"])
		}
	},
	"groups stay with a numeric user": func(t *testing.T, w way) {
		s := status(t, w.start(t, asRootWithGroups, []string{"-u4001"}, "cat", "/proc/self/status"))
		if s["Gid"] != "12\t12\t12\t12" || s["Groups"] != "7 9" {
			t.Fatalf("gid %q, groups %q", s["Gid"], s["Groups"])
		}
	},
	"all else is as without a group": func(t *testing.T, w way) {
		w.steps = append(w.steps, "block=12")
		want := status(t, startWith(t, prepared(w.steps...), "--capture-output", "--", "cat", "/proc/self/status"))
		got := status(t, w.start(t, nil, nil, "cat", "/proc/self/status"))
		for _, name := range []string{"Umask", "Uid", "Gid", "Groups", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
			"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Threads"} {
			if got[name] != want[name] {
				t.Errorf("%s: %q, want %q", name, got[name], want[name])
			}
		}
	},
	"signals are not blocked": func(t *testing.T, w way) {
		w.steps = append(w.steps, "block=12")
		if s := status(t, w.start(t, nil, nil, "cat", "/proc/self/status")); strings.Trim(s["SigBlk"], "0") != "" {
			t.Fatalf("blocked: %s", s["SigBlk"])
		}
	},
	"soft limit of descriptors": func(t *testing.T, w way) {
		w.steps = append(w.steps, "nofile=123")
		w.start(t, nil, nil, "sh", "-c", "ulimit -Sn").wantSays("123\n", 0)
	},
	"environment": func(t *testing.T, w way) {
		h := w.start(t, func(c *exec.Cmd) {
			c.Env = slices.DeleteFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, "GO") })
		}, nil, "cat", "/proc/self/environ")
		got := strings.Split(strings.TrimSuffix(string(h.readAll()), "\x00"), "\x00")
		h.wantStatus(0)
		if !slices.Equal(got, h.cmd.Env) {
			t.Fatalf("got %q, want %q", got, h.cmd.Env)
		}
	},
	"GOMAXPROCS of the host": func(t *testing.T, w way) {
		h := w.start(t, func(c *exec.Cmd) { c.Env = append(c.Env, "GOMAXPROCS=7") }, nil, "sh", "-c", "echo $GOMAXPROCS")
		h.wantSays("7\n", 0)
	},
	"descriptors": func(t *testing.T, w way) {
		// Inherited ones arrive, wherever they are, and none of muontrap's own.
		r, _ := pipe(t)
		inherit := func(c *exec.Cmd) {
			c.ExtraFiles = []*os.File{r, r, r, 6: r} // 3, 4, 5 and 9
		}
		plain := startWith(t, inherit, "--", "sleep", "1000").program()
		program := w.start(t, inherit, nil, "sleep", "1000").program()
		var want, got []string
		defer func() { t.Logf("descriptors %v, without a group %v", got, want) }()
		// Loading it takes some for a moment.
		eventually(t, "the program to have the same descriptors as without a group", func() bool {
			want, got = descriptorsOf(plain), descriptorsOf(program)
			return len(want) > 3 && slices.Equal(got, want)
		})
	},
	"arguments": func(t *testing.T, w way) {
		words := []string{"sh", "-c", "cat /proc/$$/cmdline; exit 0", "--help", "", "a b", "\xff\n", "1:2:3"}
		h := w.start(t, nil, nil, words...)
		h.wantSays(strings.Join(words, "\x00")+"\x00", 0)
	},
	"arg0": func(t *testing.T, w way) {
		h := w.start(t, nil, []string{"--arg0", "sh"}, "/bin/sh", "-c", "cat /proc/$$/cmdline; exit 4")
		h.wantSays("sh\x00-c\x00cat /proc/$$/cmdline; exit 4\x00", 4)
	},
	"search of PATH": func(t *testing.T, w way) {
		dir := binaries(t, map[string]os.FileMode{"first/tool": 0o644, "second/tool": 0o755, "third/tool": 0o755})
		path := func(c *exec.Cmd) {
			c.Env = append(c.Env, fmt.Sprintf("PATH=%s/none:%s/first:%s/second:%s/third:%s", dir, dir, dir, dir, os.Getenv("PATH")))
		}
		w.start(t, path, nil, "tool").wantSays("second/tool\n", 0)
	},
	"program that is not found": func(t *testing.T, w way) {
		for program, word := range map[string]string{"no-such-program": "not found in PATH", "/no/such/program": "no such file"} {
			h := w.start(t, nil, nil, program)
			h.wantStatus(127)
			h.wantOneMessage(program, word)
		}
	},
	"program that cannot be run": func(t *testing.T, w way) {
		dir := binaries(t, map[string]os.FileMode{"tool": 0o644})
		for _, program := range []string{dir + "/tool", dir} {
			h := w.start(t, nil, nil, program)
			h.wantStatus(126)
			h.wantOneMessage(program, "permission denied")
		}
	},
	"program that another user may not run": func(t *testing.T, w way) {
		dir := binaries(t, map[string]os.FileMode{"tool": 0o700})
		w.start(t, nil, nil, dir+"/tool").wantSays("tool\n", 0)
		h := w.start(t, nil, []string{"-u4001"}, dir+"/tool")
		h.wantStatus(126)
		h.wantOneMessage(dir+"/tool", "permission denied")
	},
	"interpreter that does not exist": func(t *testing.T, w way) {
		dir := binaries(t, nil)
		if err := os.WriteFile(dir+"/tool", []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		h := w.start(t, nil, nil, dir+"/tool")
		h.wantStatus(126)
		h.wantOneMessage(dir+"/tool", "interpreter")
	},
	"script without interpreter line": func(t *testing.T, w way) {
		dir := binaries(t, nil)
		if err := os.WriteFile(dir+"/tool", []byte("echo \"$1,$2\"\nexit 6\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		w.start(t, nil, nil, dir+"/tool", "a b", "c").wantSays("a b,c\n", 6)
	},
	"program dies with muontrap": func(t *testing.T, w way) {
		for _, options := range [][]string{nil, {"-u4001"}} {
			h := w.start(t, nil, options, "sleep", "1000")
			program := h.program()
			h.kill(syscall.SIGKILL)
			eventually(t, "the program to die", func() bool { return !alive(program) })
			<-h.exited
			group := h.cmd.Args[slices.Index(h.cmd.Args, "--group")+1]
			start(t, inGroup(group, w.options, "echo", "ran")...).wantSays("ran\n", 0) // tidies up
		}
	},
}

// descriptorsOf lists what a process has open.
func descriptorsOf(pid int) (fds []string) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	for _, e := range entries {
		fds = append(fds, e.Name())
	}
	return fds
}

// asRootWithGroups starts muontrap as root with another group and some more.
func asRootWithGroups(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Gid: 12, Groups: []uint32{7, 9}}}
}

// binaries makes scripts that say their name in a directory that all can read.
func binaries(t *testing.T, files map[string]os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "muontrap-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range files {
		file := dir + "/" + name
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+name+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
