// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"strings"
)

// Stat returns the fields of the stat file of a process or thread, from the third, its
// state, on (proc_pid_stat(5)): the second is a name, and can hold anything. It is nil if
// there is no such process.
func Stat(file string) []string {
	stat, err := ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}
