// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const soon = 30 * time.Second

func TestCandidatesFollowPATH(t *testing.T) {
	for _, c := range []struct {
		program string
		env     []string
		want    []string
	}{
		{"p", []string{"PATH=/a:/b"}, []string{"/a/p", "/b/p"}},
		{"p", []string{"A=1", "PATH=/a", "PATH=/b"}, []string{"/a/p"}},
		{"p", []string{"PATH=:/a"}, []string{"./p", "/a/p"}},
		{"p", []string{"PATH=/a:"}, []string{"/a/p", "./p"}},
		{"p", []string{"PATH="}, []string{"./p"}},
		{"p", []string{"XPATH=/a"}, []string{"/bin/p", "/usr/bin/p"}},
		{"p", nil, []string{"/bin/p", "/usr/bin/p"}},
		{"/x/p", []string{"PATH=/a"}, []string{"/x/p"}},
		{"./p", []string{"PATH=/a"}, []string{"./p"}},
		{"x/p", []string{"PATH=/a"}, []string{"x/p"}},
		{"", []string{"PATH=/a"}, nil},
	} {
		if got := candidates(c.program, c.env); !slices.Equal(got, c.want) {
			t.Errorf("%q in %q: %q, want %q", c.program, c.env, got, c.want)
		}
	}
}

