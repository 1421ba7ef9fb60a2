// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// race is how many muontraps want the same group.
const race = 20

var leftoverCases = []cgroupCase{
	{"what a killed muontrap left is killed, and its group used again", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup() + "/sub"
		for _, option := range []string{"", "ignore"} {
			options := []string{"-c", "pids", "-s", "pids.max=100"}
			h := start(t, inGroup(g, options, self, "@family", option)...)
			h.wantReady()
			h.kill(syscall.SIGKILL)
			<-h.exited
			dir := k.used("pids")[0] + "/" + g
			h.wantFewer(dir, 2) // the program dies with muontrap
			survivors := pidsIn(dir)
			if len(survivors) == 0 {
				t.Fatal("nobody survived")
			}
			next := start(t, inGroup(g, options, "sh", "-c", `cat "$0"`, dir+"/pids.max")...)
			if k.v1["pids"] == "" || !strings.HasPrefix(dir, k.v1["pids"]) {
				next.readAll()
			} else if got := string(next.readAll()); got != "100\n" {
				t.Fatalf("output %q; messages: %q", got, next.messages())
			}
			for _, pid := range survivors {
				if alive(pid) {
					t.Errorf("process %d is still alive", pid)
				}
			}
		}
	}},
	{"frozen leftovers with groups below are cleared", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, nil, self, "@family", "ignore")...)
		h.wantReady()
		k.freezeChildren(t, h, g)
		h.kill(syscall.SIGKILL)
		<-h.exited
		start(t, inGroup(g, nil, "echo", "ran")...).wantSays("ran\n", 0)
	}},
	{"limits of a dead muontrap are gone", has("memory", "pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		pids, _ := k.home("pids")
		h := start(t, inGroup(g, []string{"-c", "pids", "-s", "pids.max=10"}, "sleep", "1000")...)
		h.program()
		h.kill(syscall.SIGKILL)
		<-h.exited
		start(t, inGroup(g, []string{"-c", "pids"}, "cat", pids+"/"+g+"/pids.max")...).wantSays("max\n", 0)
	}},
	{"group in use names the muontrap that has it", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, nil, "sleep", "1000")...)
		program := h.program()
		start(t, inGroup(g, nil, "echo", "ran")...).wantRefused(g, fmt.Sprintf("in use by a muontrap with pid %d:", h.cmd.Process.Pid))
		if !alive(program) {
			t.Fatal("the program is gone")
		}
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"group in use is refused by way of any hierarchy", onV1("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-c", "pids"}, "sleep", "1000")...)
		program := h.program()
		for _, options := range [][]string{nil, {"-c", "cpu"}, {"-c", "cpu", "-c", "pids"}} {
			start(t, inGroup(g, options, "echo", "ran")...).wantRefused("in use by a muontrap with pid")
		}
		if !alive(program) {
			t.Fatal("the program is gone")
		}
	}},
	{"foreign group with processes is refused and left alone", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		dirs := k.foreign(t, g)
		stranger := startIn(t, dirs)
		start(t, inGroup(g, nil, "echo", "ran")...).wantRefused(g, "muontrap did not start", fmt.Sprintf("process %d (", stranger))
		for _, dir := range dirs {
			if got := pidsIn(dir); !slices.Equal(got, []int{stranger}) {
				t.Errorf("%s has %v, want %d", dir, got, stranger)
			}
		}
	}},
	{"foreign group with processes below is refused and left alone", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		k.foreign(t, g)
		stranger := startIn(t, k.foreign(t, g+"/below"))
		start(t, inGroup(g, nil, "echo", "ran")...).wantRefused(g, fmt.Sprintf("process %d (", stranger))
		if !alive(stranger) {
			t.Error("the stranger is gone")
		}
	}},
	{"empty foreign group is used and stays", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		dirs := k.foreign(t, g)
		h := start(t, inGroup(g, []string{"-c", "pids", "-k", "100"}, self, "@family", "leave", "ignore")...)
		h.readAll()
		h.wantStatus(5)
		for _, dir := range dirs {
			if !exists(dir) {
				t.Errorf("%s is gone", dir)
			}
		}
	}},
	{"group below a foreign one goes, the foreign one stays", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		dirs := k.foreign(t, g)
		start(t, inGroup(g+"/a/b", []string{"-c", "pids"}, "echo", "ran")...).wantSays("ran\n", 0)
		for _, dir := range dirs {
			if !exists(dir) {
				t.Errorf("%s is gone", dir)
			}
			if exists(dir + "/a") {
				t.Errorf("%s/a is left", dir)
			}
		}
	}},
	{"muontrap inside the very group is refused", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		var steps []string
		for _, dir := range k.foreign(t, g) {
			steps = append(steps, "enter="+dir)
		}
		startWith(t, prepared(steps...), inGroup(g, nil, "echo", "ran")...).wantRefused("muontrap itself runs in this cgroup")
	}},
	{"muontrap inside another's group can have one below", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, nil, muontrap, "--group", g+"/inner", "--", "sleep", "1000")...)
		inner := k.used()[0] + "/" + g + "/inner"
		eventually(t, "the inner program to run", func() bool { return len(pidsIn(inner)) > 0 })
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"shared directory above goes with the last", has("pids"), func(t *testing.T, k *kernel) {
		parent := newGroup()
		a := start(t, inGroup(parent+"/a", []string{"-c", "pids"}, "sleep", "1000")...)
		b := start(t, inGroup(parent+"/b", []string{"-c", "pids"}, "sleep", "1000")...)
		a.program()
		b.program()
		a.kill(syscall.SIGTERM)
		a.wantStatus(128 + 15)
		for _, m := range k.used("pids") {
			if exists(m+"/"+parent+"/a") || !exists(m+"/"+parent+"/b") {
				t.Errorf("in %s/%s: want b and not a", m, parent)
			}
		}
		b.kill(syscall.SIGTERM)
		b.wantStatus(128 + 15)
	}},
	{"shared directory above survives races", has("pids"), func(t *testing.T, k *kernel) {
		for range 5 {
			parent := newGroup()
			var all []*host
			for i := range 6 {
				all = append(all, start(t, inGroup(fmt.Sprintf("%s/p/%d", parent, i), []string{"-c", "pids"}, "echo", "ran")...))
			}
			for _, h := range all {
				h.wantSays("ran\n", 0)
			}
			k.wantNothingLeft(t)
		}
	}},
	{"of many that want one group just one gets it", has("pids"), func(t *testing.T, k *kernel) {
		for range 2 {
			g := newGroup() + "/sub"
			winners := runRace(t, g)
			if len(winners) != 1 {
				t.Fatalf("%d of %d got the group", len(winners), race)
			}
			winners[0].kill(syscall.SIGTERM)
			winners[0].wantStatus(128 + 15)
			k.wantNothingLeft(t)
		}
	}},
	{"of many that want a dead one's group just one gets it", has("pids"), func(t *testing.T, k *kernel) {
		for range 2 {
			g := newGroup() + "/sub"
			dead := start(t, inGroup(g, []string{"-c", "pids"}, self, "@family", "ignore")...)
			dead.wantReady()
			dead.kill(syscall.SIGKILL)
			<-dead.exited
			winners := runRace(t, g)
			if len(winners) != 1 {
				t.Fatalf("%d of %d got the group", len(winners), race)
			}
			winners[0].kill(syscall.SIGTERM)
			winners[0].wantStatus(128 + 15)
			k.wantNothingLeft(t)
		}
	}},
	{"successor in a fast restart gets the group", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		for range 20 {
			h := start(t, inGroup(g, []string{"-c", "pids"}, "sleep", "1000")...)
			h.program()
			h.kill(syscall.SIGKILL)
			<-h.exited
		}
		start(t, inGroup(g, []string{"-c", "pids"}, "echo", "ran")...).wantSays("ran\n", 0)
	}},
	{"signal or end of the host at any moment leaves nothing", has("pids"), func(t *testing.T, k *kernel) {
		for i := range 40 {
			h := start(t, inGroup(newGroup()+"/sub", []string{"-c", "pids"}, "sleep", "1000")...)
			time.Sleep(rand.N(12 * time.Millisecond)) // any moment
			if i%2 == 0 {
				h.kill(syscall.SIGTERM)
			} else {
				h.closeStdin()
			}
			select {
			case <-h.exited:
			case <-time.After(soon):
				t.Fatal("it does not end")
			}
			k.wantNothingLeft(t)
		}
	}},
	{"killed host leaves nothing", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := startWith(t, func(c *exec.Cmd) {
			c.Path, c.Args = self, slices.Concat([]string{self, "@holder", muontrap}, c.Args[1:])
		}, inGroup(g, []string{"-c", "pids"}, self, "@family")...)
		h.wantReady()
		h.kill(syscall.SIGKILL)
		eventually(t, "the group to be gone", func() bool { return len(k.left()) == 0 })
	}},
	{"program that is not found leaves nothing in any hierarchy", has("pids", "memory"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup()+"/a/b", slices.Concat([]string{"-c", "pids"}, k.memory(64<<20)), "no-such-program")...)
		h.wantStatus(127)
		k.wantNothingLeft(t)
	}},
}

