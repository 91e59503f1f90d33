package entity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// Whatever windows change between two packings, and whichever are copied, the packed form
// equals that of the whole entity. Most windows are copied.
func TestKeptWindowsAreWhole(t *testing.T) {
	kept := 0
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := NewStore(rng.IntN(4))
		var slots []uint32
		for i := range 6 {
			slots = append(slots, s.Add(wire.Entity{Scope: wire.Scope(1 + i%3), Key: fmt.Sprint("k/", i), Principal: fmt.Sprint("p/", i)}))
		}
		var enc wire.Encoder
		for range 400 {
			i := slots[rng.IntN(len(slots))]
			ent := s.Get(i)
			w, _ := ent.Place(rng.Int64N(12) * 300e9)
			switch rng.IntN(4) {
			case 0:
				count.Put(&w.Partial, wire.CounterCalls, rng.Int64N(1e6))
			case 1:
				w.Samples = append(w.Samples[:0], wire.SampleOf(fmt.Sprint(rng.IntN(1000))))
			case 2:
				w.Closed, w.Revision = true, w.Revision+1
			default:
				r := ent.FindRollup(0, 3600e9)
				if r == nil {
					r = &Window{Partial: wire.Partial{Entity: ent.Entity}, Size: 3600e9}
					ent.Rollups = append(ent.Rollups, r)
				}
				r.Published++
			}
			if rng.IntN(9) == 0 && len(ent.Windows) > 1 {
				ent.Windows = ent.Windows[1:]
			}
			ent.Stale = true
			for _, w := range ent.Windows {
				if w.to > 0 {
					kept++
				}
			}
			packed, whole := s.Pack(i).State, Append(nil, &enc, ent)
			if string(packed) != string(whole) {
				t.Fatalf("seed %d: packed as %x, encoded whole as %x", seed, packed, whole)
			}
			s.Trim()
		}
	}
	if kept < 20_000 {
		t.Errorf("%d windows were copied: this tests too little", kept)
	}
}
