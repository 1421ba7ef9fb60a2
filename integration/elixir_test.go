// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// startElixir starts a VM that evaluates the lines said to it.
func startElixir(t *testing.T) *vm {
	t.Helper()
	return startVM(t, "elixir", "trap.exs", muontrap)
}

// eval lets Elixir evaluate a line and compares the result.
func (v *vm) eval(line, want string) {
	v.t.Helper()
	v.say(line)
	v.want(want)
}

// env returns the option that puts a tag into a program's environment.
func env(tag string) string {
	name, value, _ := strings.Cut(tag, "=")
	return fmt.Sprintf("env: [{'%s', '%s'}]", name, value)
}

func TestElixirGetsOutputAndStatus(t *testing.T) {
	v := startElixir(t)
	for _, c := range []struct{ line, want string }{
		{`Trap.cmd("echo", ["hello"])`, `{"hello\n", 0}`},
		{`Trap.cmd("true", [])`, `{"", 0}`},
		{`Trap.cmd("sh", ["-c", "echo hello; exit 3"])`, `{"hello\n", 3}`},
		{`Trap.cmd("sh", ["-c", "printf half; kill -KILL $$"])`, `{"half", 137}`},
		{`Trap.cmd("sh", ["-c", "echo out; echo err >&2"], stderr_to_stdout: true)`, `{"out\nerr\n", 0}`},
		{`Trap.cmd("sh", ["-c", "echo out; echo err >&2"], stderr_only: true)`, `{"err\n", 0}`},
		{`Trap.cmd("sh", ["-c", "echo $0"], arg0: "other")`, `{"other\n", 0}`},
		{`Trap.cmd("sh", ["-c", "echo $NAME"], env: [{'NAME', 'value'}])`, `{"value\n", 0}`},
		{`Trap.cmd("printf", ["\\0\\377"])`, `{<<0, 255>>, 0}`},
		{`Trap.cmd("seq", ["100000"]) == System.cmd("seq", ["100000"])`, `true`},
		{`Trap.cmd("seq", ["10000"], stdio_window: 100) == System.cmd("seq", ["10000"])`, `true`},
		{`Process.info(self(), :messages)`, `{:messages, []}`},
	} {
		v.eval(c.line, c.want)
	}
}

func TestElixirRunsAHundredTasksAtOnce(t *testing.T) {
	v := startElixir(t)
	v.eval(`1..100 |> Task.async_stream(fn n -> Trap.cmd("seq", ["#{n * 100}"]) == `+
		`{Enum.map_join(1..(n * 100), &"#{&1}\n"), 0} end, max_concurrency: 100, timeout: :infinity) |> Enum.frequencies()`,
		`%{{:ok, true} => 100}`)
}

func TestProgramsGoWithTheirElixirTask(t *testing.T) {
	v := startElixir(t)
	tag := newTag("PROGRAM_TAG")
	v.eval(`task = Task.async(fn -> Trap.cmd("sh", ["-c", "trap '' TERM; exec yes"], `+env(tag)+`) end); :started`, `:started`)
	taggedProgram(t, tag, "yes")
	v.eval(`Task.shutdown(task, :brutal_kill)`, `nil`)
	eventually(t, "the program to be gone", func() bool { return len(tagged(tag)) == 0 })
}

func TestSupervisorRestartsAProgramAndTakesItAlong(t *testing.T) {
	v := startElixir(t)
	tag := newTag("PROGRAM_TAG")
	v.eval(`{:ok, supervisor} = Supervisor.start_link([{Trap.Daemon, ["yes", [], [`+env(tag)+`]]}], strategy: :one_for_one); :started`, `:started`)

	first := taggedProgram(t, tag, "yes")
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first program to be gone", func() bool { return !alive(first) })
	taggedProgram(t, tag, "yes")

	v.eval(`Supervisor.stop(supervisor)`, `:ok`)
	eventually(t, "the program to be gone", func() bool { return len(tagged(tag)) == 0 })
}

// taggedProgram waits for a tagged process of this name.
func taggedProgram(t *testing.T, tag, name string) (program int) {
	t.Helper()
	eventually(t, name+" to run", func() bool {
		for _, program = range tagged(tag) {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", program))
			if strings.TrimSpace(string(comm)) == name {
				return true
			}
		}
		return false
	})
	return program
}
