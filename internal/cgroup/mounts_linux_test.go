// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"reflect"
	"strings"
	"testing"
)

func TestHierarchiesOfAMountTable(t *testing.T) {
	for _, c := range []struct {
		name  string
		table []string
		want  []hierarchy
	}{
		{"none", []string{
			"22 27 0:21 / /proc rw,relatime - proc proc rw",
		}, nil},
		{"v2 under systemd", []string{
			"24 30 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw",
			"35 24 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot",
			"36 24 0:30 / /sys/fs/pstore rw,nosuid,nodev,noexec,relatime shared:10 - pstore pstore rw",
		}, []hierarchy{
			{dir: "/sys/fs/cgroup", v2: true, root: "/"},
		}},
		{"hybrid under systemd, cpu and cpuacct together", []string{
			"31 23 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755",
			"32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate",
			"33 31 0:28 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd",
			"36 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct",
			"37 31 0:32 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,cpuset,clone_children,release_agent=/sbin/agent",
		}, []hierarchy{
			{dir: "/sys/fs/cgroup/unified", v2: true, root: "/"},
			{dir: "/sys/fs/cgroup/systemd", root: "/", controllers: []string{"name=systemd"}},
			{dir: "/sys/fs/cgroup/cpu,cpuacct", root: "/", controllers: []string{"cpu", "cpuacct"}},
			{dir: "/sys/fs/cgroup/cpuset", root: "/", controllers: []string{"cpuset"}},
		}},
		{"Docker on v1 without a namespace: its own directory is mounted", []string{
			"630 629 0:28 /docker/4f5e /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,memory",
		}, []hierarchy{
			{dir: "/sys/fs/cgroup/memory", root: "/docker/4f5e", controllers: []string{"memory"}},
		}},
		{"Docker on v2 with a namespace", []string{
			"1010 1009 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate",
		}, []hierarchy{
			{dir: "/sys/fs/cgroup", v2: true, root: "/"},
		}},
		{"host's mount inside a namespace: its root is above", []string{
			"50 24 0:29 /../../.. /host rw - cgroup2 cgroup2 rw",
		}, []hierarchy{
			{dir: "/host", v2: true, root: "/../../.."},
		}},
		{"white space and backslashes in names", []string{
			`40 24 0:29 /a\040b /mnt/my\040groups\011x\012y\134z rw - cgroup2 my\040cgroup2 rw`,
		}, []hierarchy{
			{dir: "/mnt/my groups\tx\ny\\z", v2: true, root: "/a b"},
		}},
		{"over-mounted by another hierarchy", []string{
			"40 24 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
			"41 40 0:40 / /sys/fs/cgroup rw - cgroup cgroup rw,pids",
		}, []hierarchy{
			{dir: "/sys/fs/cgroup", root: "/", controllers: []string{"pids"}},
		}},
		{"over-mounted by something else", []string{
			"40 24 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
			"41 40 0:40 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
		}, nil},
		{"the whole hierarchy comes before a part of it", []string{
			"40 24 0:29 /part /a rw - cgroup2 cgroup2 rw",
			"41 24 0:29 / /b rw - cgroup2 cgroup2 rw",
		}, []hierarchy{
			{dir: "/b", v2: true, root: "/"},
			{dir: "/a", v2: true, root: "/part"},
		}},
		{"lines that are none", []string{
			"", "-", " - ", "a b c - cgroup2 cgroup2 rw", "40 24 0:29 / /sys/fs/cgroup rw cgroup2 cgroup2 rw",
			"40 24 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2",
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := strings.Join(c.table, "\n") + "\n"
			if got := parseMountinfo(table); len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add("35 24 0:29 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add("36 31 0:31 /docker/1 /sys/fs/cgroup/cpu\\040acct rw - cgroup cgroup rw,cpu,cpuacct\n")
	f.Add("36 31 0:31 / \\ rw - cgroup \\0 rw,\\777\n - ")
	f.Fuzz(func(t *testing.T, table string) {
		seen := map[string]bool{}
		last := 0
		for _, h := range parseMountinfo(table) {
			if seen[h.dir] {
				t.Errorf("%q twice", h.dir)
			}
			if len(h.root) < last {
				t.Errorf("%q comes after a smaller part", h.root)
			}
			if h.v2 && h.controllers != nil {
				t.Errorf("v2 with controllers %q, which no mount table tells", h.controllers)
			}
			seen[h.dir], last = true, len(h.root)
		}
	})
}

// FuzzUnescape makes the escapes that the kernel makes, and wants them undone.
func FuzzUnescape(f *testing.F) {
	f.Add("/a b\tc\nd\\040")
	escaper := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(escaper.Replace(s)); got != s {
			t.Fatalf("got %q, want %q", got, s)
		}
	})
}

func TestBackslashesThatEscapeNothingStay(t *testing.T) {
	for _, s := range []string{`\`, `a\`, `\04`, `\xyz`, `\999`, `\777`, `a\b\c`} {
		if got := unescape(s); got != s {
			t.Errorf("unescape(%q) = %q", s, got)
		}
	}
}

func TestNamedHierarchyGoesByEitherName(t *testing.T) {
	h := hierarchy{controllers: []string{"name=systemd"}}
	for name, want := range map[string]bool{"systemd": true, "name=systemd": true, "system": false, "": false, "name": false} {
		if got := h.carries(name); got != want {
			t.Errorf("carries(%q) = %v", name, got)
		}
	}
}
