// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A sink is where a relay writes, and how the test gets at what came.
type sink struct {
	fd   int
	take func(n int) []byte // at most n bytes, nil when there are none
}

// relays makes a relay of each kind from source to a new sink.
var relays = map[string]func(t *testing.T, source int) (*Relay, *sink){
	"pipe": func(t *testing.T, source int) (*Relay, *sink) {
		s := pipeSink(t)
		return NewRelay(source, s.fd), s
	},
	"pipe without splice": func(t *testing.T, source int) (*Relay, *sink) {
		s := pipeSink(t)
		return &Relay{source: source, sink: s.fd, write: writeReady}, s
	},
	"socket": func(t *testing.T, source int) (*Relay, *sink) {
		s := socketSink(t)
		return NewRelay(source, s.fd), s
	},
	"file": func(t *testing.T, source int) (*Relay, *sink) {
		s := fileSink(t, 0)
		return NewRelay(source, s.fd), s
	},
	"appended file": func(t *testing.T, source int) (*Relay, *sink) {
		s := fileSink(t, os.O_APPEND)
		return NewRelay(source, s.fd), s
	},
}

// narrow are those with a sink that can be full.
var narrow = []string{"pipe", "pipe without splice", "socket"}

// newSource makes the pipe that the program would write to.
func newSource(t *testing.T) (r, w int) {
	t.Helper()
	r, w, err := closeOnExecPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(r); unix.Close(w) })
	if err := unix.SetNonblock(r, true); err != nil {
		t.Fatal(err)
	}
	return r, w
}

func pipeSink(t *testing.T) *sink {
	r, w := newSource(t)
	return &sink{w, reader(r)}
}

func socketSink(t *testing.T) *sink {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	if err := unix.SetNonblock(p[0], true); err != nil { // another description than p[1]'s
		t.Fatal(err)
	}
	return &sink{p[1], reader(p[0])}
}

func fileSink(t *testing.T, flags int) *sink {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "sink"), os.O_RDWR|os.O_CREATE|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var at int64
	return &sink{int(f.Fd()), func(n int) []byte {
		b := make([]byte, n)
		n, _ = f.ReadAt(b, at)
		at += int64(n)
		return b[:n]
	}}
}

func reader(fd int) func(int) []byte {
	return func(n int) []byte {
		b := make([]byte, n)
		n, _ = unix.Read(fd, b)
		return b[:max(n, 0)]
	}
}

// counted are n bytes in which a loss or a repeat shows.
func counted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func write(t *testing.T, fd int, b []byte) {
	t.Helper()
	if n, err := unix.Write(fd, b); n != len(b) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

func TestRelayDeliversEveryByte(t *testing.T) {
	const limit = 1000
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, s := make(t, source)
			want := counted(30_000)
			write(t, w, want)
			unix.Close(w)
			var got []byte
			for {
				n, err := r.Move(limit)
				if n > limit {
					t.Fatalf("%d bytes, at most %d were allowed", n, limit)
				}
				got = append(got, s.take(limit)...)
				if err == io.EOF {
					break
				}
				if err != nil && err != ErrFull {
					t.Fatal(err)
				}
			}
			if got = append(got, s.take(len(want))...); !bytes.Equal(got, want) {
				t.Errorf("%d bytes came of %d, or others", len(got), len(want))
			}
		})
	}
}

func TestRelayNeverExceedsTheLimitOfTheMoment(t *testing.T) {
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, s := make(t, source)
			write(t, w, counted(100))
			for _, limit := range []int{60, 1, 7} { // what is read for one limit may be left for the next
				if n, err := r.Move(limit); n > limit || err != nil {
					t.Errorf("limit %d: %d, %v", limit, n, err)
				}
			}
			if got := s.take(100); !bytes.HasPrefix(counted(100), got) || len(got) > 68 {
				t.Errorf("% x", got)
			}
		})
	}
}

func TestRelayTellsAnEmptySource(t *testing.T) {
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, _ := make(t, source)
			for range 2 {
				if n, err := r.Move(100); n != 0 || err != ErrEmpty {
					t.Errorf("nothing written: %d, %v", n, err)
				}
				write(t, w, counted(10))
				if n, err := r.Move(100); n != 10 || err != nil {
					t.Errorf("10 bytes written: %d, %v", n, err)
				}
			}
			unix.Close(w)
			if n, err := r.Move(100); n != 0 || err != io.EOF {
				t.Errorf("source closed: %d, %v", n, err)
			}
		})
	}
}

