// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Package signals turns signals into bytes on a pipe, so that one poll(2) can
// wait for them together with everything else.
//
// Subscribing through os/signal costs a round trip to another thread for each
// signal. [Open] therefore returns at once and subscribes from a goroutine of
// its own, the only one in the program, while the caller goes on.
package signals

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Pipe delivers signals, one byte each. It lives as long as the process.
type Pipe struct {
	r, w     int
	incoming chan os.Signal
	armed    chan struct{}
}

// Open subscribes to these signals, in this order. One that arrives before its
// turn has its default effect.
func Open(sigs []syscall.Signal) (*Pipe, error) {
	r, w, err := nonblockingPipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	p := &Pipe{
		r: r, w: w,
		incoming: make(chan os.Signal, 64), // a burst of every kind fits
		armed:    make(chan struct{}),
	}
	go p.forward(sigs)
	return p, nil
}

func (p *Pipe) forward(sigs []syscall.Signal) {
	for _, s := range sigs {
		signal.Notify(p.incoming, s)
	}
	close(p.armed)
	for s := range p.incoming {
		// A full pipe already holds more signals than anybody waits for.
		_, _ = unix.Write(p.w, []byte{byte(s.(syscall.Signal))})
	}
}

// Armed blocks until every signal given to Open is subscribed to.
func (p *Pipe) Armed() { <-p.armed }

// Watch subscribes to one more signal, at once.
func (p *Pipe) Watch(s syscall.Signal) { signal.Notify(p.incoming, s) }

// FD is readable while a signal waits for Next.
func (p *Pipe) FD() int { return p.r }

// Next returns the oldest signal not yet taken, or false when there is none.
func (p *Pipe) Next() (syscall.Signal, bool) {
	var b [1]byte
	for {
		n, err := unix.Read(p.r, b[:])
		if err == unix.EINTR {
			continue
		}
		return syscall.Signal(b[0]), err == nil && n == 1
	}
}
