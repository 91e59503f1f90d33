package entity

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever is added and removed, also if most hashes are equal or wrap around the table's
// end, the index finds exactly the slots in it.
func TestIndex(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		slots := make([]entry, 1+rng.IntN(300))
		spread := 1 + rng.Uint32N(400)
		for i := range slots {
			slots[i].hash = rng.Uint32N(spread) - spread/2
		}
		var x index
		in := map[uint32]bool{}
		for range 2000 {
			i := rng.Uint32N(uint32(len(slots)))
			switch {
			case !in[i]:
				x.add(slots, i)
				in[i] = true
			case rng.IntN(3) > 0:
				x.remove(slots, i)
				delete(in, i)
			}
			i = rng.Uint32N(uint32(len(slots)))
			if got, ok := x.find(slots, slots[i].hash, func(slot uint32) bool { return slot == i }); ok != in[i] || ok && got != i {
				t.Fatalf("seed %d: slot %d is found %v, want %v", seed, i, ok, in[i])
			}
		}
		if x.n != len(in) || len(x.table) > max(64, 3*len(slots)) {
			t.Fatalf("seed %d: %d slots in a table of %d, want %d", seed, x.n, len(x.table), len(in))
		}
		for _, i := range slices.Collect(maps.Keys(in)) {
			x.remove(slots, i)
		}
		if slices.ContainsFunc(x.table, func(v uint32) bool { return v != 0 }) {
			t.Fatalf("seed %d: something is left", seed)
		}
	}
}
