// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var limitCases = []cgroupCase{
	{"arguments of the 1.x library", onV1("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, "-c", "memory", "-s", "memory.limit_in_bytes=268435456", "-g", g, "--capture-output",
			"--", "cat", k.v1["memory"]+"/"+g+"/memory.limit_in_bytes")
		h.wantSays("268435456\n", 0)
	}},
	{"arguments of the 2.x library", onV2("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, "--group", g, "--controller", "memory", "--set", "memory.max=268435456", "--capture-output",
			"--", "cat", k.unified+"/"+g+"/memory.max")
		h.wantSays("268435456\n", 0)
	}},
	{"several values", has("pids", "cpu"), func(t *testing.T, k *kernel) {
		g := newGroup()
		cpu, v2 := k.home("cpu")
		pids, _ := k.home("pids")
		options := []string{"-c", "pids", "-s", "pids.max=30", "-c", "cpu", "-s", "cpu.cfs_period_us=50000", "-s", "cpu.cfs_quota_us=20000"}
		files := []string{pids + "/" + g + "/pids.max", cpu + "/" + g + "/cpu.cfs_period_us", cpu + "/" + g + "/cpu.cfs_quota_us"}
		want := "30\n50000\n20000\n"
		if v2 {
			options = []string{"-c", "pids", "-s", "pids.max=30", "-c", "cpu", "-s", "cpu.weight=200", "-s", "cpu.max=20000 50000"}
			files = []string{pids + "/" + g + "/pids.max", cpu + "/" + g + "/cpu.weight", cpu + "/" + g + "/cpu.max"}
			want = "30\n200\n20000 50000\n"
		}
		h := start(t, inGroup(g, options, append([]string{"cat"}, files...)...)...)
		h.wantSays(want, 0)
	}},
	{"the last value of a file counts", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		pids, _ := k.home("pids")
		h := start(t, inGroup(g, []string{"-c", "pids", "-s", "pids.max=30", "-s", "pids.max=40"}, "cat", pids+"/"+g+"/pids.max")...)
		h.wantSays("40\n", 0)
	}},
	{"value with spaces takes effect", onV1("devices"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-c", "devices", "-s", "devices.deny=c 1:5 rwm"},
			"sh", "-c", "{ cat /dev/null && ! cat </dev/zero; } 2>/dev/null && echo denied")...)
		h.wantSays("denied\n", 0)
	}},
	{"value with = arrives whole", has("pids"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.max=a=b c"}, "echo", "ran")...)
		h.wantRefused(`"a=b c"`)
	}},
	{"repeated controller", has("pids"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.max=30", "-c", "pids", "-c", "pids"}, "echo", "ran")...)
		h.wantSays("ran\n", 0)
	}},
	{"all controllers at once", nil, func(t *testing.T, k *kernel) {
		var options, all []string
		all = slices.Clone(k.offered)
		for c := range k.v1 {
			all = append(all, c)
		}
		for _, c := range all {
			options = append(options, "-c", c)
		}
		g := newGroup()
		h := start(t, inGroup(g, options, "cat", "/proc/self/cgroup")...)
		got := string(h.readAll())
		h.wantStatus(0)
		k.wantMember(t, got, g, k.used(all...))
	}},
	{"cpuset takes the CPUs of the group above", has("cpuset"), func(t *testing.T, k *kernel) {
		want := status(t, start(t, "--capture-output", "cat", "/proc/self/status"))["Cpus_allowed"]
		got := status(t, start(t, inGroup(newGroup()+"/deep/er", []string{"-c", "cpuset"}, "cat", "/proc/self/status")...))["Cpus_allowed"]
		if got != want {
			t.Fatalf("runs on %s, without a group on %s", got, want)
		}
	}},
	{"cpuset confines to one CPU", has("cpuset"), func(t *testing.T, k *kernel) {
		// 5.10 does not apply the mask to what is born into the group (clone3).
		h := start(t, inGroup(newGroup(), []string{"-c", "cpuset", "-s", "cpuset.cpus=0"}, "cat", "/proc/self/status")...)
		if got := status(t, h)["Cpus_allowed_list"]; got != "0" {
			t.Fatalf("runs on %s", got)
		}
	}},

	{"memory hog is killed and its message names the limit", has("memory"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), k.memory(64<<20), self, "@hog", "256")...)
		if got := string(h.readAll()); got != "" {
			t.Fatalf("output %q", got)
		}
		h.wantStatus(137)
		h.wantOneMessage()
		want := regexp.MustCompile(`^muontrap: memory\.(max|limit_in_bytes) 67108864 reached: the kernel killed \d+ process(es)?\n$`)
		if !want.MatchString(h.messages()) {
			t.Fatalf("message %q", h.messages())
		}
	}},
	{"good program passes under the hog's limit", has("memory"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), k.memory(64<<20), self, "@hog", "16")...).wantSays("full\n", 0)
	}},
	{"hog killed as a child is told when the program fails", has("memory"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), k.memory(64<<20), "sh", "-c", self+" @hog 256 2>/dev/null; exit 7")...)
		h.readAll()
		h.wantStatus(7)
		h.wantOneMessage("reached: the kernel killed")
	}},
	{"200 programs within 256 KiB", has("memory"), func(t *testing.T, k *kernel) {
		// With any of muontrap's memory in the group, none would run.
		if failed, messages := run200(t, k.memory(256<<10)); len(failed) > 0 || messages != "" {
			t.Fatalf("statuses %q, messages %q", failed, messages)
		}
	}},
	{"200 programs within 512 KiB", has("memory"), func(t *testing.T, k *kernel) {
		if failed, messages := run200(t, k.memory(512<<10)); len(failed) > 0 || messages != "" {
			t.Fatalf("statuses %q, messages %q", failed, messages)
		}
	}},
	{"256 KiB are whole once the program runs", has("memory"), func(t *testing.T, k *kernel) {
		g, options := newGroup(), k.memory(256<<10)
		h := start(t, inGroup(g, options, "sh", "-c", "echo up; exec sleep 1000")...)
		if got := h.readLine(); got != "up" {
			t.Fatalf("got %q", got)
		}
		home, _ := k.home("memory")
		file, limit, _ := strings.Cut(options[3], "=")
		if got := readFile(t, home+"/"+g+"/"+file); got != limit+"\n" {
			t.Errorf("got %q, want %s", got, limit)
		}
		h.closeStdin()
		h.wantStatus(1)
	}},
	{"200 programs of one process", has("pids"), func(t *testing.T, k *kernel) {
		if failed, messages := run200(t, []string{"-c", "pids", "-s", "pids.max=1"}); len(failed) > 0 || messages != "" {
			t.Fatalf("statuses %q, messages %q", failed, messages)
		}
	}},
	{"one process cannot become two", has("pids"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.max=1"}, "sh", "-c", "sleep 0 2>/dev/null; exit 3")...)
		if got := string(h.readAll()); got != "" {
			t.Fatalf("output %q", got)
		}
		if h.status() == 0 {
			t.Fatal("status 0")
		}
		if want := "muontrap: pids.max 1 reached: the kernel refused "; !strings.Contains(h.messages(), want) {
			t.Fatalf("no %q in %q", want, h.messages())
		}
	}},
	{"half a CPU for five seconds", has("cpu"), func(t *testing.T, k *kernel) {
		// The weight is so that others on a busy machine do not take from the half.
		options := []string{"-c", "cpu", "-s", "cpu.shares=262144", "-s", "cpu.cfs_period_us=100000", "-s", "cpu.cfs_quota_us=50000"}
		if _, v2 := k.home("cpu"); v2 {
			options = []string{"-c", "cpu", "-s", "cpu.weight=10000", "-s", "cpu.max=50000 100000"}
		}
		// What one without a limit gets at the same time is what the machine can give.
		half := start(t, inGroup(newGroup(), options, self, "@burn", "5")...)
		whole := start(t, inGroup(newGroup(), options[:4], self, "@burn", "5")...)
		percent, can := number(t, half.readLine()), number(t, whole.readLine())
		half.wantSays("", 0)
		whole.wantSays("", 0)
		t.Logf("%d %%, without a limit %d %%", percent, can)
		if percent > 60 || percent < 40*can/100 {
			t.Fatalf("it had %d %% of a CPU, without a limit %d %%", percent, can)
		}
	}},
	{"limit changed from outside while running", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		h := start(t, inGroup(g, []string{"-c", "pids", "-s", "pids.max=50"}, self, "@crowd", "100")...)
		if got := h.readLine(); got != "refused" {
			t.Fatalf("got %q", got)
		}
		pids, _ := k.home("pids")
		setFile(t, pids+"/"+g+"/pids.max", "max")
		if got := h.readLine(); got != "all" {
			t.Fatalf("got %q", got)
		}
		h.kill(syscall.SIGTERM)
		h.wantStatus(128 + 15)
	}},

	{"value that the kernel refuses", has("pids"), func(t *testing.T, k *kernel) {
		g := newGroup()
		pids, _ := k.home("pids")
		start(t, inGroup(g, []string{"-c", "pids", "-s", "pids.max=many"}, "echo", "ran")...).
			wantRefused("cannot set "+pids+"/"+g+"/pids.max", `"many"`, "the kernel refuses this value")
	}},
	{"value that the kernel changes is told", onV1("cpu"), func(t *testing.T, k *kernel) {
		h := start(t, inGroup(newGroup(), []string{"-c", "cpu", "-s", "cpu.shares=1"}, "echo", "ran")...)
		if got := string(h.readAll()); got != "ran\n" {
			t.Fatalf("output %q", got)
		}
		h.wantStatus(0)
		h.wantOneMessage("cpu.shares: asked for 1, the kernel made it 2")
	}},
	{"v2's file on v1", onV1("memory"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "memory", "-s", "memory.max=1000000"}, "echo", "ran")...).
			wantRefused("memory.max", "this is cgroup v1, where the file is memory.limit_in_bytes")
	}},
	{"v1's file on v2", onV2("memory"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "memory", "-s", "memory.limit_in_bytes=1000000"}, "echo", "ran")...).
			wantRefused("memory.limit_in_bytes", "this is cgroup v2, where the file is memory.max")
	}},
	{"file that no kernel has", has("pids"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.min=1"}, "echo", "ran")...).
			wantRefused("pids.min", "this kernel has no such file")
	}},
	{"file that can only be read", has("pids"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.current=1"}, "echo", "ran")...).wantRefused("pids.current")
	}},
	{"device that does not exist", onV2("io"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "io", "-s", "io.max=250:250 rbps=1048576"}, "echo", "ran")...).
			wantRefused("io.max", `"250:250 rbps=1048576"`, "no such device")
	}},
	{"files that are none of the controller's", has("pids"), func(t *testing.T, k *kernel) {
		for _, file := range []string{"memory.max", "cgroup.procs", "cgroup.kill", "cgroup.freeze", "cgroup.subtree_control", "tasks", "release_agent", "pids"} {
			start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", file + "=0"}, "echo", "ran")...).
				wantRefused(strconv.Quote(file), "not a file of controller pids")
		}
	}},
	{"paths in place of files", has("pids"), func(t *testing.T, k *kernel) {
		for _, file := range []string{"../pids.max", "/pids.max", "sub/pids.max", "..", ".", ""} {
			start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", file + "=10"}, "echo", "ran")...).
				wantRefused("--set", "not the name of a file")
		}
	}},
	{"setting before any controller", has("pids"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-s", "pids.max=10", "-c", "pids"}, "echo", "ran")...).
			wantRefused("--set", "before any --controller")
	}},
	{"groups that lead elsewhere", nil, func(t *testing.T, k *kernel) {
		for _, group := range []string{"..", "../x", newGroup() + "/../../x", newGroup() + "/.", "/", ""} {
			start(t, inGroup(group, nil, "echo", "ran")...).wantRefused("--group")
		}
	}},
	{"slashes around a group mean nothing", nil, func(t *testing.T, k *kernel) {
		start(t, inGroup("//"+newGroup()+"//a/", nil, "echo", "ran")...).wantSays("ran\n", 0)
	}},
	{"group whose name is too long", nil, func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup()+"/"+strings.Repeat("x", 5000), nil, "echo", "ran")...).
			wantRefused("cannot")
	}},
	{"controller that does not exist", nil, func(t *testing.T, k *kernel) {
		words := slices.Concat([]string{`--controller "nonesuch": no such controller`}, k.offered)
		for c := range k.v1 {
			words = append(words, c)
		}
		start(t, inGroup(newGroup(), []string{"-c", "nonesuch"}, "echo", "ran")...).wantRefused(words...)
	}},
	{"later controller that does not exist undoes the first", has("pids"), func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.max=10", "-c", "nonesuch"}, "echo", "ran")...).
			wantRefused("nonesuch")
	}},
	{"controller without a group", has("pids"), func(t *testing.T, k *kernel) {
		start(t, "--capture-output", "-c", "pids", "echo", "ran").wantRefused("--group")
	}},
	{"user who does not exist", nil, func(t *testing.T, k *kernel) {
		start(t, inGroup(newGroup(), []string{"--uid", "no-such-user"}, "echo", "ran")...).wantRefused("no-such-user")
	}},
	{"threads are limited, too", has("pids"), func(t *testing.T, k *kernel) {
		// The runtime of this program wants more than two threads.
		h := start(t, inGroup(newGroup(), []string{"-c", "pids", "-s", "pids.max=2"}, self, "@hog", "1")...)
		h.readAll()
		if h.status() == 0 {
			t.Fatal("status 0")
		}
		if !strings.Contains(h.messages(), "pids.max 2 reached") {
			t.Fatalf("messages %q", h.messages())
		}
	}},
	{"usage counts from zero for the next program", has("memory"), func(t *testing.T, k *kernel) {
		g := newGroup()
		for range 3 {
			start(t, inGroup(g, k.memory(64<<20), self, "@hog", "32")...).wantSays("full\n", 0)
		}
	}},
}

// run200 runs a program 200 times, each in a new group and all on one CPU, and
// returns the statuses of those that failed.
func run200(t *testing.T, options []string) (failed []string, messages string) {
	t.Helper()
	h := startWith(t, through("/bin/sh", "-c", `for i in $(seq 200); do "$@" || echo $?; done`, "sh"),
		slices.Concat([]string{"--group", newGroup()}, options, []string{"--", "echo", "hello"})...)
	// Not readAll: an acknowledgement of what the shell says would go to muontrap.
	if err := h.stdout.SetReadDeadline(time.Now().Add(5 * soon)); err != nil {
		t.Fatal(err)
	}
	output, err := io.ReadAll(h.stdout)
	if err != nil {
		t.Fatal(err)
	}
	h.wantStatus(0)
	return strings.Fields(string(output)), h.messages()
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// status returns the fields of a program's /proc/PID/status, which it has to print.
func status(t *testing.T, h *host) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for line := range strings.Lines(string(h.readAll())) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	h.wantStatus(0)
	return fields
}
