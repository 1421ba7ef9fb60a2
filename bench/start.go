// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// contender is one of several ways to run a program.
type contender struct {
	name    string
	argv    []string
	samples []float64
}

// contenders run a program through muontrap, and through what is installed of
// its peers. The first is the one to be measured against.
func (b *bench) contenders(program ...string) []*contender {
	var list []*contender
	add := func(name string, argv ...string) {
		if path, err := exec.LookPath(argv[0]); err == nil {
			argv = append([]string{path}, argv[1:]...)
			list = append(list, &contender{name: name, argv: append(argv, program...)})
		}
	}
	add("timeout 60", "timeout", "60")
	add("nothing between", program[0])
	list[1].argv = program
	add("tini", "tini", "-s", "--")
	add("dumb-init", "dumb-init", "--")
	add("catatonit", "catatonit", "--")
	add("muontrap", b.muontrap, "--")
	add("muontrap --guard", b.muontrap, "--guard", "--")
	return list
}

// way is some of muontrap's options.
type way struct {
	name string
	argv []string
}

// inCgroups are muontrap's options for what this machine has of cgroups.
func inCgroups() []way {
	if os.Geteuid() != 0 {
		return nil
	}
	memory := "-c memory (v2)"
	if mounted("cgroup", "memory") != "" {
		memory = "-c memory (v1)"
	}
	return []way{
		{"-g", []string{"-g", benchGroup}},
		{memory, []string{"-g", benchGroup, "-c", "memory"}},
	}
}

var benchGroup = fmt.Sprintf("muontrap_bench_%d", os.Getpid())

// mounted is where a file system of this type is, or "".
func mounted(kind, option string) string {
	table, _ := os.ReadFile("/proc/mounts")
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 3 && f[2] == kind && strings.Contains(f[3], option) {
			return f[1]
		}
	}
	return ""
}

const startRuns = 500

// startUp is the time from fork to exit for a program that does nothing.
func (b *bench) startUp() error {
	list := b.contenders(b.fixture("noop"))
	for _, w := range inCgroups() {
		argv := append([]string{b.muontrap}, append(w.argv, "--", b.fixture("noop"))...)
		list = append(list, &contender{name: "muontrap " + w.name, argv: argv})
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	stdin, w, err := pipe()
	if err != nil {
		return err
	}
	defer closeAll(null, stdin, w)
	directory := &contender{name: "mkdir and rmdir of a cgroup (v2)"}
	unified := mounted("cgroup2", "")
	path := filepath.Join(unified, benchGroup)
	for range startRuns {
		begin := time.Now()
		if unified != "" && unix.Mkdir(path, 0o755) == nil && unix.Rmdir(path) == nil {
			directory.samples = append(directory.samples, ms(time.Since(begin)))
		}
		for _, i := range rand.Perm(len(list)) {
			c := list[i]
			begin := time.Now()
			pid, err := spawn(c.argv, stdin, null, null)
			if err != nil {
				return err
			}
			if err := wait(pid); err != nil {
				return err
			}
			c.samples = append(c.samples, ms(time.Since(begin)))
		}
	}
	for _, c := range append(list, directory) {
		b.table.add("start", c.name, 0, "ms", c.samples, list[0].name, list[0].samples)
	}
	return nil
}
