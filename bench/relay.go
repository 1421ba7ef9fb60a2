// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
	"golang.org/x/sys/unix"
)

const (
	relayBytes = 300_000_000
	relayRuns  = 7
)

var windows = []int{10 << 10, 64 << 10, 1 << 20}

// relay is the throughput to a reader that acknowledges all it gets, against
// that of the plainest loop and, for what the reader takes, of a bare pipe.
func (b *bench) relay() error {
	flood := []string{b.fixture("stream"), "flood", strconv.Itoa(relayBytes)}
	type variant struct {
		contender
		window int
	}
	ways := []*variant{{contender: contender{name: "bare pipe", argv: flood}}}
	for _, window := range windows {
		size := strconv.Itoa(window)
		bare := append([]string{b.fixture("relay"), size}, flood...)
		ours := append([]string{b.muontrap, "--capture-output", "--stdio-window", size, "--"}, flood...)
		ways = append(ways,
			&variant{contender{name: "poll and splice in C", argv: bare}, window},
			&variant{contender{name: "muontrap", argv: ours}, window})
	}
	for range relayRuns {
		for _, i := range rand.Perm(len(ways)) {
			speed, err := throughput(ways[i].argv, ways[i].window > 0)
			if err != nil {
				return fmt.Errorf("%v: %w", ways[i].argv, err)
			}
			ways[i].samples = append(ways[i].samples, speed)
		}
	}
	for i, w := range ways {
		against := ways[0] // the bare pipe
		if w.name == "muontrap" {
			b.table.add("relay", w.name, w.window, "MB/s", w.samples, ways[i-1].name, ways[i-1].samples)
		}
		b.table.add("relay", w.name, w.window, "MB/s", w.samples, against.name, against.samples)
	}
	return nil
}

// throughput reads all that a command writes, and returns MB/s.
func throughput(argv []string, acknowledge bool) (float64, error) {
	stdin, acks, err := pipe()
	if err != nil {
		return 0, err
	}
	out, stdout, err := pipe()
	if err != nil {
		return 0, err
	}
	defer closeAll(out, acks)
	begin := time.Now()
	pid, err := spawn(argv, stdin, stdout, 2)
	closeAll(stdin, stdout)
	if err != nil {
		return 0, err
	}
	total := 0
	buf := make([]byte, 64<<10)
	ack := make([]byte, 0, len(buf))
	for total < relayBytes {
		n, err := unix.Read(out, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return 0, fmt.Errorf("end after %d bytes: %w", total, err)
		}
		total += n
		if acknowledge {
			if _, err := unix.Write(acks, protocol.AppendAcks(ack, n)); err != nil {
				return 0, err
			}
		}
	}
	took := time.Since(begin)
	return relayBytes / 1e6 / took.Seconds(), wait(pid)
}
