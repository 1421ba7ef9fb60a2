// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !(386 || amd64 || arm || arm64 || mips || mipsle || riscv64)

// Systems and processors for which enter is not written. Of Linux's, none is released.

package signals

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Open subscribes to these signals.
func Open(sigs []syscall.Signal) (*Pipe, error) {
	r, w, err := nonblockingPipe()
	if err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	incoming := make(chan os.Signal, 64) // a burst of every kind fits
	for _, s := range sigs {
		signal.Notify(incoming, s)
	}
	go func() {
		for s := range incoming {
			// A full pipe already holds more signals than anybody waits for.
			_, _ = unix.Write(w, []byte{byte(s.(syscall.Signal))})
		}
	}()
	return &Pipe{r, w}, nil
}

func taken(byte) {}

// Settle has nothing to do.
func (p *Pipe) Settle() {}

// Flush has no way to wait for other threads here.
func (p *Pipe) Flush() {}
