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

// startShell starts a shell that prints pids. It and all in its process group are killed in the end.
func startShell(t *testing.T, script string, pids ...any) (pid int) {
	t.Helper()
	c := exec.Command("sh", "-c", script)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	if _, err := fmt.Fscan(bufio.NewReader(out), pids...); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

// A shell, its child and its grandchild, of whom the first list has the shell only.
func TestLatecomersAreToldUnlessTheirElderTookSIGTERM(t *testing.T) {
	for prepare, wantAll := range map[string]bool{"": true, "trap '' TERM;": true, "trap : TERM;": false} {
		t.Run(prepare, func(t *testing.T) {
			all := make([]int, 3)
			all[0] = startShell(t, prepare+`sh -c 'sleep 1000 & echo $$ $!; exec sleep 1000' & wait`, &all[1], &all[2])
			var told []int
			there := all[:1]
			err := Terminate(func() []int {
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
	var helper int
	shell := startShell(t, "trap : TERM; sleep 1000 & echo $!; wait; wait", &helper)
	thread, over := unix.Gettid(), make(chan bool)
	go func() {
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
			_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGCHLD)
		}
		close(over)
	}()
	begin, there := time.Now(), []int{shell}
	err := Terminate(func() []int {
		defer func() { there = []int{shell, helper} }()
		return there
	}, func(int, ...syscall.Signal) error { return nil }, begin.Add(100*time.Millisecond))
	<-over
	if took := time.Since(begin); err != nil || took > 10*time.Second {
		t.Errorf("%v, %v", took, err)
	}
}
