// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
)

const (
	erlangBytes = 100_000_000
	erlangRuns  = 5
)

// erlang is the throughput to a port of an Erlang VM, which acknowledges all it gets,
// and the processor time that the VM and muontrap take for it; against a port
// straight to the program.
func (b *bench) erlang() error {
	escript, err := exec.LookPath("escript")
	if err != nil {
		fmt.Println("erlang: there is no Erlang here")
		return nil
	}
	flood := []string{b.fixture("stream"), "flood", strconv.Itoa(erlangBytes)}
	port := func(manner string, argv ...string) []string {
		return append([]string{escript, "bench/testdata/port.escript", strconv.Itoa(erlangBytes), manner}, argv...)
	}
	type variant struct {
		window              int
		argv                []string
		speed, host, helper []float64
	}
	ways := []*variant{{argv: port("bare", flood...)}}
	for _, window := range windows {
		argv := append([]string{b.muontrap, "--capture-output", "--stdio-window", strconv.Itoa(window), "--"}, flood...)
		ways = append(ways, &variant{window: window, argv: port("acknowledge", argv...)})
	}
	for range erlangRuns {
		for _, i := range rand.Perm(len(ways)) {
			out, err := exec.Command(ways[i].argv[0], ways[i].argv[1:]...).Output()
			if err != nil {
				return fmt.Errorf("%v: %w", ways[i].argv, err)
			}
			var took, host, helper float64 // seconds
			if _, err := fmt.Sscan(string(out), &took, &host, &helper); err != nil {
				return fmt.Errorf("%q: %w", out, err)
			}
			ways[i].speed = append(ways[i].speed, erlangBytes/1e6/took)
			ways[i].host = append(ways[i].host, host/erlangBytes*1e9)
			ways[i].helper = append(ways[i].helper, helper/erlangBytes*1e9)
		}
	}
	bare := ways[0]
	for _, w := range ways {
		what := "muontrap"
		if w == bare {
			what = "bare port"
		}
		b.table.add("erlang", what, w.window, "MB/s", w.speed, "bare port", bare.speed)
		b.table.add("erlang", what+", CPU of the VM", w.window, "s/GB", w.host, "bare port", bare.host)
		if w != bare {
			b.table.add("erlang", what+", CPU", w.window, "s/GB", w.helper, "", nil)
		}
	}
	return nil
}
