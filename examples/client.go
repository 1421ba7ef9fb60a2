// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

// Command client runs a program under muontrap for at most SECONDS. It passes
// its output on, and exits with its status, or with 124 if the time was up.
//
//	client SECONDS PROGRAM [ARG]...
package main

import (
	"bytes"
	"errors"
	"io"
	"log"
	"os"
	"os/exec"
	"time"
)

// acks are the bytes that acknowledge n bytes of output: 0 stands for 1, 255 for
// 256.
func acks(n int) []byte {
	b := bytes.Repeat([]byte{255}, n/256)
	if n%256 > 0 {
		b = append(b, byte(n%256-1))
	}
	return b
}

// run runs a command and returns its status.
func run(limit time.Duration, command []string) (int, error) {
	muontrap := exec.Command("muontrap", append([]string{"--capture-output", "--"}, command...)...)
	muontrap.Stderr = os.Stderr
	stdin, err := muontrap.StdinPipe()
	if err != nil {
		return 0, err
	}
	stdout, err := muontrap.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := muontrap.Start(); err != nil {
		return 0, err
	}
	timer := time.AfterFunc(limit, func() { stdin.Close() }) // that stops the program

	buf := make([]byte, 64<<10)
	for {
		n, err := stdout.Read(buf)
		if _, err := os.Stdout.Write(buf[:n]); err != nil {
			return 0, err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		_, _ = stdin.Write(acks(n)) // if muontrap has ended, its status tells why
	}
	err = muontrap.Wait()
	if !timer.Stop() {
		return 124, nil
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

func main() {
	limit, err := time.ParseDuration(os.Args[1] + "s")
	if err != nil {
		log.Fatal(err)
	}
	status, err := run(limit, os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(status)
}
