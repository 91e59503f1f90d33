package cloudtrail

import (
	"math/rand/v2"
	"testing"
)

// TestMarks: every byte is marked as it should, by both ways of marking, whatever
// stands beside it.
func TestMarks(t *testing.T) {
	const odd = " !\"#[\\]/az\x00\x1f\x20\x7f\x80\xff"
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		data := make([]byte, 64*(1+r.IntN(9)))
		for i := range data {
			if data[i] = byte(r.IntN(256)); round%2 == 0 {
				data[i] = odd[r.IntN(len(odd))]
			}
		}
		a, b := make([]uint64, len(data)/64), make([]uint64, len(data)/64)
		markGo(a, data)
		markBlocks(b, data)
		for i, c := range data {
			want := c == '"' || c == '\\' || c < 0x20 || c >= 0x80
			if got := a[i/64]>>(i%64)&1 != 0; got != want {
				t.Fatalf("byte %#x at %d: marked in Go %v", c, i, got)
			}
			if got := b[i/64]>>(i%64)&1 != 0; got != want {
				t.Fatalf("byte %#x at %d: marked %v", c, i, got)
			}
		}
	}
}

// TestPlain: the next mark is found from any place, in data of any length.
func TestPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		data := make([]byte, r.IntN(1500))
		for i := range data {
			if data[i] = 'x'; r.IntN(100) == 0 {
				data[i] = '"'
			}
		}
		var s scanner
		s.reset(data, 9)
		for from := 0; from <= len(data); from += 1 + r.IntN(20) {
			want := from
			for want < len(data) && data[want] == 'x' {
				want++
			}
			if got := s.plain(from); got != want {
				t.Fatalf("of %d bytes, from %d: %d, want %d", len(data), from, got, want)
			}
		}
	}
}
