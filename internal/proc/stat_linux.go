// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"strconv"
	"strings"
)

// Stat returns the stat file of a process or thread from its third field, the state, on
// (proc_pid_stat(5)): the second is a name, and can hold anything. It is empty if there is
// no such process.
func Stat(file string) string {
	stat, _ := ReadFile(file)
	return string(bytes.TrimPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")))
}

// Field returns a field of Stat, counted from 0.
func Field(stat string, n int) string {
	for range n {
		_, stat, _ = strings.Cut(stat, " ")
	}
	field, _, _ := strings.Cut(stat, " ")
	return field
}

// Parent is a process's parent, 0 if there is no such process.
func Parent(pid int) int {
	parent, _ := strconv.Atoi(Field(Stat("/proc/"+strconv.Itoa(pid)+"/stat"), 1))
	return parent
}
