// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"strconv"
	"strings"

	"github.com/muontrap/muontrap/internal/proc"
	"golang.org/x/sys/unix"
)

// Offers tells for people what there is: the mounted hierarchies with their
// controllers, and whether cgroup.kill is among their files.
func Offers() (layout, kill string) {
	hs, err := hierarchies()
	if err != nil {
		return err.Error(), "unknown"
	}
	var v1, v2 []string
	kill = "no"
	hs = slices.DeleteFunc(hs, hidden)
	for _, h := range hs {
		if !h.v2 {
			v1 = append(v1, h.controllers...)
			continue
		}
		offered, _ := proc.ReadFile(h.dir + "/cgroup.controllers")
		v2, kill = append(v2, strings.Fields(string(offered))...), offersKill(h.dir)
	}
	if unified := slices.ContainsFunc(hs, func(h hierarchy) bool { return h.v2 }); unified {
		layout = describeVersion("v2", v2)
	}
	if len(v1) > 0 {
		layout = strings.TrimPrefix(layout+" and "+describeVersion("v1", v1), " and ")
	}
	if layout == "" {
		layout = "not mounted"
	}
	return layout, kill
}

func describeVersion(name string, controllers []string) string {
	slices.Sort(controllers)
	controllers = slices.Compact(controllers)
	if len(controllers) == 0 {
		return name + " (no controllers)"
	}
	return name + " (" + strings.Join(controllers, " ") + ")"
}

// offersKill looks into a group. Where there is only the root, which has no such
// file, the kernel's age has to tell.
func offersKill(mount string) string {
	fd, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "unknown: " + err.Error()
	}
	defer unix.Close(fd)
	groups := 0
	for _, name := range append(subdirs(fd), ".") {
		var st unix.Stat_t
		if unix.Fstatat(fd, name+"/cgroup.kill", &st, 0) == nil {
			return "yes"
		}
		if unix.Fstatat(fd, name+"/cgroup.type", &st, 0) == nil { // not in the root either
			groups++
		}
	}
	var is unix.Utsname
	_ = unix.Uname(&is)
	numbers := strings.Split(unix.ByteSliceToString(is.Release[:])+".", ".")
	major, _ := strconv.Atoi(numbers[0])
	minor, _ := strconv.Atoi(numbers[1])
	if groups == 0 && (major > 5 || major == 5 && minor >= 14) {
		return "yes"
	}
	return "no"
}
