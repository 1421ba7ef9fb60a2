// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mixProject is a fresh Elixir project whose mix.exs is the one of docs/elixir.md.
// Its dependency is a stand-in for the library, with a helper of its own.
type mixProject struct {
	t   *testing.T
	dir string
}

func newMixProject(t *testing.T) *mixProject {
	t.Helper()
	repository, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	p := &mixProject{t, t.TempDir()}
	p.run("", "mix", "new", "app")
	p.dir = filepath.Join(p.dir, "app")
	library := filepath.Join(p.dir, "library")
	p.run("", "cp", "-R", filepath.Join(repository, "integration/testdata/muontrap_library"), library)

	page, err := os.ReadFile("../docs/elixir.md")
	if err != nil {
		t.Fatal(err)
	}
	_, mixExs, _ := strings.Cut(string(page), "```elixir\ndefmodule")
	mixExs, _, _ = strings.Cut(mixExs, "```\n")
	mixExs = "defmodule" + mixExs
	for documented, here := range map[string]string{
		`"~> 1.0"`:      `path: "` + library + `"`,
		`"../muontrap"`: `"` + repository + `"`,
	} {
		if strings.Count(mixExs, documented) != 1 {
			t.Fatalf("docs/elixir.md: no %s in mix.exs", documented)
		}
		mixExs = strings.Replace(mixExs, documented, here, 1)
	}
	writeFile(t, filepath.Join(p.dir, "mix.exs"), 0o644, mixExs)
	return p
}

// run runs a command in the project and returns what it writes to stdout.
func (p *mixProject) run(environment, command string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(command, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0")
	if environment != "" {
		cmd.Env = append(cmd.Env, environment)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s%s", command, args, err, out, &stderr)
	}
	return string(out)
}

const askForStatus = `IO.inspect(MuonTrap.cmd("sh", ["-c", "echo hello; exit 3"]))`

// wantOurs checks what the library runs.
func (p *mixProject) wantOurs(environment, command string, args ...string) {
	p.t.Helper()
	if got := p.run(environment, command, args...); !strings.HasSuffix(got, "{\"hello\\n\", 3}\n") {
		p.t.Errorf("%s %q: got %s", command, args, got)
	}
}

func TestMixProjectRunsOurMuontrap(t *testing.T) {
	p := newMixProject(t)
	p.wantOurs("", "mix", "run", "-e", askForStatus)

	ours, err := os.ReadFile(muontrap)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(p.dir, "_build/dev/lib/muontrap/priv/muontrap"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("priv/muontrap is another")
	}
}

func TestMixProjectKeepsOurMuontrapWhenTheLibraryIsCompiledAgain(t *testing.T) {
	p := newMixProject(t)
	p.run("", "mix", "compile")
	p.run("", "mix", "deps.compile", "--force", "muontrap")
	if got := p.run("", "_build/dev/lib/muontrap/priv/muontrap"); got != "the library's own helper\n" {
		t.Fatalf("compiling the library again does not bring its helper back: %s", got)
	}
	p.wantOurs("", "mix", "run", "-e", askForStatus)
}

func TestMixReleaseTakesOurMuontrapAlong(t *testing.T) {
	p := newMixProject(t)
	p.run("MIX_ENV=prod", "mix", "release")
	p.wantOurs("", "_build/prod/rel/app/bin/app", "eval", askForStatus)
}

func TestMixProjectBuildsMuontrapForItsTarget(t *testing.T) {
	p := newMixProject(t)
	for target, want := range map[string]map[string]string{
		"rpi4":           {"GOOS": "linux", "GOARCH": "arm64"},
		"mangopi_mq_pro": {"GOOS": "linux", "GOARCH": "riscv64"},
	} {
		p.run("MIX_TARGET="+target, "mix", "compile")
		wantBuiltFor(t, filepath.Join(p.dir, "_build", target+"_dev/lib/muontrap/priv/muontrap"), want)
	}
}

// wantBuiltFor checks for which system a binary is.
func wantBuiltFor(t *testing.T, binary string, want map[string]string) {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range info.Settings {
		got[s.Key] = s.Value
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is built with %s=%s, want %s", binary, key, got[key], value)
		}
	}
}

func TestInstallPutsBinaryAndManualBelowThePrefix(t *testing.T) {
	root := t.TempDir()
	run(t, exec.Command("make", "-C", "..", "install", "DESTDIR="+root, "PREFIX=/opt/x"))
	for path, mode := range map[string]os.FileMode{"bin/muontrap": 0o755, "share/man/man1/muontrap.1": 0o644} {
		info, err := os.Stat(filepath.Join(root, "opt/x", path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
	}
	if out, err := exec.Command(filepath.Join(root, "opt/x/bin/muontrap"), "--help").Output(); err != nil || !bytes.HasPrefix(out, []byte("Usage: muontrap")) {
		t.Errorf("%v: %s", err, out)
	}
}
