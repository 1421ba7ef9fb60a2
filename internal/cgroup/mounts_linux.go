// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"strconv"
	"strings"
)

// hierarchy is one mounted cgroup hierarchy.
type hierarchy struct {
	dir         string   // mount point
	v2          bool     // the unified hierarchy
	root        string   // which directory of the hierarchy is mounted there, "/" for all
	controllers []string // v1: those it carries; v2: those it offers, once read
}

// parseMountinfo lists the cgroup hierarchies of a mount table in the format of
// /proc/PID/mountinfo (proc_pid_mountinfo(5)), whole ones first. A mount hides
// what was mounted at the same place before.
func parseMountinfo(table string) []hierarchy {
	var hs []hierarchy
	for line := range strings.Lines(table) {
		mount, fs, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		m, f := strings.Split(mount, " "), strings.Split(fs, " ")
		if !ok || len(m) < 6 || len(f) < 3 {
			continue
		}
		h := hierarchy{dir: unescape(m[4]), v2: f[0] == "cgroup2", root: unescape(m[3])}
		hs = slices.DeleteFunc(hs, func(old hierarchy) bool { return old.dir == h.dir })
		switch f[0] {
		case "cgroup":
			h.controllers = v1Controllers(f[2])
			hs = append(hs, h)
		case "cgroup2":
			hs = append(hs, h)
		}
	}
	slices.SortStableFunc(hs, func(a, b hierarchy) int { return len(a.root) - len(b.root) })
	return hs
}

// v1Controllers picks the controllers, and the name if it has one, from the
// options of a v1 mount.
func v1Controllers(options string) []string {
	return slices.DeleteFunc(strings.Split(options, ","), func(o string) bool {
		switch o {
		case "rw", "ro", "none", "all", "noprefix", "clone_children", "xattr", "cpuset_v2_mode", "favordynmods":
			return true
		}
		return strings.HasPrefix(o, "release_agent=")
	})
}

// unescape undoes the octal escapes of white space and backslash in a mount table.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 3 {
			if c, err := strconv.ParseUint(after[:3], 8, 8); err == nil {
				b.WriteByte(byte(c))
				s = after[3:]
				continue
			}
		}
		b.WriteByte('\\')
		s = after
	}
}

// carries tells whether this hierarchy has the controller. A named v1 hierarchy
// goes by "name=NAME" and by NAME.
func (h *hierarchy) carries(controller string) bool {
	return slices.ContainsFunc(h.controllers, func(c string) bool {
		return c == controller || c == "name="+controller
	})
}
