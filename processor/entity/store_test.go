package entity

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keytrail/schemas/wire"
)

// Whatever is added, changed, removed and read, and whenever it is packed, a store has
// the contents of a map in little more than their size.
func TestStoreIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s, want := NewStore(rng.IntN(40)), map[wire.Entity]int64{}
		name := func() wire.Entity {
			n := rng.IntN(3000)
			return wire.Entity{Scope: wire.Scope(1 + n%3), Key: fmt.Sprintf("%d/%0*d", n%3, n%200, n), Principal: fmt.Sprint(n)}
		}
		check := func(e wire.Entity) {
			t.Helper()
			i, ok := s.Find(e)
			last, known := want[e]
			if ok != known {
				t.Fatalf("seed %d: %+v is there %v, want %v", seed, e, ok, known)
			}
			if !ok {
				return
			}
			if ent := s.Get(i); ent.Entity != e || ent.Last != last || ent.Slot != i || s.Name(i) != e || s.expand(s.At(i).Key) != e.Key || s.expand(s.At(i).Principal) != e.Principal {
				t.Fatalf("seed %d: %+v became %+v with %d, want %d", seed, e, ent.Entity, ent.Last, last)
			}
		}
		for range 20_000 {
			e := name()
			switch i, ok := s.Find(e); {
			case rng.IntN(8) == 0 && ok:
				s.Remove(i)
				delete(want, e)
			default:
				if !ok {
					i = s.Add(e)
				}
				ent := s.Get(i)
				ent.Last, ent.Stale = rng.Int64(), true
				want[e] = ent.Last
				if rng.IntN(3) == 0 {
					s.Pack(i)
				}
			}
			check(name())
			s.Trim()
			if len(s.hot) > s.most {
				t.Fatalf("%d entities are unpacked, bound %d", len(s.hot), s.most)
			}
		}
		if s.Len() != len(want) {
			t.Fatalf("seed %d: %d entities, want %d", seed, s.Len(), len(want))
		}
		for e := range want {
			check(e)
		}
		tidy(t, seed, &s)
	}
}

// tidy checks that at most a third of a slab is out of date, and that the store accounts
// for every byte.
func tidy(t *testing.T, seed uint64, s *Store) {
	t.Helper()
	all, dead := 0, 0
	for k, slab := range s.slabs {
		all, dead = all+len(slab.b), dead+slab.dead
		if slab.dead > cap(slab.b)/3 {
			t.Errorf("seed %d: %d of %d bytes of slab %d are out of date", seed, slab.dead, len(slab.b), k)
		}
	}
	live := 0
	for i := range s.slots {
		if s.Used(uint32(i)) {
			live += s.At(uint32(i)).size
		}
	}
	if live != all-dead {
		t.Errorf("seed %d: %d bytes are in use, and %d of %d out of date", seed, live, dead, all)
	}
}
