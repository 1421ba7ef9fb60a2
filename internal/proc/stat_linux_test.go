// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestNameOfAProcessIsNotTakenForItsState(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its name
	name := []byte("x) Z 9 (y\x00")
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	stat := Stat("/proc/thread-self/stat")
	if got := Field(stat, 0); got != "R" {
		t.Errorf("state %q in %q", got, stat)
	}
	if got, want := Field(stat, 1), strconv.Itoa(unix.Getppid()); got != want {
		t.Errorf("parent %q in %q, want %s", got, stat, want)
	}
}

func TestProcessThatIsGoneHasNoFields(t *testing.T) {
	if stat := Stat("/proc/0/stat"); stat != "" || Field(stat, 3) != "" {
		t.Errorf("got %q", stat)
	}
}
