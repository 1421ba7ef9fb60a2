// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var stopCases = []cgroupCase{
	{"stop reaches everybody, and last words arrive", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "1000000"}, self, "@family")...)
		h.wantReady()
		h.kill(syscall.SIGTERM)
		h.wantWords("bye child", "bye daemon", "bye program")
		h.wantStatus(128 + 15)
	}},
	{"end of the host reaches everybody", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "1000000"}, self, "@family")...)
		h.wantReady()
		h.closeStdin()
		h.wantStatus(1)
	}},
	{"program's own end clears the group, and last words arrive", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "1000000"}, self, "@family", "leave")...)
		h.wantReady()
		h.wantWords("bye child", "bye daemon")
		h.wantStatus(5)
	}},
	{"those who ignore SIGTERM are killed after the delay", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "300"}, self, "@family", "ignore")...)
		h.wantReady()
		begun := time.Now()
		h.kill(syscall.SIGTERM)
		h.wantWords()
		h.wantStatus(128 + 15)
		if took := time.Since(begun); took < 300*time.Millisecond {
			t.Fatalf("after %v", took)
		}
	}},
	{"those who ignore SIGTERM are killed after the program's own end", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "300"}, self, "@family", "ignore", "leave")...)
		begun := time.Now()
		h.wantReady()
		h.wantWords()
		h.wantStatus(5)
		if took := time.Since(begun); took < 300*time.Millisecond {
			t.Fatalf("after %v", took)
		}
	}},
	{"who is forked meanwhile is told, too", nil, func(t *testing.T, k *kernel) {
		for range 20 {
			h := start(t, inGroup(newGroup(), []string{"-k", "1000000"}, "sh", "-c",
				"(sleep 1000 & echo ready; while :; do sleep 1000 & done) & exec sleep 1000")...)
			h.wantReady()
			h.closeStdin()
			h.wantStatus(1)
		}
	}},
	{"end without a delay", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "0"}, self, "@family", "ignore")...)
		h.wantReady()
		h.kill(syscall.SIGINT)
		h.wantStatus(128 + 2)
	}},
	{"stop with all controllers", has("memory", "pids", "cpu"), func(t *testing.T, k *kernel) {
		options := slices.Concat([]string{"-k", "100", "-c", "pids", "-c", "cpu"}, k.memory(256<<20))
		h := start(t, inGroup(newGroup(), options, self, "@family", "ignore")...)
		h.wantReady()
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"stopped members hear SIGTERM", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000000"}, self, "@family")...)
		h.wantReady()
		for _, pid := range pidsIn(k.used()[0] + "/" + g) {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		h.kill(syscall.SIGTERM)
		h.wantWords("bye child", "bye daemon", "bye program")
		h.wantStatus(128 + 15)
	}},
	{"frozen group is thawed to hear SIGTERM", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000000"}, self, "@family")...)
		h.wantReady()
		k.freeze(t, g)
		h.kill(syscall.SIGTERM)
		h.wantWords("bye child", "bye daemon", "bye program")
		h.wantStatus(128 + 15)
	}},
	{"frozen group that ignores SIGTERM is killed", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "300"}, self, "@family", "ignore")...)
		h.wantReady()
		k.freeze(t, g)
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"group that is frozen again during the stop is killed", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000"}, self, "@family", "ignore")...)
		h.wantReady()
		h.kill(syscall.SIGTERM)
		freezeAgain(t, k.sure()+"/"+g)
		h.wantStatus(128 + 15)
	}},
	{"group frozen by the v1 freezer is thawed to hear SIGTERM", onV1("freezer"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000000", "-c", "freezer"}, self, "@family")...)
		h.wantReady()
		freezeDir(t, k.v1["freezer"]+"/"+g)
		h.kill(syscall.SIGTERM)
		h.wantWords("bye child", "bye daemon", "bye program")
		h.wantStatus(128 + 15)
	}},
	{"group frozen again by the v1 freezer during the stop is killed", onV1("freezer"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000", "-c", "freezer"}, self, "@family", "ignore")...)
		h.wantReady()
		begun := time.Now()
		h.kill(syscall.SIGTERM)
		freezeAgain(t, k.v1["freezer"]+"/"+g)
		h.wantStatus(128 + 15)
		if took := time.Since(begun); took > 8*time.Second {
			t.Fatalf("only after %v", took)
		}
	}},
	{"children frozen in a group below are thawed to hear SIGTERM", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-k", "1000000"}, self, "@family")...)
		h.wantReady()
		k.freezeChildren(t, h, g)
		h.kill(syscall.SIGTERM)
		h.wantWords("bye child", "bye daemon", "bye program")
		h.wantStatus(128 + 15)
	}},
	{"groups that the program made are removed", nil, func(t *testing.T, k *kernel) {
		g := newGroup()
		script := `for d; do mkdir -p "$d/a/b/c" "$d/a/d" "$d/e"; done
			sleep 1000 & for d; do echo $! >"$d/a/b/c/cgroup.procs"; done
			sleep 1000 & for d; do echo $! >"$d/e/cgroup.procs"; done
			echo ready; [ "$0" = leave ] || wait`
		for _, mode := range []string{"wait", "leave"} {
			args := []string{"sh", "-c", script, mode}
			for _, m := range k.used() {
				args = append(args, m+"/"+g)
			}
			h := start(t, inGroup(g, []string{"-k", "300"}, args...)...)
			h.wantReady()
			if mode == "leave" {
				h.wantSays("", 0)
				continue
			}
			h.kill(syscall.SIGTERM)
			h.wantStatus(128 + 15)
		}
	}},
	{"members who have left one of the hierarchies are stopped", onV1("pids"), func(t *testing.T, k *kernel) {
		mounts := k.used("pids")
		g := newGroup()
		h := start(t, inGroup(g, []string{"-c", "pids", "-k", "300"}, "sh", "-c",
			`sleep 1000 & echo $! >"$1/cgroup.procs"; sleep 1000 & echo $! >"$2/cgroup.procs"; echo ready; wait`, "sh", mounts[0], mounts[1])...)
		h.wantReady()
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
	{"fork bomb ends", has("pids"), func(t *testing.T, k *kernel) {
		for _, option := range []string{"", "ignore"} {
			h := start(t, inGroup(newGroup(), []string{"-k", "300", "-c", "pids", "-s", "pids.max=50"}, self, "@bomb", option)...)
			h.readLine()
			h.kill(syscall.SIGTERM)
			h.wantStatus(128 + 15)
		}
	}},
	{"fork bomb that outlives the program ends", has("pids"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "300", "-c", "pids", "-s", "pids.max=50"},
			"sh", "-c", self+" @bomb ignore & sleep 1; exit 3")...)
		h.readAll()
		h.wantStatus(3)
	}},
	{"a crowd ends soon", nil, func(t *testing.T, k *kernel) {
		for _, option := range []string{"", "ignore"} {
			n := crowd(t)
			h := start(t, inGroup(newGroup(), []string{"-k", "500"}, self, "@crowd", fmt.Sprint(n), option)...)
			if got := h.readLine(); got != "all" {
				t.Fatalf("got %q", got)
			}
			begun := time.Now()
			h.kill(syscall.SIGTERM)
			h.wantStatus(128 + 15)
			took := time.Since(begun)
			t.Logf("%d members %s: %v", n, option, took)
			if took > 20*time.Second { // on a busy machine, or one emulated by software
				t.Errorf("%d members %s took %v", n, option, took)
			}
		}
	}},
	{"second signal does not hurry the stop, nor leave anything", nil, func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-k", "300"}, self, "@family", "ignore")...)
		h.wantReady()
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
			h.kill(sig)
		}
		if got := h.status(); got != 128+15 && got != 128+2 && got != 128+1 {
			t.Fatalf("status %d", got)
		}
	}},
	{"program whose group is removed under it", nil, func(t *testing.T, k *kernel) {
		// It moved out of its group, and an administrator removed the directories.
		g := newGroup()
		h := start(t, inGroup(g, nil, "sleep", "1000")...)
		program := h.program()
		for _, m := range k.used() {
			setFile(t, m+"/cgroup.procs", fmt.Sprint(program))
			if err := os.Remove(m + "/" + g); err != nil {
				t.Fatal(err)
			}
		}
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},
}

