// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every thread waits for good, or for longer than anybody lives.
func TestNothingWakesAnIdleMuontrap(t *testing.T) {
	h := startArmed(t, "--capture-output", "sleep", "1000")
	h.program()
	var waits string
	eventually(t, "all threads to sleep", func() bool {
		waits = threadWaits(t, h.cmd.Process.Pid)
		return waits != "" && !strings.Contains(waits, "awake")
	})
	if strings.Contains(waits, "for") {
		t.Errorf("its threads wait%s", waits)
	}
}

// threadWaits tells what each thread of a process waits for (proc_pid_syscall(5)).
func threadWaits(t *testing.T, pid int) (waits string) {
	t.Helper()
	timeouts := map[string]int{ // the argument that points to one
		strconv.Itoa(unix.SYS_FUTEX): 4,
		strconv.Itoa(unix.SYS_PPOLL): 3,
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	for _, thread := range threads {
		f := strings.Fields(readFile(t, thread))
		argument := timeouts[f[0]]
		switch {
		case argument == 0:
			waits += " awake"
		case f[argument] == "0x0":
			waits += " on"
		default:
			if s := secondsAt(t, pid, f[argument]); s < 100*365*86400 {
				waits += fmt.Sprintf(" for %d s", s)
			}
		}
	}
	return waits
}

// secondsAt reads the first word of a timespec.
func secondsAt(t *testing.T, pid int, address string) int64 {
	t.Helper()
	at, err := strconv.ParseInt(address, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	var word [8]byte
	if _, err := memory.ReadAt(word[:], at); err != nil {
		t.Fatal(err)
	}
	return int64(binary.NativeEndian.Uint64(word[:]))
}
