// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package proc deals with processes that are known by nothing but a pid, from
// /proc or from a cgroup: it describes them, and signals them if they are still
// who was meant.
//
// Files are read by plain system calls. os.Open would set up the runtime's poller
// for them, which costs descriptors, and the process its life when there are
// none; and it would park on the EAGAIN that some of the kernel's files give.
package proc

import "golang.org/x/sys/unix"

// ReadFile reads a whole file.
func ReadFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return ReadAll(fd)
}

// ReadAll reads fd to its end, and closes it.
func ReadAll(fd int) ([]byte, error) {
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return text, nil
		default:
			text = append(text, buf[:n]...)
		}
	}
}
