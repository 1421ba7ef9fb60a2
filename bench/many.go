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

// many is the throughput of 1 to 1,000 muontraps at once, to one reader, against as
// many bare pipes, and the memory that each has then.
func (b *bench) many() error {
	var one []float64
	for _, n := range []int{1, 10, 100, 1000} {
		flood := []string{b.fixture("stream"), "flood", strconv.Itoa(manyBytes(n))}
		ours := append([]string{b.muontrap, "--capture-output", "--stdio-window", "65536", "--"}, flood...)
		var bare, speeds, memory []float64
		for range manyRuns {
			speed, _, err := relayMany(n, flood, false)
			if err != nil {
				return err
			}
			bare = append(bare, speed)
			speed, each, err := relayMany(n, ours, true)
			if err != nil {
				return err
			}
			speeds, memory = append(speeds, speed), append(memory, each)
		}
		if one == nil {
			one = speeds
		}
		b.table.add("many", "bare pipes", n, "MB/s", bare, "", nil)
		b.table.add("many", "muontraps that relay", n, "MB/s", speeds, "bare pipes", bare)
		b.table.add("many", "muontraps that relay", n, "MB/s", speeds, "one", one)
		b.table.add("many", "memory of each", n, "kB anon", memory, "", nil)
	}
	return nil
}

// manyBytes is what each of n relays: enough for its start and end not to count.
func manyBytes(n int) int { return max(relayBytes/n, 1_000_000) }

// relayMany starts n programs, which all wait with a full pipe or window, and then
// takes all that they write.
func relayMany(n int, argv []string, acknowledge bool) (speed, memoryEach float64, err error) {
	reader, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return 0, 0, err
	}
	acks := map[int32]int{} // by what is read from; -1: there are none
	for range n {
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
		event := unix.EpollEvent{Fd: int32(r), Events: unix.EPOLLIN}
		if err := unix.EpollCtl(reader, unix.EPOLL_CTL_ADD, r, &event); err != nil {
			return 0, 0, err
		}
		if !acknowledge {
			unix.Close(w)
			w = -1
		}
		acks[int32(r)] = w
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(r), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return 0, 0, err
		}
		memoryEach += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous:") / float64(n)
	}
	want := manyBytes(n) * n
	begin := time.Now()
	if err := readMany(reader, acks, want); err != nil {
		return 0, 0, err
	}
	took := time.Since(begin)
	for r, w := range acks {
		closeAll(int(r), w)
	}
	closeAll(reader)
	reap()
	return float64(want) / 1e6 / took.Seconds(), memoryEach, nil
}

// readMany reads and acknowledges until it has all.
func readMany(reader int, acks map[int32]int, want int) error {
	events := make([]unix.EpollEvent, 64)
	buf := make([]byte, 64<<10)
	ack := make([]byte, 0, len(buf))
	for want > 0 {
		ready, err := unix.EpollWait(reader, events, 60_000)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(ready, 0)] {
			n, err := unix.Read(int(e.Fd), buf)
			if err != nil {
				return err
			}
			want -= n
			if n == 0 { // the end of a bare pipe
				if err := unix.EpollCtl(reader, unix.EPOLL_CTL_DEL, int(e.Fd), nil); err != nil {
					return err
				}
				continue
			}
			w := acks[e.Fd]
			if w < 0 {
				continue
			}
			if _, err := unix.Write(w, protocol.AppendAcks(ack, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
