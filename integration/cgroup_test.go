// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupCase is a behaviour that needs something of the kernel.
type cgroupCase struct {
	name  string
	needs func(k *kernel) bool // nil: nothing
	run   func(t *testing.T, k *kernel)
}

// TestCgroups runs all cases that this kernel has what it takes for. Which these
// are is also written down, in testdata: so none is left out unseen. After each
// case, nothing must be left in any hierarchy.
func TestCgroups(t *testing.T) {
	k := askKernel(t)
	t.Logf("%+v", k)
	if layout := os.Getenv("MUONTRAP_LAYOUT"); layout != "" && layout != k.layout() {
		t.Fatalf("MUONTRAP_LAYOUT is %s, but this is %s", layout, k.layout())
	}
	var ran []string
	for _, c := range slices.Concat(limitCases, placeCases(), stopCases, leftoverCases, rightsCases) {
		if c.needs != nil && !c.needs(k) {
			continue
		}
		ran = append(ran, c.name)
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { k.wantNothingLeft(t) })
			c.run(t, k)
		})
	}
	k.wantCases(t, ran)
}

// wantCases compares with the list for this kernel if it has one of its own,
// else with the layout's.
func (k *kernel) wantCases(t *testing.T, ran []string) {
	t.Helper()
	file := fmt.Sprintf("testdata/cgroup-cases-%s-%s.txt", k.layout(), k.release)
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		file = fmt.Sprintf("testdata/cgroup-cases-%s.txt", k.layout())
		text, err = os.ReadFile(file)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, name := range want {
		if !slices.Contains(ran, name) {
			t.Errorf("%s lists %q, which did not run", file, name)
		}
	}
	for _, name := range ran {
		if !slices.Contains(want, name) {
			t.Errorf("%s does not list %q", file, name)
		}
	}
}

// kernel is what the tests can find out about cgroups by themselves.
type kernel struct {
	release string            // "6.1"
	unified string            // where v2 is mounted; "": nowhere
	offered []string          // controllers in v2
	v1      map[string]string // where they are mounted, by controller
}

func askKernel(t *testing.T) *kernel {
	t.Helper()
	k := &kernel{v1: map[string]string{}}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	k.release = strings.Join(strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)[:2], ".")
	for line := range strings.Lines(readFile(t, "/proc/self/mountinfo")) {
		f := strings.Fields(line)
		fs := f[slices.Index(f, "-")+1:]
		if f[3] != "/" {
			continue // only a part
		}
		switch fs[0] {
		case "cgroup2":
			k.unified = f[4]
			k.offered = strings.Fields(readFile(t, f[4]+"/cgroup.controllers"))
		case "cgroup":
			for _, c := range strings.Split(fs[2], ",") {
				if c != "rw" && c != "xattr" {
					k.v1[c] = f[4]
				}
			}
		}
	}
	return k
}

func (k *kernel) layout() string {
	switch {
	case len(k.v1) == 0:
		return "v2"
	case k.unified == "":
		return "v1"
	}
	return "hybrid"
}

// home tells where a controller is mounted, and whether that is v2.
func (k *kernel) home(controller string) (mount string, v2 bool) {
	if slices.Contains(k.offered, controller) {
		return k.unified, true
	}
	return k.v1[controller], false
}

// Needs of cases.

func onHybrid(k *kernel) bool   { return k.layout() == "hybrid" }
func hasUnified(k *kernel) bool { return k.unified != "" }

func onV1(controller string) func(*kernel) bool {
	return func(k *kernel) bool { return k.v1[controller] != "" }
}

func onV2(controller string) func(*kernel) bool {
	return func(k *kernel) bool { return slices.Contains(k.offered, controller) }
}

func has(controllers ...string) func(*kernel) bool {
	return func(k *kernel) bool {
		return !slices.ContainsFunc(controllers, func(c string) bool {
			mount, _ := k.home(c)
			return mount == ""
		})
	}
}

// mounts lists where all hierarchies are.
func (k *kernel) mounts() []string {
	var mounts []string
	for _, m := range k.v1 {
		mounts = append(mounts, m)
	}
	if k.unified != "" {
		mounts = append(mounts, k.unified)
	}
	slices.Sort(mounts)
	return slices.Compact(mounts)
}

