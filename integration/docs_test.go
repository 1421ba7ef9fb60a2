// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

func TestManualPageIsUpToDate(t *testing.T) {
	template, err := os.Open("../docs/muontrap.1.in")
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	cmd := exec.Command("go", "run", "../scripts/man", muontrap)
	cmd.Stdin, cmd.Stderr = template, os.Stderr
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/muontrap.1")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/muontrap.1 is not what its template and the options make: run make man")
	}
}
