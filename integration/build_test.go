// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// copySources copies what is needed to build, and more, to a directory of this name.
func copySources(t *testing.T, name string, more ...string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range append([]string{"Makefile", "go.mod", "go.sum", "cmd", "internal", "scripts"}, more...) {
		run(t, exec.Command("cp", "-R", filepath.Join("..", f), dir))
	}
	return dir
}

// run runs a command that has to succeed.
func run(t *testing.T, c *exec.Cmd) (output string) {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

// buildIn copies the sources to a directory of this name and builds them there.
func buildIn(t *testing.T, name string) []byte {
	t.Helper()
	dir := copySources(t, name)
	binary := filepath.Join(dir, "built")
	run(t, exec.Command("make", "-C", dir, "build", "BIN="+binary))
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildIsReproducible(t *testing.T) {
	a, b := buildIn(t, "a"), buildIn(t, "another")
	if !bytes.Equal(a, b) {
		t.Errorf("built in two directories, the binaries differ (%d and %d bytes)", len(a), len(b))
	}
}

// What is initialised before, allocates on more than one processor (internal/single).
func TestOneProcessorComesBeforeAllElse(t *testing.T) {
	c := exec.Command(muontrap, "--version")
	c.Env = []string{"GODEBUG=inittrace=1"}
	var trace strings.Builder
	c.Stderr = &trace
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(trace.String(), "internal/single ")
	for _, name := range []string{"errors", "sync", "internal/godebug", "syscall", "os"} {
		if !strings.Contains(after, "init "+name+" ") {
			t.Errorf("%s does not come after it (found: %v): %s", name, found, trace.String())
		}
	}
}

func TestBinaryIsStatic(t *testing.T) {
	f, err := elf.Open(muontrap)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("has a %v segment", p.Type)
		}
	}
}