// executable writes a file into a new directory, and returns its path.
func executable(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts a program with its stdout to a pipe, in this environment.
func run(t *testing.T, env []string, args ...string) (p *Process, out *os.File, err error) {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Cleanup(func() { out.Close() })
	p, err = Start(&Spec{
		Program: args[0], Args: args, Env: env,
		Files: [3]int{int(null.Fd()), int(w.Fd()), 2},
	})
	if err == nil {
		t.Cleanup(func() {
			_ = p.Signal(syscall.SIGKILL)
			p.reap()
		})
	}
	return p, out, err
}

// mustRun starts a program that has to start.
func mustRun(t *testing.T, env []string, args ...string) (*Process, *os.File) {
	t.Helper()
	p, out, err := run(t, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return p, out
}

// output is all that a program says before it ends.
func output(t *testing.T, out *os.File) string {
	t.Helper()
	return string(readUntil(int(out.Fd()), time.Now().Add(soon)))
}

// awaitStatus waits for the end.
func (p *Process) awaitStatus(t *testing.T) int {
	t.Helper()
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if status, gone := p.Exited(true); gone {
			return status
		}
	}
	t.Fatal("the program does not end")
	return 0
}

func TestStatusIsTheProgramsOwn(t *testing.T) {
	for script, want := range map[string]int{
		"exit 0": 0, "exit 3": 3, "exit 255": 255, "kill -9 $$": 128 + 9, "kill -TERM $$": 128 + 15,
	} {
		p, _ := mustRun(t, os.Environ(), "sh", "-c", script)
		if got := p.awaitStatus(t); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
}

func TestSignalsReachTheProgramWhileItLives(t *testing.T) {
	p, out := mustRun(t, os.Environ(), "sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.1; done")
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, gone := p.Exited(true); gone {
		t.Fatal("gone already")
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if got := p.awaitStatus(t); got != 7 {
		t.Errorf("status %d", got)
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if status, gone := p.Exited(true); !gone || status != 7 {
		t.Errorf("asked again: %d, %v", status, gone)
	}
}

func TestProgramGetsItsArgumentsAndEnvironment(t *testing.T) {
	p, out, err := run(t, []string{"PATH=" + os.Getenv("PATH"), "X=a b"}, "sh", "-c", `printf '<%s>' "$X" "$@"`, "sh", "", "c d")
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, out); got != "<a b><><c d>" {
		t.Errorf("%q", got)
	}
	p.awaitStatus(t)
}

// execvp(3) does so.
func TestFileOfNoKnownFormatIsAShellScript(t *testing.T) {
	path := executable(t, "script", `echo "$0 $1"`, 0o755)
	_, out := mustRun(t, os.Environ(), path, "argument")
	if got := output(t, out); got != path+" argument\n" {
		t.Errorf("%q", got)
	}
}

func TestSearchGoesOnAfterWhatCannotBeRun(t *testing.T) {
	var path []string
	for _, f := range []string{
		executable(t, "program", "exit 1", 0o644),
		executable(t, "program", "#!/no/such/interpreter\n", 0o755),
		executable(t, "program", "#!/bin/sh\necho found\n", 0o755),
	} {
		path = append(path, filepath.Dir(f))
	}
	path = slices.Insert(path, 0, "/no/such/directory", executable(t, "a file", "", 0o644))
	_, out := mustRun(t, []string{"PATH=" + strings.Join(path, ":")}, "program")
	if got := output(t, out); got != "found\n" {
		t.Errorf("%q", got)
	}
}

func TestErrorsTellWhyNothingRuns(t *testing.T) {
	plain := executable(t, "plain", "exit 0", 0o644)
	for _, c := range []struct {
		program string
		env     []string
		found   bool
		err     error
		says    string
	}{
		{"/no/such/program", nil, false, syscall.ENOENT, `"/no/such/program": no such file`},
		{"no-such-program", nil, false, syscall.ENOENT, `"no-such-program": not found in PATH`},
		{"", nil, false, syscall.ENOENT, `"": not found in PATH`},
		{plain + "/x", nil, false, syscall.ENOENT, "no such file"},
		{plain, nil, true, syscall.EACCES, plain},
		{"plain", []string{"PATH=" + filepath.Dir(plain) + ":/no/such/directory"}, true, syscall.EACCES, "permission denied"},
		{t.TempDir(), nil, true, syscall.EACCES, "permission denied"},
		{executable(t, "script", "#!/no/such/interpreter\n", 0o755), nil, true, syscall.ENOENT, "interpreter"},
	} {
		_, _, err := run(t, c.env, c.program)
		var e *StartError
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", c.program, err)
			continue
		}
		if e.Found != c.found || e.Setup != "" || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v (%+v)", c.program, err, *e)
		}
	}
}

// More groups than any kernel takes, or for somebody who may not change them.
func TestIdentityThatCannotBeHadIsNotTheProgramsFault(t *testing.T) {
	p, err := Start(&Spec{
		Program: "/bin/sh", Args: []string{"sh", "-c", "exit 0"}, Files: [3]int{0, 1, 2},
		As: &syscall.Credential{Uid: 4242, Gid: 4242, Groups: make([]uint32, 1<<17)},
	})
	if err == nil {
		p.reap()
		t.Fatal("it runs")
	}
	var e *StartError
	if !errors.As(err, &e) || e.Setup == "" || !strings.Contains(err.Error(), "cannot start a process") {
		t.Errorf("%v", err)
	}
}

func TestStreamsGoWhereCaptureSays(t *testing.T) {
	const null, relay, inherit = "/dev/null", "relay", "muontrap's"
	for c, want := range map[Capture][2]string{
		CaptureNothing: {null, inherit},
		DropBoth:       {null, null},
		Inherit:        {inherit, inherit},
		CaptureStdout:  {relay, inherit},
		CaptureBoth:    {relay, relay},
		CaptureStderr:  {null, relay},
	} {
		s, err := OpenStreams(c, 100_000, false)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range want {
			fd := s.Files[1+i]
			var got string
			switch {
			case fd == 1+i:
				got = inherit
			case len(s.theirs) > 2 && fd == s.theirs[2]:
				got = relay
			case fd == s.theirs[0]:
				got = null
			}
			if got != want {
				t.Errorf("capture %d: descriptor %d goes to %q, want %q", c, 1+i, got, want)
			}
		}
		if (s.Source >= 0) != (want[0] == relay || want[1] == relay) {
			t.Errorf("capture %d: source %d", c, s.Source)
		}
		s.Started()
		s.EndStdin()
		s.EndStdin() // no harm
		if s.Source >= 0 {
			unix.Close(s.Source)
		}
	}
}

// Nothing ever comes on it, and it ends when the stop begins.
func TestStdinOfTheProgramEndsWhenTold(t *testing.T) {
	s, err := OpenStreams(CaptureNothing, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(&Spec{Program: "cat", Args: []string{"cat"}, Env: os.Environ(), Files: s.Files})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Signal(syscall.SIGKILL)
		p.reap()
	})
	s.Started()
	if _, gone := p.Exited(true); gone {
		t.Fatal("gone before its stdin ended")
	}
	s.EndStdin()
	if got := p.awaitStatus(t); got != 0 {
		t.Errorf("status %d", got)
	}
}
