// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package integration tests the real binary under real parents, with programs
// that misbehave. One behaviour a test, named after it.
//
// Programs that no tool offers are this test binary itself, started again as
// "@name argument...": see fixtures_test.go.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var (
	muontrap string // path of the binary under test
	self     string // path of this test binary, for fixtures
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "@") {
		os.Exit(runFixture(os.Args[1], os.Args[2:]))
	}
	os.Exit(buildAndRun(m))
}

// buildAndRun builds muontrap the way the Makefile does, unless MUONTRAP names
// a binary to be tested instead, and runs the tests.
func buildAndRun(m *testing.M) int {
	var err error
	if self, err = os.Executable(); err != nil {
		panic(err)
	}
	if muontrap = os.Getenv("MUONTRAP"); muontrap == "" {
		dir, err := os.MkdirTemp("", "muontrap-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		// Programs run as other users have to reach the binaries.
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
		muontrap = filepath.Join(dir, "muontrap")
		if out, err := exec.Command("make", "-C", "..", "build", "BIN="+muontrap).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "make build: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}
