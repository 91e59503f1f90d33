package cloudtrail

import (
	"math/bits"
	"slices"
)

// Where a string ends is the question that a decoder asks most, and each answer
// by looking at the bytes ends a loop somewhere that the processor did not
// expect. So the bytes that can end a run of plain characters are marked ahead, a
// bit for each: finding the next one is a shift and a count of zeros. The idea is
// that of simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second",
// 2019).

// markStep is how many bytes are marked at once, in blocks of 64: a record has
// three such steps, and half of one is wasted behind its end.
const markStep = 512

// mark marks the next bytes of the data.
func (s *scanner) mark() {
	done := len(s.marks)
	from := 64 * done
	to := min(from+markStep, len(s.data))
	s.marks = slices.Grow(s.marks, markStep/64)[:(to+63)/64]
	whole := (to - from) / 64
	if whole > 0 {
		markBlocks(s.marks[done:], s.data[from:to])
	}
	if rest := s.data[from+64*whole : to]; len(rest) > 0 { // the end of the data, with blanks behind it
		block := blank
		copy(block[:], rest)
		markBlocks(s.marks[done+whole:], block[:])
	}
}

var blank = func() (b [64]byte) {
	for i := range b {
		b[i] = ' '
	}
	return b
}()

// plain returns the place of the first byte at or behind i that ends a run of
// plain string characters, or the end of the data.
func (s *scanner) plain(i int) int {
	if m := s.word(i); m != 0 {
		return i + bits.TrailingZeros64(m)
	}
	return s.farther(i)
}

// word returns the marks of the bytes from i to the end of its block, the first
// one lowest, or 0 when they are not marked yet. The compiler makes it a part of
// its callers, which plain is too large for.
func (s *scanner) word(i int) uint64 {
	if w := uint(i) >> 6; w < uint(len(s.marks)) {
		return s.marks[w] >> (uint(i) & 63)
	}
	return 0
}

// farther is plain for a run that does not end in the word of i.
func (s *scanner) farther(i int) int {
	for {
		w := i >> 6
		if w >= len(s.marks) {
			if i >= len(s.data) {
				return len(s.data)
			}
			s.mark()
			continue
		}
		if m := s.marks[w] >> (i & 63); m != 0 {
			return i + bits.TrailingZeros64(m)
		}
		i = i | 63 + 1
	}
}

// markGo marks the blocks of 64 bytes in data: bit n of word m of dst is set when
// byte 64*m+n is a quote, a backslash, a control character or not ASCII.
func markGo(dst []uint64, data []byte) {
	for b := 0; b+64 <= len(data); b += 64 {
		m := uint64(0)
		for i := 0; i < 64; i += 8 {
			// Each sum stays within its byte, because the high bits are taken off.
			x := load(data, b+i)
			y := x &^ highs
			ok := (y ^ ones*'"' + ones*0x7f) & (y ^ ones*'\\' + ones*0x7f) & (y + ones*0x60)
			high := (^ok | x) & highs
			// The multiplication gathers the eight high bits in the highest byte.
			m |= high >> 7 * 0x0102040810204080 >> 56 << i
		}
		dst[b/64] = m
	}
}
