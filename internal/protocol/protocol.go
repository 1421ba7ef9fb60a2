// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package protocol is the flow control between muontrap and its host, as pure
// arithmetic: no I/O, no allocation, no clock.
//
// The host acknowledges relayed output in single bytes: byte b stands for b+1
// bytes of output (0 for 1, 255 for 256), so no byte value is without meaning
// and no framing is needed. Acknowledgements may arrive in any number and be
// split anywhere. A [Window] bounds what is relayed but not yet acknowledged.
package protocol

import "errors"

const (
	// DefaultWindow is the window, in bytes, of a host that asks for none.
	DefaultWindow = 10240
	// MinWindow is the smallest window, in bytes; less asked for counts as this.
	MinWindow = 16
	// MaxAck is the most output, in bytes, that one byte can acknowledge.
	MaxAck = 256
)

// ErrOverAck means that the host acknowledged output that it never got: it has
// lost count, and nothing it says can be relied on any more.
var ErrOverAck = errors.New("more acknowledged than relayed")

// Window counts the bytes in flight: relayed and not acknowledged.
type Window struct {
	size     int
	inFlight int
}

// NewWindow returns an empty window of size bytes, MinWindow at the least.
func NewWindow(size int) Window {
	return Window{size: max(size, MinWindow)}
}

// Avail is how many bytes may be relayed now.
func (w *Window) Avail() int { return w.size - w.inFlight }

// InFlight is how many relayed bytes wait for an acknowledgement.
func (w *Window) InFlight() int { return w.inFlight }

// Settled tells whether everything relayed has been acknowledged.
func (w *Window) Settled() bool { return w.inFlight == 0 }

// Sent records that n bytes were relayed; n must not exceed Avail.
func (w *Window) Sent(n int) { w.inFlight += n }

// Ack records acknowledgements as they came from the host. After ErrOverAck the
// window is as it was before.
func (w *Window) Ack(acks []byte) error {
	n := Acknowledged(acks)
	if n > w.inFlight {
		return ErrOverAck
	}
	w.inFlight -= n
	return nil
}

// Acknowledged is how many bytes of output these acknowledgements stand for.
func Acknowledged(acks []byte) int {
	n := len(acks)
	for _, b := range acks {
		n += int(b)
	}
	return n
}

// AppendAcks appends the shortest acknowledgement of n bytes to dst.
func AppendAcks(dst []byte, n int) []byte {
	for ; n >= MaxAck; n -= MaxAck {
		dst = append(dst, MaxAck-1)
	}
	if n > 0 {
		dst = append(dst, byte(n-1))
	}
	return dst
}
