// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// The race detector brings cgo, with which nobody can ask something of all threads.

//go:build !race

package signals

import (
	"runtime"
	"syscall"
	"testing"
)

func TestFlushBringsWhatWasSentBefore(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := open(t, syscall.SIGUSR1, syscall.Signal(64))
	for i := range 2000 {
		s := []syscall.Signal{syscall.SIGUSR1, 64}[i%2]
		sent := make(chan struct{})
		go func() { // from another thread, so that this one need not be the one that takes it
			raise(t, s)
			close(sent)
		}()
		<-sent
		p.Flush()
		if got, ok := p.Next(); !ok || got != s {
			t.Fatalf("%d: got %v, %v after the flush, want %v", i, got, ok, s)
		}
	}
}
