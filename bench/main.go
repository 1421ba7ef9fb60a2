// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures muontrap against its peers and against the least that
// does the same work. All that is compared runs interleaved, in one run on one
// machine, so that ratios hold where absolute figures do not.
//
//	go run ./bench MUONTRAP [CSV [SECTION]...]
//
// It prints a table, and writes the same as CSV. What it needs beside muontrap
// it compiles from testdata with gcc. Sections: start, idle, relay, erlang, latency,
// end, stop, hosts, many.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func init() {
	runtime.LockOSThread() // one thread forks, waits, and is the subreaper's
}

func main() {
	debug.SetGCPercent(-1)
	var err error
	if len(os.Args) > 1 && os.Args[1] == hostName {
		err = beHost(os.Args[2], os.Args[3:])
	} else {
		err = run(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench knows what is compared, and collects what was measured.
type bench struct {
	muontrap string
	dir      string // of the compiled fixtures
	table    table
}

var sections = []struct {
	name    string
	measure func(*bench) error
}{
	{"start", (*bench).startUp},
	{"idle", (*bench).idle},
	{"relay", (*bench).relay},
	{"erlang", (*bench).erlang},
	{"latency", (*bench).latency},
	{"end", (*bench).end},
	{"stop", (*bench).stop},
	{"hosts", (*bench).hosts},
	{"many", (*bench).many},
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: bench MUONTRAP [CSV [SECTION]...]")
	}
	dir, err := filepath.Abs("dist/bench")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	b := &bench{dir: dir}
	if err := b.install(args[0]); err != nil {
		return err
	}
	if err := b.compile("noop", "tree", "stream", "relay"); err != nil {
		return err
	}
	// Whatever loses its parent comes here, and not to an init of whose speed
	// nothing is known.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	fmt.Println(machine())
	for _, s := range sections {
		if len(args) > 2 && !slices.Contains(args[2:], s.name) {
			continue
		}
		if err := s.measure(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.table.print(s.name)
	}
	if len(args) > 1 {
		return b.table.writeCSV(args[1])
	}
	return nil
}

// install copies muontrap, as all its users do. What a linker has just written lies in the
// page cache page by page, and takes 0.05 of a start longer to map.
func (b *bench) install(muontrap string) error {
	b.muontrap = filepath.Join(b.dir, "muontrap")
	binary, err := os.ReadFile(muontrap)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(b.muontrap); err != nil {
		return err
	}
	return os.WriteFile(b.muontrap, binary, 0o755)
}

// compile makes static programs that start as fast as programs can.
func (b *bench) compile(names ...string) error {
	for _, name := range names {
		source := filepath.Join("bench", "testdata", name+".c")
		out, err := exec.Command("gcc", "-O2", "-static", "-s", "-o", b.fixture(name), source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("gcc %s: %w\n%s", source, err, out)
		}
	}
	return nil
}

func (b *bench) fixture(name string) string { return filepath.Join(b.dir, name) }

// machine says what the figures were measured on.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("Linux %s, %s, %d processors, load %.14s", unix.ByteSliceToString(u.Release[:]),
		runtime.GOARCH, runtime.NumCPU(), strings.TrimSpace(string(load)))
}
