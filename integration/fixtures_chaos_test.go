// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func init() { fixtures["@chaos"] = fixtureChaos }

// fixtureChaos executes a plan, which is a row of steps, and then waits for
// ever. Some steps take a number ("storm:20"), some the plan of another process
// ("child ( ignore child ( setsid ) )").
func fixtureChaos(plan []string) int {
	runtime.LockOSThread() // the tracer is a thread
	n := &chaosNode{files: []uintptr{0, 1, 2}, plan: plan}
	for len(n.plan) > 0 {
		word := n.plan[0]
		n.plan = n.plan[1:]
		name, number, _ := strings.Cut(word, ":")
		n.number, _ = strconv.Atoi(number)
		step, ok := chaosSteps[name]
		if !ok {
			return fixtureFailed(fmt.Errorf("no step %q", word))
		}
		if err := step(n); err != nil {
			return fixtureFailed(fmt.Errorf("%s: %w", word, err))
		}
	}
	for {
		_, _ = unix.Poll(nil, -1)
	}
}

// chaosNode is a process of the tree.
type chaosNode struct {
	plan   []string  // what is left of it
	number int       // of the present step
	files  []uintptr // what children inherit
}

var chaosSteps map[string]func(*chaosNode) error

func init() {
	chaosSteps = map[string]func(*chaosNode) error{
		"setsid":    func(*chaosNode) error { _, err := unix.Setsid(); return err },
		"setpgid":   func(*chaosNode) error { return unix.Setpgid(0, 0) },
		"subreaper": func(*chaosNode) error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) },
		"stop":      func(*chaosNode) error { return unix.Kill(os.Getpid(), unix.SIGSTOP) },
		"exit":      func(n *chaosNode) error { os.Exit(n.number); return nil },
		"wait":      func(n *chaosNode) error { time.Sleep(time.Duration(n.number) * time.Millisecond); return nil },
		"nobody":    chaosNobody,
		"close":     chaosClose,
		"subgroup":  chaosSubgroup,

		// What SIGTERM does.
		"ignore": func(*chaosNode) error {
			signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1)
			return nil
		},
		"trap":   func(n *chaosNode) error { n.onTerm(func() {}); return nil },
		"slow":   chaosSlow,
		"reborn": chaosReborn,

		// Other processes.
		"child":  func(n *chaosNode) error { return n.start(n.operand(), nil) },
		"fork":   chaosFork,
		"exec":   func(n *chaosNode) error { return syscall.Exec(chaosExe, chaosArgs(n.plan), os.Environ()) },
		"trace":  func(n *chaosNode) error { return n.trace(true) },
		"hold":   func(n *chaosNode) error { return n.trace(false) },
		"storm":  chaosStorm,
		"sleep":  func(n *chaosNode) error { return n.spawn("sleep 1000") },
		"sulk":   func(n *chaosNode) error { return n.spawn(`trap "" TERM; sleep 1000`) },
		"loop":   func(n *chaosNode) error { return n.spawn(`trap "" TERM; while :; do sleep 0.02; done`) },
		"orphan": func(n *chaosNode) error { return n.spawn(`for i in 1 2 3 4 5; do (sleep 0.0$i &); done`) },
		"flee":   chaosFlee,

		"chatter": chaosChatter,
	}
}

// chaosExe can be run by those who can't reach the file's directory, too.
const chaosExe = "/proc/self/exe"

func chaosArgs(plan []string) []string { return append([]string{self, "@chaos"}, plan...) }

// operand takes "( ... )" off the plan.
func (n *chaosNode) operand() []string {
	depth := 0
	for i, word := range n.plan {
		switch word {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth == 0 {
			inner := n.plan[1:i]
			n.plan = n.plan[i+1:]
			return inner
		}
	}
	panic("unbalanced plan")
}

// start starts a process that executes a plan.
func (n *chaosNode) start(plan []string, attr *syscall.SysProcAttr) error {
	_, err := n.forkExec(chaosExe, chaosArgs(plan), attr)
	return err
}

// spawn starts a shell.
func (n *chaosNode) spawn(script string, args ...string) error {
	_, err := n.forkExec("/bin/sh", append([]string{"sh", "-c", script}, args...), nil)
	return err
}

func (n *chaosNode) forkExec(path string, args []string, attr *syscall.SysProcAttr) (int, error) {
	return syscall.ForkExec(path, args, &syscall.ProcAttr{Env: os.Environ(), Files: n.files, Sys: attr})
}

// onTerm does something at each SIGTERM, and outlives it.
func (n *chaosNode) onTerm(do func()) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		for range told {
			do()
		}
	}()
}

func chaosSlow(n *chaosNode) error {
	pause := time.Duration(n.number) * time.Millisecond
	n.onTerm(func() { time.Sleep(pause); os.Exit(0) })
	return nil
}

// chaosReborn answers each SIGTERM with one more process.
func chaosReborn(n *chaosNode) error {
	plan := n.operand()
	n.onTerm(func() { _ = n.start(plan, nil) })
	return nil
}

// chaosFork leaves the rest of the plan to a child, as a daemon does.
func chaosFork(n *chaosNode) error {
	if err := n.start(n.plan, nil); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

// trace starts a child and traces it: signals stop the child, and nobody lets
// it go on. Unless it is to run, it stops before its first step already.
func (n *chaosNode) trace(run bool) error {
	pid, err := n.forkExec(chaosExe, chaosArgs(n.operand()), &syscall.SysProcAttr{Ptrace: true})
	if err != nil || !run {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil || !ws.Stopped() {
		return err // it may have been killed
	}
	if err := unix.PtraceCont(pid, 0); err != unix.ESRCH {
		return err
	}
	return nil
}

// chaosStorm starts many children that end at once, and waits for none.
func chaosStorm(n *chaosNode) error {
	for range n.number {
		if _, err := n.forkExec("/bin/true", []string{"true"}, nil); err != nil {
			return err
		}
	}
	return nil
}

// chaosFlee starts a process that never stays: it leaves its work to a child,
// so many times.
func chaosFlee(n *chaosNode) error {
	const script = `trap "" TERM; [ "$1" -gt 0 ] || exit 0; sleep 0.003; sh -c "$0" "$0" $(($1 - 1)) &`
	return n.spawn(script, script, strconv.Itoa(n.number))
}

func chaosNobody(*chaosNode) error {
	const nobody = 65534
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody)
}

func chaosClose(n *chaosNode) error {
	n.files = nil
	for fd := range 3 {
		_ = unix.Close(fd)
	}
	return nil
}

// chaosChatter writes for ever.
func chaosChatter(*chaosNode) error {
	go func() {
		for line := []byte(strings.Repeat(".", 999) + "\n"); ; time.Sleep(time.Millisecond) {
			_, _ = unix.Write(1, line)
			_, _ = unix.Write(2, line)
		}
	}()
	return nil
}

// chaosSubgroup moves into a new cgroup below the tree's, wherever that has one.
func chaosSubgroup(*chaosNode) error {
	for _, mount := range hierarchyRoots() {
		dirs, _ := filepath.Glob(mount + "/" + os.Getenv(chaosGroup))
		for _, dir := range dirs {
			dir = fmt.Sprintf("%s/sub%d", dir, os.Getpid())
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// chaosGroup is the environment variable with the name of the tree's cgroup.
const chaosGroup = "MUONTRAP_CHAOS_GROUP"

// hierarchyRoots lists where cgroup hierarchies are mounted.
func hierarchyRoots() (dirs []string) {
	table, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		mount, fs, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(fs, "cgroup") {
			dirs = append(dirs, strings.Fields(mount)[4])
		}
	}
	return dirs
}
