package wire_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"keytrail/schemas/wire"
)

// sampleIDs are ids that are UUIDs, nearly UUIDs, and other texts.
func sampleIDs() []string {
	rng := rand.New(rand.NewPCG(1, 1))
	ids := []string{"", "a", "-", "z", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", strings.Repeat("é", 18)}
	for range 200 {
		a, b := rng.Uint64(), rng.Uint64()
		id := fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
		near := []byte(id)
		near[rng.IntN(len(near))] = byte(rng.IntN(256))
		ids = append(ids, id, string(near), strings.ToUpper(id), id[:rng.IntN(len(id))])
	}
	// Each byte in each place: of all of them only digits in lower case make a UUID.
	for at := range 36 {
		for c := range 256 {
			near := []byte("01234567-89ab-cdef-0123-456789abcdef")
			near[at] = byte(c)
			ids = append(ids, string(near))
		}
	}
	return ids
}

// TestSample: an id comes back as it was, and samples are in the order of their ids.
func TestSample(t *testing.T) {
	ids, rng := sampleIDs(), rand.New(rand.NewPCG(2, 2))
	for _, id := range ids {
		if got := wire.SampleOf(id).String(); got != id {
			t.Errorf("%q became %q", id, got)
		}
	}
	for range 100_000 {
		a, b := ids[rng.IntN(len(ids))], ids[rng.IntN(len(ids))]
		if got, want := wire.SampleOf(a).Compare(wire.SampleOf(b)), strings.Compare(a, b); got != want {
			t.Fatalf("%q and %q compare as %d, want %d", a, b, got, want)
		}
	}
}

// TestSampleClone: a clone does not change with the memory of the id it was made of.
func TestSampleClone(t *testing.T) {
	for _, id := range []string{"01234567-89ab-cdef-0123-456789abcdef", "call 7"} {
		memory := []byte(id)
		s := wire.SampleOf(unsafe.String(&memory[0], len(memory))).Clone()
		clear(memory)
		if s.String() != id {
			t.Errorf("%q became %q", id, s)
		}
	}
}

// Most ids are UUIDs, and a sample of one takes no further memory.
func TestSampleOfUUID(t *testing.T) {
	id := "01234567-89ab-cdef-0123-456789abcdef"
	if n := testing.AllocsPerRun(100, func() {
		if s := wire.SampleOf(id); s.Clone().Compare(s) != 0 {
			t.Error("a clone is another")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSample holds the same for any ids.
func FuzzSample(f *testing.F) {
	for i, id := range sampleIDs()[:100] {
		f.Add(id, sampleIDs()[i+1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		s := wire.SampleOf(a)
		if s.String() != a || s.Compare(wire.SampleOf(b)) != strings.Compare(a, b) {
			t.Errorf("%q is %q, and beside %q %d", a, s, b, s.Compare(wire.SampleOf(b)))
		}
	})
}

func BenchmarkSampleOf(b *testing.B) {
	id, least := "01234567-89ab-cdef-0123-456789abcdef", wire.SampleOf("ffffffff-ffff-ffff-ffff-ffffffffffff")
	b.ReportAllocs()
	for b.Loop() {
		if wire.SampleOf(id).Compare(least) >= 0 {
			b.Fatal("out of order")
		}
	}
}
