// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDocumentedSessions plays the conversations that are written down for those
// who write a host.
func TestDocumentedSessions(t *testing.T) {
	b, err := os.ReadFile("../docs/vectors/sessions.txt")
	if err != nil {
		t.Fatal(err)
	}
	bin := binDir(t, muontrap)
	sessions := strings.Split(string(b), "\n$ ")
	if len(sessions) == 1 {
		t.Fatal("there are none")
	}
	for _, session := range sessions[1:] { // what comes first is a comment
		command, steps, _ := strings.Cut(session, "\n")
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			h := startWith(t, func(cmd *exec.Cmd) {
				cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "exec " + command}
				cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
			})
			said := ""
			for _, step := range strings.Split(steps, "\n") {
				if step == "" || step[0] == '#' {
					continue
				}
				word, argument, _ := strings.Cut(step, " ")
				if word == "says" {
					said = argument
					continue
				}
				h.play(word, argument)
			}
			if said == "" {
				h.wantNoMessages()
			} else {
				h.wantOneMessage(said)
			}
		})
	}
}

// play plays one step of a session.
func (h *host) play(word, argument string) {
	h.t.Helper()
	switch word {
	case "out":
		if got := string(h.read(len(argument))); got != argument {
			h.t.Fatalf("out %q, want %q", got, argument)
		}
	case "held":
		h.wantNoMoreOutput()
	case "in":
		acks, err := hex.DecodeString(argument)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := h.stdin.Write(acks); err != nil {
			h.t.Fatal(err)
		}
	case "close":
		h.closeStdin()
	case "signal":
		h.kill(unix.SignalNum("SIG" + argument))
	case "end":
		h.deadline()
		if rest, err := io.ReadAll(h.stdout); err != nil || len(rest) > 0 {
			h.t.Fatalf("want no more output, but its end; got %q, %v", rest, err)
		}
	case "status":
		want, err := strconv.Atoi(argument)
		if err != nil {
			h.t.Fatal(err)
		}
		h.wantStatus(want)
	default:
		h.t.Fatalf("no such step: %s", word)
	}
}
