// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A process as it is shown.
type process struct {
	pid  int
	what string
}

// marked lists the processes, zombies aside, with this in their environment.
func marked(mark string) (found []process) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), mark) {
			continue
		}
		dir := filepath.Dir(f)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		found = append(found, process{pid, describe(dir)})
	}
	slices.SortFunc(found, func(a, b process) int { return a.pid - b.pid })
	return found
}

const ignoresTerm = "(ignores SIGTERM)"

// describe is a process's command line, shortened, and a word on SIGTERM.
func describe(dir string) string {
	line, _ := os.ReadFile(dir + "/cmdline")
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	what := strings.Join(append([]string{filepath.Base(args[0])}, args[1:]...), " ")
	if len(what) > 50 {
		what = what[:47] + "..."
	}
	status, _ := os.ReadFile(dir + "/status")
	_, ignored, _ := bytes.Cut(status, []byte("\nSigIgn:\t"))
	var mask uint64
	if _, err := fmt.Sscanf(string(ignored), "%x", &mask); err == nil && mask&(1<<(syscall.SIGTERM-1)) != 0 {
		what += " " + ignoresTerm
	}
	return what
}
