// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// hosts is the time from SIGKILL of a host until all muontraps that it has
// started are gone, and their programs, against kill(2) and wait(2) for the
// programs alone.
func (b *bench) hosts() error {
	for _, size := range []struct{ n, runs int }{{10, 10}, {100, 5}, {1000, 3}} {
		n := strconv.Itoa(size.n)
		bare := &stopper{name: "kill and wait", argv: []string{b.fixture("tree"), "wide", n, "obey", "bare"}}
		var ours []float64
		for range size.runs {
			took, err := bare.run(size.n)
			if err != nil {
				return err
			}
			bare.samples = append(bare.samples, ms(took))
			if took, err = b.killHost(size.n); err != nil {
				return err
			}
			ours = append(ours, ms(took))
		}
		b.table.add("hosts", "host killed: muontraps", size.n, "ms", ours, bare.name, bare.samples)
	}
	return nil
}

// killHost starts a host with n muontraps, and kills it when all programs run.
func (b *bench) killHost(n int) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	members, stderr, err := pipe()
	if err != nil {
		return 0, err
	}
	defer closeAll(members)
	host, err := spawn([]string{self, hostName, strconv.Itoa(n), b.muontrap, "--", b.fixture("tree"), "wide", "1", "obey"}, 0, 1, stderr)
	closeAll(stderr)
	if err != nil {
		return 0, err
	}
	if err := readFull(members, make([]byte, 4*n)); err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	begin := time.Now()
	if err := unix.Kill(host, unix.SIGKILL); err != nil {
		return 0, err
	}
	err = silence(members) // every muontrap and every program holds this pipe
	took := time.Since(begin)
	reap()
	return took, err
}

// hostName is the first argument of this program as a host.
const hostName = "@host"

// beHost runs n muontraps, each with a pipe of its own, until it is killed.
func beHost(n string, muontrap []string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	for range count {
		stdin, _, err := pipe()
		if err != nil {
			return err
		}
		if _, err := spawn(muontrap, stdin, 1, 2); err != nil {
			return err
		}
		closeAll(stdin)
	}
	return unix.Pause()
}