// fill moves until the sink is full, and returns how much that took.
func fill(t *testing.T, r *Relay, w int) (moved int) {
	t.Helper()
	for range 10_000 {
		if r.Empty() {
			write(t, w, counted(4096))
		}
		n, err := r.Move(4096)
		moved += n
		if err == ErrFull {
			return moved
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("never full")
	return 0
}

// Neither blocks nor loses anything.
func TestRelayTellsAFullSink(t *testing.T) {
	for _, name := range narrow {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, s := relays[name](t, source)
			moved := fill(t, r, w)
			if n, err := r.Move(4096); n != 0 || err != ErrFull {
				t.Errorf("still full: %d, %v", n, err)
			}
			if r.Empty() {
				t.Error("what the sink did not take is forgotten")
			}
			got := s.take(moved)
			for range 10_000 {
				n, err := r.Move(4096)
				moved += n
				got = append(got, s.take(moved)...)
				if err == ErrEmpty {
					break
				}
			}
			got = append(got, s.take(moved)...)
			want := bytes.Repeat(counted(4096), len(got)/4096)
			if len(got) != moved || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came of %d, or others", len(got), moved)
			}
		})
	}
}

func TestRelayTellsABrokenSink(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) (sink, reader int){
		"pipe": func(t *testing.T) (int, int) {
			r, w := newSource(t)
			return w, r
		},
		"socket": func(t *testing.T) (int, int) {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(p[0]) })
			return p[0], p[1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			fd, reader := make(t)
			r := NewRelay(source, fd)
			unix.Close(reader)
			write(t, w, counted(10))
			if n, err := r.Move(100); n != 0 || err != unix.EPIPE {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

func TestRelayToAClosedSinkFails(t *testing.T) {
	source, w := newSource(t)
	r := NewRelay(source, 1<<20)
	write(t, w, counted(10))
	if n, err := r.Move(100); n != 0 || err == nil || err == ErrFull || err == ErrEmpty || err == io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestDiscardDropsWhatIsThere(t *testing.T) {
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, s := make(t, source)
			write(t, w, counted(50_000))
			if _, err := r.Move(10); err != nil {
				t.Fatal(err)
			}
			for err := error(nil); err != ErrEmpty; {
				if err = r.Discard(); err != nil && err != ErrEmpty {
					t.Fatal(err)
				}
			}
			if !r.Empty() {
				t.Error("not empty")
			}
			if got := s.take(100); len(got) > 10 {
				t.Errorf("%d bytes got through", len(got))
			}
			unix.Close(w)
			if err := r.Discard(); err != io.EOF {
				t.Errorf("source closed: %v", err)
			}
		})
	}
}

func TestEmptyAndHeldTellWhatWaits(t *testing.T) {
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, _ := make(t, source)
			if !r.Empty() {
				t.Error("nothing written, not empty")
			}
			write(t, w, counted(100))
			for left := 100; left > 0; {
				if r.Empty() || r.Held() < left {
					t.Fatalf("%d left: empty %v, held %d", left, r.Empty(), r.Held())
				}
				n, err := r.Move(30)
				if err != nil {
					t.Fatal(err)
				}
				left -= n
			}
			if !r.Empty() {
				t.Error("all moved, not empty")
			}
		})
	}
}

func TestCloseLetsTheProgramsNextWriteFail(t *testing.T) {
	r, w, err := closeOnExecPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	NewRelay(r, pipeSink(t).fd).Close()
	if _, err := unix.Write(w, []byte("x")); err != unix.EPIPE {
		t.Errorf("%v", err)
	}
}

// The garbage collector is off: what a move allocated would stay.
func TestMovesAllocateNothing(t *testing.T) {
	for name, make := range relays {
		t.Run(name, func(t *testing.T) {
			source, w := newSource(t)
			r, s := make(t, source)
			b := counted(1000)
			move := func() {
				_, _ = unix.Write(w, b)
				for !r.Empty() {
					if _, err := r.Move(300); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.Move(300); err != ErrEmpty {
					t.Fatal(err)
				}
			}
			for range 10 {
				// The sink is emptied outside, the buffer made.
				if n := testing.AllocsPerRun(1, move); n != 0 {
					t.Fatalf("%v allocations", n)
				}
				s.take(10_000)
			}
		})
	}
}
