// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// recipe is a fenced block of code in a document, and what it is said to print.
type recipe struct {
	name                     string // of the document, and the line
	language, script, output string
}

var recipeForm = regexp.MustCompile("(?ms)^```([a-z]+)\n([^`]*?)^```\n\n```output\n([^`]*?)^```$")

// interpreters run the code of a language.
var interpreters = map[string][]string{"sh": {"dash", "bash"}, "python": {"python3"}, "elixir": {"elixir"}}

func recipes(t *testing.T, document string) (all []recipe) {
	t.Helper()
	text, err := os.ReadFile("../" + document)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range recipeForm.FindAllSubmatchIndex(text, -1) {
		line := 1 + bytes.Count(text[:m[0]], []byte("\n"))
		all = append(all, recipe{fmt.Sprintf("%s line %d", document, line), string(text[m[2]:m[3]]), string(text[m[4]:m[5]]), string(text[m[6]:m[7]])})
	}
	if want := strings.Count(string(text), "```output\n"); len(all) != want || want == 0 {
		t.Fatalf("%s: %d recipes, and %d outputs", document, len(all), want)
	}
	return all
}

func TestRecipesPrintWhatTheySay(t *testing.T) {
	for _, document := range []string{"README.md", "docs/shell.md"} {
		for _, r := range recipes(t, document) {
			if len(interpreters[r.language]) == 0 {
				t.Errorf("%s: nobody runs %q", r.name, r.language)
			}
			for _, interpreter := range interpreters[r.language] {
				t.Run(r.name+" "+interpreter, func(t *testing.T) {
					t.Parallel()
					tag := newTag("MUONTRAP_TEST")
					var out, messages bytes.Buffer
					file := filepath.Join(t.TempDir(), "recipe.exs") // elixir alone minds the name
					if err := os.WriteFile(file, []byte(r.script), 0o600); err != nil {
						t.Fatal(err)
					}
					c := exec.Command(interpreter, file)
					c.Dir = filepath.Dir(file)
					c.Env = append(shellEnv(t), tag)
					c.Stdout, c.Stderr = &out, &messages
					c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
					c.WaitDelay = soon // whoever is left holds the pipe
					if err := c.Run(); err != nil {
						t.Errorf("%v", err)
					}
					if out.String() != r.output {
						t.Errorf("it printed:\n%s\nand not:\n%s\nmessages: %q", &out, r.output, &messages)
					}
					for _, pid := range tagged(tag) {
						t.Errorf("left: %s", describeAll([]int{pid}))
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				})
			}
		}
	}
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/bin/muontrap (.*) -- /usr/bin/server$`)

// As systemd does it: no shell, nothing on stdin, and SIGTERM for muontrap alone.
func TestUnitOfSystemdStopsTheServerFirst(t *testing.T) {
	text, err := os.ReadFile("../docs/shell.md")
	if err != nil {
		t.Fatal(err)
	}
	line := execStart.FindSubmatch(text)
	if line == nil {
		t.Fatal("docs/shell.md has no unit")
	}
	server := `trap 'echo server ends; exit 0' TERM; sh -c 'trap "echo worker ends; exit" TERM; echo ready; while :; do sleep 0.05; done' &
		while :; do sleep 0.05; done`
	fromNull := func(c *exec.Cmd) { c.Stdin = nil }
	h := startWith(t, fromNull, append(strings.Fields(string(line[1])), "--", "sh", "-c", server)...)
	if got := h.readLine(); got != "ready" {
		t.Fatalf("got %q", got)
	}
	h.kill(syscall.SIGTERM)
	h.wantOutput("server ends\nworker ends\n")
	h.wantStatus(128 + 15)
	h.wantNothingLeft()
}
