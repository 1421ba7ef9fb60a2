// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command demo shows what muontrap is for: a host that reads slowly is not
// flooded, and a host that is killed leaves nothing behind.
//
//	go run ./scripts/demo [MUONTRAP]
//
// The demo starts itself once more to be the host, so that it can kill it. It
// checks all that it shows: exit status 0 means that everything held. It needs
// Linux, for it looks for processes in /proc.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
)

const (
	window = protocol.DefaultWindow
	tag    = "MUONTRAP_DEMO" // in the environment of the host and all below it
	grace  = 5 * time.Second // for anything that should happen at once
)

func main() {
	muontrap := "./muontrap"
	if len(os.Args) > 1 {
		muontrap = os.Args[1]
	}
	run := demo
	if os.Getenv(tag) != "" {
		run = beHost
	}
	if err := run(muontrap); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo starts the host, shows what it does, and kills it.
func demo(muontrap string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	mark := tag + "=" + strconv.Itoa(os.Getpid())
	host := exec.Command(self, muontrap)
	host.Env = append(os.Environ(), mark)
	host.Stderr = os.Stderr
	stdin, err := host.StdinPipe() // the host ends with it
	if err != nil {
		return err
	}
	defer stdin.Close()
	reports, err := host.StdoutPipe()
	if err != nil {
		return err
	}
	if err := host.Start(); err != nil {
		return err
	}
	defer cleanUp(host, mark)
	if err := showWindow(reports); err != nil {
		return err
	}
	return showKill(host.Process, mark)
}

// cleanUp leaves nothing behind even where muontrap would.
func cleanUp(host *exec.Cmd, mark string) {
	_ = host.Process.Kill()
	_ = host.Wait()
	for end := time.Now().Add(time.Second); len(marked(mark)) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	// What is killed takes a moment to go.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left := marked(mark)
		if len(left) == 0 {
			return
		}
		for _, p := range left {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

// showWindow shows the host's reports, one line each.
func showWindow(reports io.Reader) error {
	title("1. yes(1) floods its host, through a window of " + thousands(window) + " bytes")
	fmt.Printf("  %-24s %12s %12s %9s\n", "the host", "received", "acknowledged", "in flight")
	for _, step := range []struct {
		does string
		must func(report) bool
	}{
		{"reads, acknowledges none", func(r report) bool { return r.received == window }},
		{"waits: yes is blocked", func(r report) bool { return r.received == window && r.quiet }},
		{"acknowledges a half", func(r report) bool { return r.acked == window/2 }},
		{"reads", func(r report) bool { return r.inFlight() == window && r.quiet }},
		{"acknowledges the rest", func(r report) bool { return r.inFlight() == 0 }},
		{"reads", func(r report) bool { return r.inFlight() == window && r.quiet }},
		{"does both for a second", func(r report) bool { return r.received > 10*window && r.inFlight() <= window }},
	} {
		var r report
		if _, err := fmt.Fscanln(reports, &r.received, &r.acked, &r.quiet); err != nil {
			return fmt.Errorf("the host reports nothing: %w", err)
		}
		fmt.Printf("  %-24s %12s %12s %9s %s\n", step.does,
			thousands(r.received), thousands(r.acked), thousands(r.inFlight()), bar(r.inFlight()))
		if !step.must(r) {
			return fmt.Errorf("not what muontrap promises: %+v", r)
		}
	}
	return nil
}

// showKill kills the host and shows how all that it ran goes too.
func showKill(host *os.Process, mark string) error {
	fmt.Println()
	title("2. The host is killed with SIGKILL, and can tidy up nothing")
	left := marked(mark)
	deaf := false
	for _, p := range left {
		what := p.what
		if p.pid == host.Pid {
			what = "the host"
		}
		fmt.Printf("  %7d  %s\n", p.pid, what)
		deaf = deaf || strings.HasSuffix(p.what, ignoresTerm)
	}
	if len(left) != 5 || !deaf {
		return fmt.Errorf("want the host, two programs, one of them deaf to SIGTERM, and a muontrap for each")
	}
	if err := host.Kill(); err != nil {
		return err
	}
	killed := time.Now()
	fmt.Printf("\n  kill -KILL %d\n\n", host.Pid)
	for len(left) > 0 && time.Since(killed) < grace {
		now := marked(mark)
		for _, p := range left {
			if !slices.ContainsFunc(now, func(q process) bool { return q.pid == p.pid }) {
				fmt.Printf("  %7d  gone after %3d ms\n", p.pid, time.Since(killed).Milliseconds())
			}
		}
		left = now
		time.Sleep(time.Millisecond)
	}
	for _, p := range left {
		fmt.Printf("  %7d  is still there after %v\n", p.pid, grace)
	}
	if len(left) > 0 {
		return fmt.Errorf("%d processes are left behind", len(left))
	}
	fmt.Println("\n  Nothing is left.")
	return nil
}

// title prints a heading, bold on a terminal.
func title(s string) {
	out, err := os.Stdout.Stat()
	if err == nil && out.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" {
		s = "\x1b[1m" + s + "\x1b[0m"
	}
	fmt.Println(s)
}

// bar draws how much of the window is in flight.
func bar(inFlight int) string {
	const width = 14
	n := min((inFlight*width+window-1)/window, width)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