// used lists the hierarchies in which a group with these controllers has to be:
// theirs, and the one that makes its end sure.
func (k *kernel) used(controllers ...string) []string {
	var mounts []string
	for _, c := range controllers {
		m, _ := k.home(c)
		mounts = append(mounts, m)
	}
	mounts = append(mounts, k.sure())
	slices.Sort(mounts)
	return slices.Compact(mounts)
}

// sure is where the hierarchy is that makes a group's end sure.
func (k *kernel) sure() string {
	if k.unified != "" {
		return k.unified
	}
	return k.v1["freezer"]
}

// memory limits memory, in the words of the generation that does it here.
func (k *kernel) memory(bytes int) []string {
	if _, v2 := k.home("memory"); v2 {
		return []string{"--controller", "memory", "--set", fmt.Sprintf("memory.max=%d", bytes)}
	}
	return []string{"-c", "memory", "-s", fmt.Sprintf("memory.limit_in_bytes=%d", bytes)}
}

var groups atomic.Int64

// testPrefix is what all groups of this test begin with.
var testPrefix = fmt.Sprintf("mt_test_%d_", os.Getpid())

func newGroup() string { return fmt.Sprint(testPrefix, groups.Add(1)) }

// left finds the directories of this test in all hierarchies.
func (k *kernel) left() (dirs []string) {
	for _, m := range k.mounts() {
		found, _ := filepath.Glob(m + "/" + testPrefix + "*")
		dirs = append(dirs, found...)
	}
	return dirs
}

func (k *kernel) wantNothingLeft(t *testing.T) {
	t.Helper()
	for _, dir := range k.left() {
		t.Errorf("left behind: %s", dir)
		removeGroup(t, dir)
	}
}

// foreign makes a group without muontrap in all hierarchies, and returns its
// directories. They, and all in them, go with the test.
func (k *kernel) foreign(t *testing.T, group string) (dirs []string) {
	t.Helper()
	for _, m := range k.mounts() {
		dirs = append(dirs, makeGroup(t, m+"/"+group))
	}
	return dirs
}

func makeGroup(t *testing.T, dir string) string {
	t.Helper()
	if err := makeGroupDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeGroup(t, dir) })
	return dir
}

// makeGroupDir also fills a v1 cpuset, which would take no process without.
func makeGroupDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		if b, err := os.ReadFile(filepath.Dir(dir) + name); err == nil && len(b) > 1 {
			if err := writeOnce(dir+name, string(b)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeGroup ends all that is in a directory and removes it with those below.
func removeGroup(t *testing.T, dir string) {
	t.Helper()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeGroup(t, dir+"/"+e.Name())
		}
	}
	eventually(t, dir+" to be removed", func() bool {
		_ = writeOnce(dir+"/freezer.state", "THAWED")
		for _, pid := range pidsIn(dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		err := os.Remove(dir)
		return err == nil || os.IsNotExist(err)
	})
}

// pidsIn lists the members of a directory, without those below.
func pidsIn(dir string) (pids []int) {
	b, _ := os.ReadFile(dir + "/cgroup.procs")
	for _, f := range strings.Fields(string(b)) {
		var pid int
		if _, err := fmt.Sscan(f, &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// writeOnce hands a value to the kernel in one write(2). os.WriteFile waits for
// ever on the EAGAIN of some of these files.
func writeOnce(name, value string) error {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return fmt.Errorf("write %q to %s: %w", value, name, err)
	}
	return nil
}

func setFile(t *testing.T, name, value string) {
	t.Helper()
	if err := writeOnce(name, value); err != nil {
		t.Fatal(err)
	}
}

// inGroup is a command line with a group, options and a program.
func inGroup(group string, options []string, program ...string) []string {
	return slices.Concat([]string{"--group", group, "--capture-output"}, options, []string{"--"}, program)
}

// wantSays waits for the end, with this output and status, and no messages.
func (h *host) wantSays(output string, status int) {
	h.t.Helper()
	if got := string(h.readAll()); got != output {
		h.t.Fatalf("output %q, want %q; messages: %q", got, output, h.messages())
	}
	h.wantStatus(status)
	if m := h.messages(); m != "" {
		h.t.Fatalf("messages: %q", m)
	}
}

// wantRefused waits for the end without any output, with status 1 and a message
// of one line that has these words.
func (h *host) wantRefused(words ...string) {
	h.t.Helper()
	if got := string(h.readAll()); got != "" {
		h.t.Fatalf("output %q", got)
	}
	h.wantStatus(1)
	h.wantOneMessage(words...)
}
