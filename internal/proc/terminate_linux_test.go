// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bufio"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A shell, its child and its grandchild, of whom the first list has the shell only.
func TestLatecomersAreToldUnlessTheirElderTookSIGTERM(t *testing.T) {
	for prepare, wantAll := range map[string]bool{"": true, "trap '' TERM;": true, "trap : TERM;": false} {
		t.Run(prepare, func(t *testing.T) {
			c := exec.Command("sh", "-c", prepare+`sh -c 'sleep 1000 & echo $$ $!; exec sleep 1000' & wait`)
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
				_ = c.Wait()
			}()
			all := []int{c.Process.Pid, 0, 0}
			if _, err := fmt.Fscan(bufio.NewReader(out), &all[1], &all[2]); err != nil {
				t.Fatal(err)
			}
			var told []int
			there := all[:1]
			err = Terminate(func() []int {
				defer func() { there = []int{all[0], all[2], all[1]} }() // pids need not grow
				return there
			}, func(pid int, _ ...syscall.Signal) error {
				told = append(told, pid)
				return nil
			}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool][]int{true: all, false: all[:1]}[wantAll]; !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(want))) {
				t.Errorf("told are %v of %v, want %v", told, all, want)
			}
		})
	}
}

// SIGCHLD comes all the time when a tree ends.
func TestSignalsDoNotProlongTheWaitForWhoIsSpared(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := exec.Command("sh", "-c", "trap : TERM; sleep 1000 & echo $!; wait; wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	}()
	helper := 0
	if _, err := fmt.Fscan(bufio.NewReader(out), &helper); err != nil {
		t.Fatal(err)
	}
	thread, over := unix.Gettid(), make(chan bool)
	go func() {
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
			_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGCHLD)
		}
		close(over)
	}()
	begin, there := time.Now(), []int{c.Process.Pid}
	err = Terminate(func() []int {
		defer func() { there = []int{c.Process.Pid, helper} }()
		return there
	}, func(int, ...syscall.Signal) error { return nil }, begin.Add(100*time.Millisecond))
	<-over
	if took := time.Since(begin); err != nil || took > 10*time.Second {
		t.Errorf("%v, %v", took, err)
	}
}
