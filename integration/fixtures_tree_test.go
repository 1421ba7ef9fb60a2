// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	fixtures["@zombies"] = fixtureZombies
	fixtures["@comets"] = fixtureComets
	fixtures["@breeder"] = fixtureBreeder
	fixtures["@kin"] = fixtureKin
	fixtures["@tracer"] = fixtureTracer
	fixtures["@subreaper"] = fixtureSubreaper
	fixtures["@status-of-orphan"] = fixtureStatusOfOrphan
	fixtures["@as-root"] = fixtureAsRoot
	fixtures["@witness"] = fixtureWitness
	fixtures["@renamed"] = fixtureRenamed
}

// fork is fork(2). The child is a copy of one thread of a Go program: it may
// make raw system calls, and nothing else.
//
//go:nosplit
func fork() (pid uintptr) {
	pid, _ = tryFork()
	return pid
}

//go:nosplit
func exit(status uintptr) {
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, status, 0, 0)
}

var aWhile = unix.Timespec{Sec: 1000}

//go:nosplit
func sleepForever() {
	for {
		syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&aWhile)), 0, 0)
	}
}

// ignoreSignals makes this process, and those it forks, hear SIGKILL only.
func ignoreSignals() {
	for s := syscall.Signal(1); s <= 31; s++ {
		if s != unix.SIGCHLD { // the kernel would reap
			signal.Ignore(s)
		}
	}
}

// fixtureZombies forks N children that exit at once, waits for none, and exits.
func fixtureZombies(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	for range n {
		switch fork() {
		case 0:
			exit(0)
		case ^uintptr(0):
			return fixtureFailed(fmt.Errorf("cannot fork"))
		}
	}
	return 0
}

// generations bounds a comet's life, should it escape.
const generations = 200_000

// fixtureComets starts N processes that fork all the time and exit after each
// fork: no pid of theirs is good for long. They ignore signals.
func fixtureComets(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	ignoreSignals()
	for range n {
		if fork() == 0 {
			comet()
		}
	}
	fmt.Println("ready")
	sleepForever()
	return 0
}

//go:nosplit
func comet() {
	for range generations {
		if fork() != 0 {
			exit(0)
		}
	}
	exit(0)
}

// fixtureBreeder forks without end children that stay, and all ignore signals.
func fixtureBreeder([]string) int {
	runtime.LockOSThread()
	ignoreSignals()
	pause := unix.Timespec{Nsec: 1e6}
	for n := 0; ; n++ {
		if fork() == 0 {
			sleepForever()
		}
		if n == 20 {
			fmt.Println("ready")
		}
		_ = unix.Nanosleep(&pause, nil)
	}
}

// fixtureKin stays, beside a child, and an orphan that came of a double fork.
// They need next to no system call. They ignore signals if so asked.
func fixtureKin(args []string) int {
	runtime.LockOSThread()
	if len(args) > 0 && args[0] == "stubborn" {
		ignoreSignals()
	}
	if fork() == 0 {
		sleepForever()
	}
	if fork() == 0 {
		if fork() == 0 {
			sleepForever()
		}
		exit(0)
	}
	fmt.Println("ready")
	sleepForever()
	return 0
}

// fixtureTracer traces a child that it never lets run. It ignores SIGTERM if so
// asked.
func fixtureTracer(args []string) int {
	runtime.LockOSThread()
	if len(args) > 0 && args[0] == "stubborn" {
		ignoreSignals()
	}
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		return fixtureFailed(err)
	}
	fmt.Println("ready")
	sleepForever()
	return 0
}

// fixtureSubreaper adopts an orphan, which the command leaves it.
func fixtureSubreaper(args []string) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fixtureFailed(err)
	}
	c := exec.Command(args[0], args[1:]...)
	if err := c.Run(); err != nil {
		return fixtureFailed(err)
	}
	if len(children(os.Getpid())) == 0 {
		return fixtureFailed(fmt.Errorf("no orphan"))
	}
	fmt.Println("ready")
	sleepForever()
	return 0
}

// fixtureStatusOfOrphan runs a command and writes to a file the status of the
// orphan that it leaves.
func fixtureStatusOfOrphan(args []string) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fixtureFailed(err)
	}
	c := exec.Command(args[1], args[2:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return fixtureFailed(err)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(-1, &ws, 0, nil); err != nil {
		return fixtureFailed(err)
	}
	if err := os.WriteFile(args[0], []byte(strconv.Itoa(ws.ExitStatus())), 0o600); err != nil {
		return fixtureFailed(err)
	}
	return 0
}

// fixtureAsRoot is for a set-uid file: it becomes root altogether, so that
// nobody else may signal it, and stays.
func fixtureAsRoot([]string) int {
	if err := unix.Setresuid(0, 0, 0); err != nil {
		return fixtureFailed(err)
	}
	fmt.Println(os.Getpid())
	sleepForever()
	return 0
}

// fixtureWitness appends to a file what signals come.
func fixtureWitness(args []string) int {
	log, err := os.OpenFile(args[0], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fixtureFailed(err)
	}
	all := make(chan os.Signal, 100)
	signal.Notify(all)
	signal.Reset(unix.SIGURG) // the Go runtime's own
	fmt.Fprintln(log, "ready", os.Getpid())
	for s := range all {
		fmt.Fprintln(log, s)
	}
	return 0
}

// fixtureRenamed takes a name that ps shows, says so and stays.
func fixtureRenamed(args []string) int {
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/self/comm", []byte(args[0]), 0); err != nil {
		return fixtureFailed(err)
	}
	fmt.Println("ready")
	sleepForever()
	return 0
}
