// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
)

// fixtures are programs that this test binary can be, by name.
var fixtures = map[string]func(args []string) int{
	"@bytes": fixtureBytes,
}

func runFixture(name string, args []string) int {
	f, ok := fixtures[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no fixture %s\n", name)
		return 125
	}
	debug.SetGCPercent(-1) // a collector would spin, waiting for a thread in sleepForever
	return f(args)
}

// fixtureBytes writes N pseudo-random bytes, always the same.
func fixtureBytes(args []string) int {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return 2
	}
	w := bufio.NewWriterSize(os.Stdout, 32<<10)
	if _, err := w.Write(testBytes(n)); err != nil {
		return 1
	}
	if err := w.Flush(); err != nil {
		return 1
	}
	return 0
}

// testBytes is what @bytes writes.
func testBytes(n int) []byte {
	var seed [32]byte
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}
