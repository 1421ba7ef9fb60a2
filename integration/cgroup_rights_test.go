// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// someone is a user without any privilege.
const someone = 4001

var rightsCases = []cgroupCase{
	{"user without any delegation is told so", nil, func(t *testing.T, k *kernel) {
		startWith(t, prepared("user=4001"), inGroup(newGroup(), nil, "echo", "ran")...).
			wantRefused("cannot create", "not delegated to this user")
	}},
	{"user without any delegation is told so by each controller", has("pids", "memory"), func(t *testing.T, k *kernel) {
		for _, options := range [][]string{{"-c", "pids"}, k.memory(64 << 20)} {
			startWith(t, prepared("user=4001"), inGroup(newGroup(), options, "echo", "ran")...).
				wantRefused("cannot create", "not delegated to this user")
		}
	}},
	{"hierarchies below another mount are none", nil, func(t *testing.T, k *kernel) {
		for message, options := range map[string][]string{
			"no cgroup file system that could contain a program is mounted": nil,
			"no cgroup controllers here":                                    {"-c", "memory"},
		} {
			startWith(t, prepared("hidden=/sys/fs/cgroup"), inGroup(newGroup(), options, "echo", "ran")...).wantRefused(message)
		}
	}},
	{"user with a delegated v1 directory", onV1("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		delegate(t, k.v1["pids"]+"/"+g)
		h := startWith(t, prepared("user=4001"), inGroup(g+"/own", []string{"-c", "pids", "-s", "pids.max=10"},
			"cat", k.v1["pids"]+"/"+g+"/own/pids.max", "/proc/self/cgroup")...)
		if got := h.readLine(); got != "10" {
			t.Fatalf("limit %q", got)
		}
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g+"/own", []string{k.v1["pids"]})
		if exists(k.v1["pids"] + "/" + g + "/own") {
			t.Error("the group is left")
		}
	}},
	{"user with a delegated v1 directory stops everybody", onV1("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		delegate(t, k.v1["pids"]+"/"+g)
		h := startWith(t, prepared("user=4001"), inGroup(g+"/own", []string{"-c", "pids", "-k", "300"},
			"sh", "-c", `(trap "" TERM; sleep 1000 & sleep 1000 & exec sleep 1000) & echo ready; exec sleep 1000`)...)
		h.wantReady()
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"user with delegated directories in hybrid", onHybrid, func(t *testing.T, k *kernel) {
		// Both generations: muontrap is inside the delegated part of v2, as it is in
		// a user's session.
		g := newGroup()
		mounts := k.used("pids")
		for _, m := range mounts {
			delegate(t, m+"/"+g)
		}
		h := startWith(t, prepared("enter="+delegate(t, k.unified+"/"+g+"/host"), "user=4001"),
			inGroup(g+"/own", []string{"-c", "pids"}, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g+"/own", mounts)
	}},
	{"user who may make but not enter a directory in hybrid's v2", onHybrid, func(t *testing.T, k *kernel) {
		// The place in v2 is an addition that need not be.
		g := newGroup()
		for _, m := range k.used("pids") {
			delegate(t, m+"/"+g)
		}
		h := startWith(t, prepared("user=4001"), inGroup(g+"/own", []string{"-c", "pids"}, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g+"/own", []string{k.v1["pids"]})
	}},
	{"user inside a delegated v2 directory", hasUnified, func(t *testing.T, k *kernel) {
		g := newGroup()
		delegate(t, k.unified+"/"+g)
		h := startWith(t, prepared("enter="+delegate(t, k.unified+"/"+g+"/host"), "user=4001"),
			inGroup(g+"/own", nil, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g+"/own", []string{k.unified})
	}},
	{"user inside a delegated v2 directory limits", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		delegate(t, k.unified+"/"+g)
		h := startWith(t, prepared("enter="+delegate(t, k.unified+"/"+g+"/host"), "user=4001"),
			inGroup(g+"/own", k.memory(64<<20), "cat", k.unified+"/"+g+"/own/memory.max")...)
		h.wantSays("67108864\n", 0)
	}},
	{"user who may write to the common ancestor's cgroup.procs", hasUnified, func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		host := makeGroup(t, outer+"/host")
		delegate(t, outer+"/deleg")
		if err := os.Chown(outer+"/cgroup.procs", someone, -1); err != nil {
			t.Fatal(err)
		}
		startWith(t, prepared("enter="+host, "user=4001"), inGroup(g+"/deleg/own", nil, "echo", "ran")...).wantSays("ran\n", 0)
	}},
	{"user who may not write to the common ancestor's cgroup.procs", hasUnified, func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		host := makeGroup(t, outer+"/host")
		delegate(t, outer+"/deleg")
		startWith(t, prepared("enter="+host, "user=4001"), inGroup(g+"/deleg/own", nil, "echo", "ran")...).
			wantRefused("must be allowed to write " + outer + "/cgroup.procs")
	}},
	{"controller that the directory above does not hand down", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		delegate(t, outer+"/deleg")
		startWith(t, prepared("enter="+delegate(t, outer+"/deleg/host"), "user=4001"), inGroup(g+"/deleg/own", k.memory(64<<20), "echo", "ran")...).
			wantRefused("cannot enable controller memory", "as root: echo +memory > "+outer+"/cgroup.subtree_control")
	}},
	{"directory with processes cannot hand controllers down", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		startIn(t, []string{outer})
		start(t, inGroup(g+"/own", k.memory(64<<20), "echo", "ran")...).
			wantRefused("cannot enable controller memory in "+outer+"/cgroup.subtree_control", "processes live in this directory")
	}},
	{"group that hands controllers down takes no processes", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		setFile(t, outer+"/cgroup.subtree_control", "+memory")
		start(t, inGroup(g, nil, "echo", "ran")...).wantRefused("cannot enter cgroup "+outer, "cgroup.subtree_control hands controllers down")
	}},
	{"threaded directory above", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		outer := makeGroup(t, k.unified+"/"+g)
		setFile(t, makeGroup(t, outer+"/threads")+"/cgroup.type", "threaded")
		start(t, inGroup(g+"/threads/own", nil, "echo", "ran")...).wantRefused("threaded")
		start(t, inGroup(g+"/own", k.memory(64<<20), "echo", "ran")...).wantRefused("cannot enable controller memory", "threaded")
	}},
	{"directory above that allows no more", onV2("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		setFile(t, makeGroup(t, k.unified+"/"+g)+"/cgroup.max.descendants", "0")
		start(t, inGroup(g+"/own", nil, "echo", "ran")...).wantRefused("cannot create", "cgroup.max.descendants")
	}},
	{"hybrid whose v2 cannot be had contains by the freezer", onHybrid, func(t *testing.T, k *kernel) {
		g := newGroup()
		setFile(t, makeGroup(t, k.unified+"/"+g)+"/cgroup.max.descendants", "0")
		h := start(t, inGroup(g+"/own", []string{"-k", "300"}, self, "@family", "ignore")...)
		h.wantReady()
		k.wantMember(t, readFile(t, fmt.Sprintf("/proc/%d/cgroup", h.program())), g+"/own", []string{k.v1["freezer"]})
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"read-only mounts", nil, func(t *testing.T, k *kernel) {
		startWith(t, prepared("read-only"), inGroup(newGroup(), nil, "echo", "ran")...).
			wantRefused("cannot create", "read-only")
	}},
	{"read-only mounts with controllers", has("pids"), func(t *testing.T, k *kernel) {
		startWith(t, prepared("read-only"), inGroup(newGroup(), []string{"-c", "pids"}, "echo", "ran")...).
			wantRefused("cannot create", "mounted read-only")
	}},
	{"inside a cgroup namespace", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		var steps []string
		for _, dir := range k.foreign(t, g) {
			steps = append(steps, "enter="+dir)
		}
		pids, _ := k.home("pids")
		h := startWith(t, prepared(append(steps, "namespace=host")...), inGroup("own", []string{"-c", "pids", "-s", "pids.max=100", "-k", "300"},
			self, "@family", "ignore")...)
		h.wantReady()
		for _, m := range k.used("pids") {
			if got := len(pidsIn(m + "/" + g + "/own")); got != 3 {
				t.Errorf("%d processes in %s/%s/own", got, m, g)
			}
		}
		if got := readFile(t, pids+"/"+g+"/own/pids.max"); got != "100\n" {
			t.Errorf("limit %q", got)
		}
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
		for _, m := range k.mounts() {
			if exists(m + "/" + g + "/own") {
				t.Errorf("%s/%s/own is left", m, g)
			}
		}
	}},
}

// delegate makes a directory and gives it to someone, as systemd does.
func delegate(t *testing.T, dir string) string {
	t.Helper()
	makeGroup(t, dir)
	for _, file := range []string{"", "/cgroup.procs", "/tasks", "/cgroup.threads", "/cgroup.subtree_control"} {
		if err := os.Chown(dir+file, someone, someone); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	return dir
}
