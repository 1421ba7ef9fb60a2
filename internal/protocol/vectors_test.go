// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestDocumentedArithmetic holds the code against the test vectors that are made
// for those who write a host.
func TestDocumentedArithmetic(t *testing.T) {
	b, err := os.ReadFile("../../docs/vectors/arithmetic.txt")
	if err != nil {
		t.Fatal(err)
	}
	var w Window
	for i, line := range strings.Split(string(b), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if words := strings.Fields(line); len(words) != 3 || !holds(t, &w, words) {
			t.Errorf("line %d does not hold: %s", i+1, line)
		}
	}
}

// holds tells whether a line is true of the code. The window goes from line to
// line.
func holds(t *testing.T, w *Window, line []string) bool {
	t.Helper()
	switch line[0] {
	case "encode":
		return bytes.Equal(AppendAcks(nil, number(t, line[1])), unhex(t, line[2]))
	case "decode":
		return Acknowledged(unhex(t, line[1])) == number(t, line[2])
	case "window":
		*w = NewWindow(number(t, line[1]))
	case "sent":
		w.Sent(number(t, line[1]))
	case "ack":
		before, err := *w, w.Ack(unhex(t, line[1]))
		if line[2] == "refused" {
			return err == ErrOverAck && *w == before
		}
		if err != nil {
			return false
		}
	default:
		return false
	}
	return w.Avail() == number(t, line[2])
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Error(err)
	}
	return n
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Error(err)
	}
	return b
}
