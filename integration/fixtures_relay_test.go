// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	fixtures["@host"] = fixtureHost
	fixtures["@nonblocking"] = fixtureNonblocking
	fixtures["@up-to-seven"] = fixtureUpToSeven
}

// fixtureHost runs a command between two pipes of which it holds the far ends,
// and neither reads nor writes.
func fixtureHost(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	if _, err := cmd.StdinPipe(); err != nil {
		return 1
	}
	if _, err := cmd.StdoutPipe(); err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	_ = cmd.Wait()
	return 0
}

// fixtureNonblocking becomes another command, whose standard descriptors never
// block.
func fixtureNonblocking(args []string) int {
	for fd := range 3 {
		if err := syscall.SetNonblock(fd, true); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return become(args)
}

// fixtureUpToSeven becomes another command, which inherits no descriptor beyond
// the seventh: not what the one who runs the tests has open.
func fixtureUpToSeven(args []string) int {
	if err := unix.CloseRange(8, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return become(args)
}

func become(args []string) int {
	fmt.Fprintln(os.Stderr, syscall.Exec(args[0], args, os.Environ()))
	return 1
}
