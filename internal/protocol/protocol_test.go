// SPDX-FileCopyrightText: 2026 The muontrap authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/quick"
)

func TestSmallWindowsCountAsTheMinimum(t *testing.T) {
	for size, want := range map[int]int{
		-1: MinWindow, 0: MinWindow, 15: MinWindow, 16: 16, 17: 17, DefaultWindow: DefaultWindow, 1 << 30: 1 << 30,
	} {
		if w := NewWindow(size); w.Avail() != want {
			t.Errorf("NewWindow(%d): %d available, want %d", size, w.Avail(), want)
		}
	}
}

func TestByteStandsForItsValuePlusOne(t *testing.T) {
	for b := range 256 {
		if got := Acknowledged([]byte{byte(b)}); got != b+1 {
			t.Errorf("byte %d acknowledges %d", b, got)
		}
	}
	if got := Acknowledged(nil); got != 0 {
		t.Errorf("no byte acknowledges %d", got)
	}
}

func TestAcksAreTheShortest(t *testing.T) {
	for _, c := range []struct {
		n    int
		want []byte
	}{
		{0, nil},
		{1, []byte{0}},
		{255, []byte{254}},
		{256, []byte{255}},
		{257, []byte{255, 0}},
		{512, []byte{255, 255}},
		{10240, bytes.Repeat([]byte{255}, 40)},
	} {
		if got := AppendAcks(nil, c.n); !bytes.Equal(got, c.want) {
			t.Errorf("%d: % x, want % x", c.n, got, c.want)
		}
	}
}

// Whatever a host does, the window counts exactly what is in flight, never
// exceeds its size and refuses only what was never sent.
func TestWindowKeepsCount(t *testing.T) {
	property := func(size uint16, seed uint64) bool {
		w := NewWindow(int(size))
		limit := max(int(size), MinWindow)
		r := rand.New(rand.NewPCG(seed, 0))
		inFlight := 0
		for range 200 {
			if r.IntN(2) == 0 {
				n := r.IntN(w.Avail() + 1)
				w.Sent(n)
				inFlight += n
			} else {
				n := r.IntN(2*limit + 1)
				err := w.Ack(AppendAcks(nil, n))
				if (err != nil) != (n > inFlight) {
					return false
				}
				if err == nil {
					inFlight -= n
				}
			}
			if w.InFlight() != inFlight || w.Avail() != limit-inFlight || w.Settled() != (inFlight == 0) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func TestAcksMayBeSplitAnywhere(t *testing.T) {
	property := func(acks []byte, cut uint8) bool {
		n := Acknowledged(acks)
		whole, split := NewWindow(n), NewWindow(n)
		whole.Sent(n)
		split.Sent(n)
		at := min(int(cut), len(acks))
		return whole.Ack(acks) == nil && split.Ack(acks[:at]) == nil && split.Ack(acks[at:]) == nil &&
			whole == split && whole.Settled()
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

func TestOverAckLeavesTheWindowUnchanged(t *testing.T) {
	for _, inFlight := range []int{0, 1, 99, 100} {
		w := NewWindow(100)
		w.Sent(inFlight)
		before := w
		if err := w.Ack(AppendAcks(nil, inFlight+1)); !errors.Is(err, ErrOverAck) {
			t.Errorf("%d in flight, one more acknowledged: %v", inFlight, err)
		}
		if w != before {
			t.Errorf("%d in flight: %+v has become %+v", inFlight, before, w)
		}
	}
}

func TestWindowAllocatesNothing(t *testing.T) {
	w := NewWindow(DefaultWindow)
	acks := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		w.Sent(w.Avail())
		if w.Ack(AppendAcks(acks, w.InFlight())) != nil || !w.Settled() {
			t.Error("not settled")
		}
		if w.Ack([]byte{0}) == nil {
			t.Error("over-ack accepted")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzAcksRoundTrip(f *testing.F) {
	for _, n := range []int{0, 1, 255, 256, 257, DefaultWindow, 1 << 20} {
		f.Add(n, []byte("before"))
	}
	f.Fuzz(func(t *testing.T, n int, dst []byte) {
		n &= 1<<24 - 1
		acks := AppendAcks(dst, n)
		if !bytes.HasPrefix(acks, dst) {
			t.Fatal("what was there is gone")
		}
		acks = acks[len(dst):]
		if got := Acknowledged(acks); got != n {
			t.Fatalf("%d comes back as %d", n, got)
		}
		if want := (n + MaxAck - 1) / MaxAck; len(acks) != want {
			t.Fatalf("%d bytes, want %d", len(acks), want)
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add(16, 10, []byte{3, 4})
	f.Add(16, 0, []byte{0})
	f.Fuzz(func(t *testing.T, size, sent int, acks []byte) {
		w := NewWindow(size & (1<<30 - 1))
		w.Sent((sent & (1<<30 - 1)) % (w.Avail() + 1))
		before, total := w, w.Avail()+w.InFlight()
		err := w.Ack(acks)
		if err != nil && w != before {
			t.Fatal("a refused acknowledgement counts")
		}
		if (err != nil) != (Acknowledged(acks) > before.InFlight()) {
			t.Fatalf("%d in flight, %d acknowledged: %v", before.InFlight(), Acknowledged(acks), err)
		}
		if w.InFlight() < 0 || w.Avail() < 0 || w.Avail()+w.InFlight() != total {
			t.Fatalf("%+v", w)
		}
	})
}
