// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
)

func init() {
	fixtures["@record"] = fixtureRecord
}

// forEachClient runs a test with each of the clients in examples/.
func forEachClient(t *testing.T, test func(t *testing.T, c client)) {
	t.Helper()
	dir := t.TempDir() // lives as long as the subtests
	run(t, exec.Command("go", "build", "-o", filepath.Join(dir, "client-go"), "../examples"))
	for _, c := range []client{
		{"Python", []string{"python3", "../examples/client.py"}},
		{"Node.js", []string{"node", "../examples/client.mjs"}},
		{"Perl", []string{"perl", "../examples/client.pl"}},
		{"Go", []string{filepath.Join(dir, "client-go")}},
		{"Erlang", []string{"escript", "../examples/client.escript"}},
		{"Elixir", []string{"elixir", "../examples/client.exs"}},
		{"shell", []string{"bash", "../examples/client.sh"}},
	} {
		t.Run(c.language, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

type client struct {
	language string
	argv     []string
}

// clientRun is a client that runs a program under a muontrap.
type clientRun struct {
	t      *testing.T
	cmd    *exec.Cmd
	tag    string
	stdout *os.File
	stderr bytes.Buffer
}

// start starts the client. It finds as muontrap what bin holds.
func (c client) start(t *testing.T, bin, seconds string, program ...string) *clientRun {
	t.Helper()
	r := &clientRun{t: t, tag: newTag("CLIENT_TAG")}
	args := append(append(c.argv[1:], seconds), program...)
	r.cmd = exec.Command(c.argv[0], args...)
	r.cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8", "ERL_CRASH_DUMP_BYTES=0", r.tag)
	stdout, w := pipe(t)
	r.stdout, r.cmd.Stdout, r.cmd.Stderr = stdout, w, &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("%v: run scripts/install-test-deps", err)
	}
	w.Close()
	return r
}

// output reads up to the end of the client's output.
func (r *clientRun) output() []byte {
	r.t.Helper()
	if err := r.stdout.SetReadDeadline(time.Now().Add(2 * soon)); err != nil {
		r.t.Fatal(err)
	}
	b, err := io.ReadAll(r.stdout)
	if err != nil {
		_ = r.cmd.Process.Kill()
		r.t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return b
}

// wantEnd waits for the client's end, and that nothing is left.
func (r *clientRun) wantEnd(status int) {
	r.t.Helper()
	_ = r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != status || r.stderr.Len() > 0 {
		r.t.Errorf("status %d, want %d; stderr: %s", got, status, &r.stderr)
	}
	eventually(r.t, "all to be gone", func() bool { return len(tagged(r.tag)) == 0 })
}

// binDir makes a directory with this file, by the name of muontrap, to be put
// into PATH.
func binDir(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(file, filepath.Join(dir, "muontrap")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClientsGetEveryByteOfAFloodAndAcknowledgeIt(t *testing.T) {
	const n = 1_000_003
	forEachClient(t, func(t *testing.T, c client) {
		recorded := filepath.Join(t.TempDir(), "acks")
		recorder := writeFile(t, filepath.Join(t.TempDir(), "recorder"), 0o755,
			fmt.Sprintf("#!/bin/sh\nexec %s @record %s %s \"$@\"\n", self, recorded, muontrap))
		r := c.start(t, binDir(t, recorder), "100", self, "@bytes", fmt.Sprint(n))
		if got := r.output(); !bytes.Equal(got, testBytes(n)) {
			t.Errorf("%d bytes came of %d, or others", len(got), n)
		}
		r.wantEnd(0)
		acks, err := os.ReadFile(recorded)
		if err != nil {
			t.Fatal(err)
		}
		if got := protocol.Acknowledged(acks); got != n {
			t.Errorf("acknowledged %d bytes of %d", got, n)
		}
	})
}

func TestClientsTellOfAProgramThatFails(t *testing.T) {
	forEachClient(t, func(t *testing.T, c client) {
		bin := binDir(t, muontrap)
		for script, status := range map[string]int{
			"printf half; exit 7":         7,
			"printf half; kill -SEGV $$":  128 + 11,
			"printf half; exec /dev/null": 126,
		} {
			r := c.start(t, bin, "100", "sh", "-c", script+" 2>&-")
			if got := string(r.output()); got != "half" {
				t.Errorf("%s: got %q", script, got)
			}
			r.wantEnd(status)
		}
	})
}

func TestClientsStopAProgramThatNeverEnds(t *testing.T) {
	forEachClient(t, func(t *testing.T, c client) {
		r := c.start(t, binDir(t, muontrap), "1", "sh", "-c", "sleep 1000 & wait")
		if got := string(r.output()); got != "" {
			t.Errorf("got %q", got)
		}
		r.wantEnd(124)
	})
}

func TestProgramsGoWithAClientThatIsKilled(t *testing.T) {
	forEachClient(t, func(t *testing.T, c client) {
		r := c.start(t, binDir(t, muontrap), "1000", "sh", "-c", "echo started; sleep 1000 & wait")
		if _, err := io.ReadFull(r.stdout, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		if err := r.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.wantEnd(-1)
	})
}

// fixtureRecord runs muontrap, and writes what comes on stdin to a file before it
// passes it on.
func fixtureRecord(args []string) int {
	file, err := os.Create(args[0])
	if err != nil {
		return fixtureFailed(err)
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fixtureFailed(err)
	}
	if err := cmd.Start(); err != nil {
		return fixtureFailed(err)
	}
	go func() {
		_, _ = io.Copy(stdin, io.TeeReader(os.Stdin, file))
		stdin.Close()
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}
