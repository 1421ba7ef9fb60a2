// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
	"golang.org/x/sys/unix"
)

const manyRuns = 3

// many is the throughput of 1 to 1,000 muontraps at once, to one reader, and the
// memory that each has then.
func (b *bench) many() error {
	var one []float64
	for _, n := range []int{1, 10, 100, 1000} {
		var speeds, memory []float64
		for range manyRuns {
			speed, each, err := b.relayMany(n)
			if err != nil {
				return err
			}
			speeds, memory = append(speeds, speed), append(memory, each)
		}
		if one == nil {
			one = speeds
		}
		b.table.add("many", "muontraps that relay", n, "MB/s", speeds, "one", one)
		b.table.add("many", "memory of each", n, "kB anon", memory, "", nil)
	}
	return nil
}

// relayMany lets n muontraps, which all wait with a full window, have their
// acknowledgements.
func (b *bench) relayMany(n int) (speed, memoryEach float64, err error) {
	argv := []string{b.muontrap, "--capture-output", "--stdio-window", "65536", "--",
		b.fixture("stream"), "flood", strconv.Itoa(relayBytes / n)}
	outs, acks := make([]unix.PollFd, n), make([]int, n)
	for i := range n {
		stdin, w, err := pipe()
		if err != nil {
			return 0, 0, err
		}
		r, stdout, err := pipe()
		if err != nil {
			return 0, 0, err
		}
		pid, err := spawn(argv, stdin, stdout, 2)
		closeAll(stdin, stdout)
		if err != nil {
			return 0, 0, err
		}
		outs[i], acks[i] = unix.PollFd{Fd: int32(r), Events: unix.POLLIN}, w
		if _, err := unix.Poll(outs[i:i+1], -1); err != nil && err != unix.EINTR {
			return 0, 0, err
		}
		memoryEach += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous:") / float64(n)
	}
	begin := time.Now()
	total, err := readMany(outs, acks)
	took := time.Since(begin)
	reap()
	if want := relayBytes / n * n; err == nil && total != want {
		err = fmt.Errorf("%d bytes of %d", total, want)
	}
	return float64(total) / 1e6 / took.Seconds(), memoryEach, err
}

// readMany reads and acknowledges until all pipes have ended.
func readMany(outs []unix.PollFd, acks []int) (total int, err error) {
	buf := make([]byte, 64<<10)
	ack := make([]byte, 0, len(buf))
	for left := len(outs); left > 0; {
		if _, err := unix.Poll(outs, 60_000); err != nil && err != unix.EINTR {
			return total, err
		}
		for i := range outs {
			if outs[i].Revents == 0 {
				continue
			}
			n, err := unix.Read(int(outs[i].Fd), buf)
			if err != nil {
				return total, err
			}
			total += n
			if n > 0 {
				_, err = unix.Write(acks[i], protocol.AppendAcks(ack, n))
			} else {
				closeAll(int(outs[i].Fd), acks[i])
				outs[i] = unix.PollFd{Fd: -1}
				left--
			}
			if err != nil {
				return total, err
			}
		}
	}
	return total, nil
}
