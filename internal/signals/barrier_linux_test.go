// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// The race detector brings cgo, with which nobody can ask something of all threads.

//go:build !race

package signals

import (
	"syscall"
	"testing"
)

func TestBarrierComesAfterWhatWasSentBefore(t *testing.T) {
	p := open(t, syscall.SIGUSR1)
	for range 200 {
		raise(t, syscall.SIGUSR1)
		p.Flush()
		if got := p.next(t); got != syscall.SIGUSR1 {
			t.Fatalf("got %v first", got)
		}
		if got := p.next(t); got != Barrier {
			t.Fatalf("got %v, want the barrier", got)
		}
	}
}
