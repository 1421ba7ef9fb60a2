// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"strconv"
	"testing"
)

func TestOutputAndStatusReachTheHost(t *testing.T) {
	h := start(t, "--capture-output", "--", "sh", "-c", "echo hello; exit 3")
	if got := string(h.readAll()); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	h.wantStatus(3)
}

func TestEveryByteArrives(t *testing.T) {
	const n = 1 << 20
	h := start(t, "--capture-output", "--", self, "@bytes", strconv.Itoa(n))
	if !bytes.Equal(h.readAll(), testBytes(n)) {
		t.Fatal("the bytes differ")
	}
	h.wantStatus(0)
}
