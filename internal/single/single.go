// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package single gives the Go runtime one processor (runtime.GOMAXPROCS), which is all
// that a program of one goroutine has use for, where it was not built to have one
// (scripts/runtime). A second one would have caches of its own for small objects, 140 kB,
// and fill them whenever that goroutine happens to be moved there.
//
// That has to be early, before other packages allocate. Of those that are ready to be
// initialised, Go takes the first by import path (Go specification, "Program
// initialization"): this one imports nothing else, so it comes before the standard
// library's internal packages, and os.
package single

import "runtime"

func init() { runtime.GOMAXPROCS(1) }
