// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(tag) != "" {
		main() // as the host
	}
	os.Exit(m.Run())
}

func TestDemoHolds(t *testing.T) {
	if err := demo(build(t)); err != nil {
		t.Fatal(err)
	}
}

func TestDemoFailsWithoutAWindow(t *testing.T) {
	wantFailure(t, "not what muontrap promises", `shift 2; exec "$@"`)
}

func TestDemoFailsWhenSomethingIsLeft(t *testing.T) {
	wantFailure(t, "2 processes are left behind",
		`case "$*" in *yes) exec `+build(t)+` "$@";; esac; shift 2; "$@" & wait`)
}

// wantFailure runs the demo with a shell script in muontrap's place.
func wantFailure(t *testing.T, want, script string) {
	t.Helper()
	fake := filepath.Join(t.TempDir(), "fake")
	if err := os.WriteFile(fake, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := demo(fake); err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got error %v, want %q", err, want)
	}
	if left := marked(fmt.Sprintf("%s=%d", tag, os.Getpid())); len(left) > 0 {
		t.Fatalf("the demo left %v", left)
	}
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "muontrap")
	if out, err := exec.Command("make", "-C", "../..", "build", "BIN="+bin).CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	return bin
}
