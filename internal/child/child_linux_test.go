// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// What splice(2) refuses is written the plain way, and nothing is lost.
func TestRelayFallsBackToReadAndWrite(t *testing.T) {
	source, w := newSource(t)
	s := fileSink(t, os.O_APPEND) // EINVAL
	r := &Relay{source: source, sink: s.fd, splice: true, write: writeReady}
	want := counted(5000)
	write(t, w, want)
	unix.Close(w)
	for err := error(nil); err != io.EOF; {
		if _, err = r.Move(700); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if r.splice {
		t.Fatal("splice(2) was not refused")
	}
	if got := s.take(2 * len(want)); !bytes.Equal(got, want) {
		t.Errorf("%d bytes came of %d, or others", len(got), len(want))
	}
}

// A terminal's own description is left alone; the relay's is non-blocking.
func TestRelayToATerminalNeverBlocks(t *testing.T) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil { // unlockpt(3)
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := unix.Open("/dev/pts/"+strconv.Itoa(number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tty)
	before := statusFlags(t, tty)
	source, w := newSource(t)
	r := NewRelay(source, tty)
	fill(t, r, w)
	if after := statusFlags(t, tty); after != before {
		t.Errorf("flags %#x have become %#x", before, after)
	}
}

func statusFlags(t *testing.T, fd int) int {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags
}
