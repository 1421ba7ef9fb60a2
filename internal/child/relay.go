// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

var (
	// ErrEmpty means that the source has nothing now, but may have later.
	ErrEmpty = errors.New("nothing to relay")
	// ErrFull means that the sink takes nothing now: wait until it is writable.
	ErrFull = errors.New("the reader does not read")
)

// pipeBuf is what a writable pipe takes at least without blocking: PIPE_BUF of
// the strictest system (pipe(7), poll(2)).
const pipeBuf = 512

// Relay moves bytes from the program's pipe to a sink, and never blocks.
//
// Between two pipes it moves pages with splice(2). To anything else, or where
// splice(2) is refused, it reads and writes. The sink's open file description
// may be shared with others, so it is never switched to non-blocking: a socket
// is written with MSG_DONTWAIT, a file never blocks for long, and everything
// else is opened anew, or else written a little at a time when poll(2) says so.
type Relay struct {
	source, sink int
	splice       bool
	write        func(sink int, b []byte) (int, error)
	buf          []byte
	pending      []byte // of buf: read and not yet written
}

// NewRelay prepares a relay from the read end of a pipe.
func NewRelay(source, sink int) *Relay {
	r := &Relay{source: source, sink: sink, write: writeReady}
	var st unix.Stat_t
	if err := unix.Fstat(sink, &st); err != nil {
		return r // the first write will tell
	}
	if flags, err := unix.FcntlInt(uintptr(sink), unix.F_GETFL, 0); err == nil && flags&unix.O_ACCMODE == unix.O_RDONLY {
		r.write = unix.Write // to be told EBADF, and not to get by opening anew what was not given
		return r
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		r.splice = canSplice
	case unix.S_IFREG:
		r.write = unix.Write
	case unix.S_IFSOCK:
		r.write = sendDontWait
	default:
		r.reopen()
	}
	return r
}

// Move relays once, at most limit bytes. Its errors are ErrEmpty, ErrFull,
// io.EOF when the source has ended, or that of a broken sink.
func (r *Relay) Move(limit int) (int, error) {
	if r.splice {
		n, err := splice(r.source, r.sink, limit)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EPIPE || err == unix.EBADF:
			return 0, err
		case err == unix.EAGAIN && r.Empty():
			return 0, ErrEmpty
		case err == unix.EAGAIN:
			return 0, ErrFull
		}
		r.splice = false // EINVAL, ENOSYS, ENOMEM…: there is the plain way
		r.reopen()
	}
	return r.copy(limit)
}

func (r *Relay) copy(limit int) (int, error) {
	if len(r.pending) == 0 {
		if err := r.fill(limit); err != nil {
			return 0, err
		}
	}
	n, err := r.write(r.sink, r.pending[:min(limit, len(r.pending))])
	switch {
	case n > 0:
		r.pending = r.pending[n:]
		return n, nil
	case err == nil, err == unix.EAGAIN, err == unix.EINTR:
		return 0, ErrFull
	}
	return 0, err
}

// fill reads the next piece from the source.
func (r *Relay) fill(limit int) error {
	if r.buf == nil {
		r.buf = make([]byte, 64<<10)
	}
	n, err := unix.Read(r.source, r.buf[:min(limit, len(r.buf))])
	switch {
	case n > 0:
		r.pending = r.buf[:n]
		return nil
	case err == unix.EAGAIN, err == unix.EINTR:
		return ErrEmpty
	}
	return io.EOF
}

// Discard reads once and drops what it reads, for a program that must not be
// stuck in write(2) though nobody listens any more. Its errors are ErrEmpty and
// io.EOF.
func (r *Relay) Discard() error {
	err := r.fill(64 << 10)
	r.pending = nil
	return err
}

// Empty tells whether everything that has been written was relayed.
func (r *Relay) Empty() bool {
	if len(r.pending) > 0 {
		return false
	}
	for {
		fds := [1]unix.PollFd{{Fd: int32(r.source), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds[:], 0); err != unix.EINTR {
			return err == nil && fds[0].Revents&unix.POLLIN == 0
		}
	}
}

// Held is the most that can be waiting to be relayed, in bytes.
func (r *Relay) Held() int { return len(r.pending) + capacity(r.source) }

// Close lets the program's next write fail.
func (r *Relay) Close() {
	unix.Close(r.source)
	r.pending = nil
}

// reopen gives the relay an open file description of its own for the sink, one
// that may be non-blocking. Where that fails, writeReady does without.
func (r *Relay) reopen() {
	if fd, err := openNonblocking(r.sink); err == nil {
		r.sink, r.write = fd, unix.Write
	}
}

// writeReady writes what a writable sink is sure to take.
func writeReady(sink int, b []byte) (int, error) {
	fds := [1]unix.PollFd{{Fd: int32(sink), Events: unix.POLLOUT}}
	if n, err := unix.Poll(fds[:], 0); err != nil || n == 0 {
		return 0, unix.EAGAIN
	}
	return unix.Write(sink, b[:min(len(b), pipeBuf)])
}

func sendDontWait(sink int, b []byte) (int, error) {
	return unix.SendmsgN(sink, b, nil, nil, unix.MSG_DONTWAIT)
}