// runRace starts muontraps all at once, waits until all but one have been
// refused, and returns those who were not.
func runRace(t *testing.T, group string) (winners []*host) {
	t.Helper()
	var all []*host
	for range race {
		all = append(all, start(t, inGroup(group, []string{"-c", "pids", "-k", "100"}, "sleep", "1000")...))
	}
	ended := func(h *host) bool {
		select {
		case <-h.exited:
			return true
		default:
			return false
		}
	}
	eventually(t, "the losers to give up", func() bool {
		winners = slices.DeleteFunc(slices.Clone(all), ended)
		return len(winners) <= 1
	})
	for _, h := range all {
		if !slices.Contains(winners, h) {
			h.wantRefused("in use by a muontrap with pid")
		}
	}
	for _, h := range winners {
		h.program()
	}
	return winners
}

// startIn starts a process in these directories, that lives as long as the test.
func startIn(t *testing.T, dirs []string) (pid int) {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for _, dir := range dirs {
		setFile(t, dir+"/cgroup.procs", fmt.Sprint(c.Process.Pid))
	}
	return c.Process.Pid
}

// wantFewer waits until no more than n are left in a directory.
func (h *host) wantFewer(dir string, n int) {
	h.t.Helper()
	eventually(h.t, "the program to die", func() bool { return len(pidsIn(dir)) <= n })
}
