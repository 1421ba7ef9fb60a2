// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command muontrap runs a program for a host that may vanish at any moment.
//
// It watches its stdin: bytes there acknowledge output, end of file means that
// the host is gone. (Or it watches the process that started it.) It relays the
// program's output in acknowledged windows, and when anything ends (the host, the
// program, muontrap itself) it stops what still runs: SIGTERM first, SIGKILL after
// a delay.
package main

import (
	"os"

	_ "github.com/muontrap/muontrap/internal/single" // before all others
	"github.com/muontrap/muontrap/internal/supervisor"
)

// The parent-death signal follows the thread that forks: it has to be one that lives as
// long as the process, and only the main thread surely does. Init functions run on it, as
// the documentation of runtime.LockOSThread says. To lock main to it would have the
// runtime start one thread more.
func init() { os.Exit(supervisor.Main(os.Args)) }

func main() {}