// wantReady waits for a program that says so.
func (h *host) wantReady() {
	h.t.Helper()
	if got := h.readLine(); got != "ready" {
		h.t.Fatalf("got %q", got)
	}
}

// wantWords wants the rest of the output to be these lines, in any order.
func (h *host) wantWords(want ...string) {
	h.t.Helper()
	got := strings.FieldsFunc(string(h.readAll()), func(r rune) bool { return r == '\n' })
	slices.Sort(got)
	if !slices.Equal(got, want) {
		h.t.Fatalf("got %q, want %q; messages: %q", got, want, h.messages())
	}
}

// freezeChildren moves all but the program into a group below, and freezes that.
func (k *kernel) freezeChildren(t *testing.T, h *host, group string) {
	t.Helper()
	program := h.program()
	for _, m := range k.used() {
		below := m + "/" + group + "/below"
		if err := makeGroupDir(below); err != nil {
			t.Fatal(err)
		}
		for _, pid := range pidsIn(m + "/" + group) {
			if pid != program {
				setFile(t, below+"/cgroup.procs", fmt.Sprint(pid))
			}
		}
	}
	k.freeze(t, group+"/below")
}

// freeze stops a group by the means that its end is made sure with.
func (k *kernel) freeze(t *testing.T, group string) {
	t.Helper()
	freezeDir(t, k.sure()+"/"+group)
}

func freezeDir(t *testing.T, dir string) {
	t.Helper()
	eventually(t, dir+" to be frozen", func() bool { return tryFreeze(dir) })
}

// freezeAgain freezes what is being stopped, if it is not gone before.
func freezeAgain(t *testing.T, dir string) {
	t.Helper()
	eventually(t, dir+" to be frozen or gone", func() bool { return tryFreeze(dir) || !exists(dir) })
}

// tryFreeze tells whether all there are frozen. It may take several attempts.
func tryFreeze(dir string) bool {
	file, value, state, frozen := "/cgroup.freeze", "1", "/cgroup.events", "frozen 1"
	if exists(dir + "/freezer.state") {
		file, value, state, frozen = "/freezer.state", "FROZEN", "/freezer.state", "FROZEN"
	}
	_ = writeOnce(dir+file, value)
	b, _ := os.ReadFile(dir + state)
	return strings.Contains(string(b), frozen)
}

// crowd is how many processes are many on this machine.
func crowd(t *testing.T) int {
	t.Helper()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if uint64(info.Totalram)*uint64(info.Unit) > 8<<30 {
		return 10000
	}
	return 1000
}
