// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/muontrap/muontrap/internal/protocol"
)

// A report is how far the host has come, in bytes of output.
type report struct {
	received, acked int
	quiet           bool // it waited for more, and nothing came
}

func (r report) inFlight() int { return r.received - r.acked }

// beHost runs two programs through muontrap, reads the output of one step by
// step, prints a report of each step, and goes on until it is killed.
func beHost(muontrap string) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the demo is gone
	}()
	deaf, err := start(muontrap, "sh", "-c", "trap '' TERM; echo; exec sleep 1000")
	if err != nil {
		return err
	}
	if err := deaf.read(1); err != nil { // the newline: the trap is set
		return err
	}
	flood, err := start(muontrap, "yes")
	if err != nil {
		return err
	}
	return flood.play()
}

// A stream is the output of a program under muontrap.
type stream struct {
	report
	acks, output *os.File
}

// start runs a program through muontrap, as an Erlang port would.
func start(muontrap string, program ...string) (*stream, error) {
	stdin, acks, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	output, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(muontrap, append([]string{"--capture-output", "--"}, program...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stdin.Close()
	stdout.Close()
	return &stream{acks: acks, output: output}, nil
}

// play goes through the steps that the demo shows.
func (s *stream) play() error {
	full := func() error { return s.read(window) }
	second := func() error {
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			if err := s.pass(); err != nil {
				return err
			}
		}
		return full()
	}
	for _, step := range []func() error{
		full,
		s.wait,
		func() error { return s.ack(window / 2) },
		func() error { return errors.Join(full(), s.wait()) },
		func() error { return s.ack(window) },
		func() error { return errors.Join(full(), s.wait()) },
		second,
	} {
		if err := step(); err != nil {
			return err
		}
		fmt.Println(s.received, s.acked, s.quiet)
	}
	for {
		if err := s.pass(); err != nil {
			return err
		}
	}
}

// pass acknowledges what was read, and reads on.
func (s *stream) pass() error {
	return errors.Join(s.ack(s.inFlight()), s.read(1))
}

// read reads until that much is in flight.
func (s *stream) read(inFlight int) error {
	s.quiet = false
	if err := s.output.SetReadDeadline(time.Now().Add(grace)); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for s.inFlight() < inFlight {
		n, err := s.output.Read(buf)
		s.received += n
		if err != nil {
			return err
		}
	}
	return nil
}

// wait gives more output some time to come.
func (s *stream) wait() error {
	if err := s.output.SetReadDeadline(time.Now().Add(400 * time.Millisecond)); err != nil {
		return err
	}
	n, err := s.output.Read(make([]byte, 64<<10))
	s.received += n
	s.quiet = errors.Is(err, os.ErrDeadlineExceeded)
	if s.quiet {
		return nil
	}
	return err
}

// ack acknowledges n bytes.
func (s *stream) ack(n int) error {
	_, err := s.acks.Write(protocol.AppendAcks(nil, n))
	s.acked += n
	return err
}
