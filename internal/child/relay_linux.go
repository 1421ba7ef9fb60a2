// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"strconv"

	"golang.org/x/sys/unix"
)

const canSplice = true

func splice(from, to, limit int) (int, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, limit, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int(n), err
		}
	}
}

// openNonblocking opens what fd refers to once more (proc_pid_fd(5)).
func openNonblocking(fd int) (int, error) {
	return unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
}

func closeOnExecPipe() (r, w int, err error) {
	var p [2]int
	err = unix.Pipe2(p[:], unix.O_CLOEXEC)
	return p[0], p[1], err
}

const defaultPipe = 64 << 10

func enlarge(pipe, size int) {
	if size > defaultPipe {
		// Over /proc/sys/fs/pipe-max-size it stays as it is, which only costs speed.
		_, _ = unix.FcntlInt(uintptr(pipe), unix.F_SETPIPE_SZ, size)
	}
}

func capacity(pipe int) int {
	n, err := unix.FcntlInt(uintptr(pipe), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return defaultPipe
	}
	return n
}
