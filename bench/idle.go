// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// idleTime is how long wake-ups are counted.
const idleTime = time.Minute

// idle is what instances cost while their program waits: all at the same time.
func (b *bench) idle() error {
	list := b.contenders(b.fixture("tree"), "wide", "1", "obey")
	stdin, w, err := pipe()
	if err != nil {
		return err
	}
	stderr, ready, err := pipe()
	if err != nil {
		return err
	}
	defer closeAll(stdin, stderr)
	wakeups := map[int]float64{}
	pids := map[*contender][]int{}
	for _, c := range list {
		pid, err := spawn(c.argv, stdin, ready, ready)
		if err != nil {
			return err
		}
		if err := readFull(stderr, make([]byte, 4)); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		pids[c] = above(pid)
	}
	closeAll(ready)
	time.Sleep(time.Second) // the runtime's first wake-ups are no idling
	for _, c := range list {
		for _, pid := range pids[c] {
			wakeups[pid] = switches(pid)
		}
	}
	time.Sleep(idleTime)
	for _, c := range list {
		var memory, threads, woken float64
		for _, pid := range pids[c] {
			memory += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous:")
			threads += field(fmt.Sprintf("/proc/%d/status", pid), "Threads:")
			woken += switches(pid) - wakeups[pid]
		}
		b.addIdle(c.name, "kB anon", memory)
		b.addIdle(c.name, "threads", threads)
		b.addIdle(c.name, "wakeups", woken)
	}
	closeAll(w)
	for _, c := range list {
		_ = unix.Kill(pids[c][0], unix.SIGTERM)
	}
	reap()
	info, err := os.Stat(b.muontrap)
	if err != nil {
		return err
	}
	b.addIdle("muontrap, the file", "MB", float64(info.Size())/1e6)
	return nil
}

func (b *bench) addIdle(what, unit string, value float64) {
	b.table = append(b.table, row{
		section: "idle", what: what, unit: unit, p50: value,
		p99: math.NaN(), ratio: math.NaN(), ratio99: math.NaN(),
	})
}

// above lists a process and those below it that stand between it and the
// program, which has no children; or itself if it is the program.
func above(pid int) []int {
	list := []int{pid}
	for {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		var kids []string
		for _, f := range files {
			text, _ := os.ReadFile(f)
			kids = append(kids, strings.Fields(string(text))...)
		}
		if len(kids) == 0 {
			return list[:max(1, len(list)-1)]
		}
		pid, _ = strconv.Atoi(kids[0])
		list = append(list, pid)
	}
}

// switches counts how often the threads of a process went to sleep.
func switches(pid int) (n float64) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, f := range files {
		n += field(f, "voluntary_ctxt_switches:")
	}
	return n
}

// field reads a number from a file of "name: number" lines.
func field(file, name string) float64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseFloat(f[1], 64)
			return n
		}
	}
	return math.NaN()
}
