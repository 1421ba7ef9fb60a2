// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"
	"strings"
)

// Hits tells which limits did something to the program: a status of 137 alone
// doesn't. Ask before Remove.
func (g *Group) Hits() []string {
	var hits []string
	for _, d := range g.dirs {
		if slices.Contains(d.controllers, "memory") {
			hits = append(hits, d.memoryHits()...)
		}
		if slices.Contains(d.controllers, "pids") {
			if n := d.count("pids.events", "max"); n > 0 {
				hits = append(hits, fmt.Sprintf("pids.max %s reached: the kernel refused %s", d.value("pids.max"), many(n, "fork")))
			}
		}
	}
	return hits
}

func (d *dir) memoryHits() []string {
	events, limit := "memory.events", d.memoryLimit()
	if !d.v2 {
		events = "memory.oom_control"
	}
	n := d.count(events, "oom_kill")
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s %s reached: the kernel killed %s", limit, d.value(limit), many(n, "process"))}
}

// count reads one number of a file of "name number" lines.
func (d *dir) count(file, name string) int {
	text, _ := readAt(d.fd, file)
	for line := range strings.Lines(text) {
		var n int
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, _ = fmt.Sscan(rest, &n)
			return n
		}
	}
	return 0
}

func (d *dir) value(file string) string {
	text, _ := readAt(d.fd, file)
	return strings.TrimSpace(text)
}

func many(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "s"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}
