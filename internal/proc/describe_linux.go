// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Describe names a process for messages.
func Describe(pid int) string {
	comm, err := ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		comm = []byte("?")
	}
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(comm)))
}

// OffersPidfd tells for people whether this kernel has pidfds.
func OffersPidfd() string {
	fd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return "no"
	}
	unix.Close(fd)
	return "yes"
}

// Threads tells for people how many threads this process has.
func Threads() string { return strconv.Itoa(len(Names("/proc/self/task"))) }
