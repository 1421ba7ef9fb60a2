// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Capture is where the program's output goes.
type Capture int

const (
	CaptureNothing Capture = iota // stdout to /dev/null, stderr to muontrap's
	DropBoth                      // both to /dev/null
	Inherit                       // both to muontrap's
	CaptureStdout                 // stdout is relayed, stderr goes to muontrap's
	CaptureBoth                   // both are relayed, in the order they are written
	CaptureStderr                 // stderr is relayed, stdout goes to /dev/null
)

// Streams are the descriptors of one program: three that it gets, and
// muontrap's ends of the pipes among them.
type Streams struct {
	Files  [3]int // for Spec.Files
	Source int    // what the program writes can be read here, without blocking; -1: nothing is captured
	stdin  int    // nothing is ever written here; 0: closed, or none of ours
	theirs []int  // opened for the program alone
}

// OpenStreams makes the descriptors. What is captured goes through one pipe,
// of window bytes if that is more than the kernel's default and it agrees. The
// program's stdin is muontrap's own if that is to be handed on, else it is silent.
func OpenStreams(c Capture, window int, handStdin bool) (*Streams, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/null: %w", err)
	}
	s := &Streams{Files: [3]int{0, null, 2}, Source: -1, theirs: []int{null}}
	if !handStdin {
		if s.Files[0], s.stdin, err = closeOnExecPipe(); err != nil {
			return nil, fmt.Errorf("pipe: %w", err)
		}
		s.theirs = append(s.theirs, s.Files[0])
	}
	switch c {
	case DropBoth:
		s.Files[2] = null
	case Inherit:
		s.Files[1] = 1
	}
	if c < CaptureStdout {
		return s, nil
	}
	var w int
	if s.Source, w, err = closeOnExecPipe(); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := unix.SetNonblock(s.Source, true); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	enlarge(s.Source, window)
	s.theirs = append(s.theirs, w)
	if c != CaptureStderr {
		s.Files[1] = w
	}
	if c != CaptureStdout {
		s.Files[2] = w
	}
	return s, nil
}

// Started closes what only the program needs: while muontrap holds them too,
// its pipes can't end.
func (s *Streams) Started() {
	for _, fd := range s.theirs {
		unix.Close(fd)
	}
	s.theirs = nil
}

// EndStdin lets the program read the end of its stdin.
func (s *Streams) EndStdin() {
	if s.stdin > 0 {
		unix.Close(s.stdin)
		s.stdin = 0
	}
}
