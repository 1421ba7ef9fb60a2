// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build 386 || amd64 || arm || arm64 || mips || mipsle || riscv64

package signals

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper starts a thread that sleeps with this mask until it is told not to, and
// returns its ID.
func sleeper(t *testing.T, mask unix.Sigset_t) (thread string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(r.Fd()) // blocking from now on
	ids, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var old unix.Sigset_t
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &mask, &old)
		ids <- unix.Gettid()
		for {
			if n, _ := unix.Read(fd, make([]byte, 1)); n == 0 {
				break
			}
		}
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	}()
	t.Cleanup(func() {
		w.Close()
		<-done
		r.Close()
	})
	return strconv.Itoa(<-ids)
}

func TestThreadThatSleepsIsInNoHandler(t *testing.T) {
	thread := sleeper(t, unix.Sigset_t{})
	for end := time.Now().Add(soon * time.Millisecond); !asleep(thread); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not sleep")
		}
	}
}

func TestThreadWithAllSignalsBlockedMayBeInAHandler(t *testing.T) {
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i]--
	}
	thread := sleeper(t, all)
	for range 100 {
		if asleep(thread) {
			t.Fatal("taken for one outside of all handlers")
		}
	}
}

func TestThreadThatRunsMayBeInAHandler(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if asleep(strconv.Itoa(unix.Gettid())) {
		t.Error("this thread does not sleep")
	}
}

func TestThreadThatHasEndedIsInNoHandler(t *testing.T) {
	if !asleep("0") {
		t.Error("waited for nobody")
	}
}
