package count

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/schemas/wire"
)

// form is a partial as it stands in a frame: equal bytes are equal partials.
func form(p *wire.Partial) string {
	var e wire.Encoder
	e.Partial(p)
	return string(e.B)
}

var entity = wire.Entity{Scope: wire.ScopeKey, Key: "arn:aws:kms:eu-central-1:111122223333:key/a"}

// randomPartial returns a partial such as no calls would make: any counter,
// negative ones too, and values from a space of hashes of the given size.
func randomPartial(rng *rand.Rand, hashes uint64, values int) *wire.Partial {
	p := &wire.Partial{Entity: entity}
	for range rng.IntN(6) {
		p.Counters = add(p.Counters, wire.CounterID(rng.IntN(int(wire.NumCounters))), rng.Int64N(7)-3)
	}
	for i := range p.Sets {
		for range rng.IntN(values + 1) {
			n := 1 + rng.Int64N(2)
			if hashes < MaxDistinct && rng.IntN(3) == 0 {
				n = -n
			}
			insert(&p.Sets[i], rng.Uint64N(hashes), n)
		}
	}
	for range rng.IntN(4) {
		Merge(p, &wire.Partial{Samples: []wire.Sample{wire.SampleOf(fmt.Sprint(rng.IntN(30)))}})
	}
	return p
}

// sum merges partials from left to right.
func sum(list ...*wire.Partial) *wire.Partial {
	p := &wire.Partial{Entity: entity}
	for _, q := range list {
		Merge(p, q)
	}
	return p
}

// Partials add up the same in every order and however they are put together
// first. hashes below MaxDistinct never fill a set and may cancel out; above it
// the sets overflow.
func TestMergeIsCommutativeAndAssociative(t *testing.T) {
	f := func(hashes uint64, values, rounds int) {
		t.Helper()
		overflows := 0
		for seed := range uint64(rounds) {
			rng := rand.New(rand.NewPCG(seed, hashes))
			list := make([]*wire.Partial, 2+rng.IntN(8))
			for i := range list {
				list[i] = randomPartial(rng, hashes, values)
			}
			before := make([]string, len(list))
			for i, p := range list {
				before[i] = form(p)
			}
			want := form(sum(list...))
			for range 5 {
				rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i]; before[i], before[j] = before[j], before[i] })
				if got := form(sum(list...)); got != want {
					t.Fatalf("hashes %d seed %d: another order gives another sum\n%q\nwant\n%q", hashes, seed, got, want)
				}
				cut := rng.IntN(len(list) + 1)
				if got := form(sum(sum(list[:cut]...), sum(list[cut:]...))); got != want {
					t.Fatalf("hashes %d seed %d: sums of sums differ", hashes, seed)
				}
			}
			for i, p := range list {
				if form(p) != before[i] {
					t.Fatalf("hashes %d seed %d: merging changed what was merged", hashes, seed)
				}
			}
			if sum(list...).Sets[0].Capped {
				overflows++
			}
		}
		if wants := hashes > MaxDistinct; wants != (overflows > 0) {
			t.Errorf("hashes %d: %d overflows", hashes, overflows)
		}
	}
	f(10, 6, 400)
	f(400, 300, 60)
	f(2000, 600, 60)
	f(1<<62, 700, 60)
}

// Nothing of q's memory may be seen through p later.
func TestMergeKeepsNoMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		p, q := randomPartial(rng, 50, 20), randomPartial(rng, 50, 20)
		Merge(p, q)
		want := form(p)
		for i := range q.Counters {
			q.Counters[i].N += 1000
		}
		for i := range q.Sets {
			for j := range q.Sets[i].Values {
				q.Sets[i].Values[j].Hash++
			}
		}
		for i := range q.Samples {
			q.Samples[i] = wire.SampleOf("changed")
		}
		if form(p) != want {
			t.Fatal("the sum changes with what was merged into it")
		}
	}
}

// Counts that are merged and then taken back leave nothing.
func TestMergeOfTheOppositeLeavesNothing(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		p, q := randomPartial(rng, 100, 40), randomPartial(rng, 100, 40)
		p.Samples, q.Samples = nil, nil
		want := form(p)
		Merge(p, q)
		for i := range q.Counters {
			q.Counters[i].N *= -1
		}
		for i := range q.Sets {
			for j := range q.Sets[i].Values {
				q.Sets[i].Values[j].N *= -1
			}
		}
		Merge(p, q)
		if got := form(p); got != want {
			t.Fatalf("seed %d: %q is left, want %q", seed, got, want)
		}
	}
}

func TestSetsAreCapped(t *testing.T) {
	var s wire.Set
	for h := uint64(0); h < MaxDistinct; h++ {
		insert(&s, h*2, 1)
	}
	if len(s.Values) != MaxDistinct || s.Capped {
		t.Fatalf("%d values, capped %v: a full set is not capped", len(s.Values), s.Capped)
	}
	insert(&s, 10, 3) // known
	if s.Capped || s.Values[5].N != 4 {
		t.Errorf("a known value capped the set: %v, %+v", s.Capped, s.Values[5])
	}
	insert(&s, 1<<60, 1) // too large to stay
	if !s.Capped || len(s.Values) != MaxDistinct || s.Values[MaxDistinct-1].Hash != 2*(MaxDistinct-1) {
		t.Errorf("capped %v with %d values, the last one %+v", s.Capped, len(s.Values), s.Values[MaxDistinct-1])
	}
	insert(&s, 11, 1) // takes the largest one's place
	if len(s.Values) != MaxDistinct || s.Values[6] != (wire.HashCount{Hash: 11, N: 1}) || s.Values[MaxDistinct-1].Hash != 2*(MaxDistinct-2) {
		t.Errorf("%d values, the last one %+v", len(s.Values), s.Values[MaxDistinct-1])
	}
	// Taking back a call whose value was dropped must not add a value.
	insert(&s, 0, -1)
	insert(&s, 1<<60, -1)
	if len(s.Values) != MaxDistinct-1 || !s.Capped {
		t.Errorf("%d values, capped %v", len(s.Values), s.Capped)
	}
	for i, v := range s.Values {
		if v.N <= 0 || i > 0 && v.Hash <= s.Values[i-1].Hash {
			t.Fatalf("value %d is %+v after %+v", i, v, s.Values[max(i-1, 0)])
		}
	}
}

func TestSamplesAreTheSmallest(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprintf("%04d", i)
	}
	for range 50 {
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		p := &wire.Partial{}
		for _, id := range append(ids, ids[:7]...) { // some twice
			Merge(p, &wire.Partial{Samples: []wire.Sample{wire.SampleOf(id)}})
		}
		if want := "[0000 0001 0002 0003 0004]"; fmt.Sprint(p.Samples) != want {
			t.Fatalf("samples %q, want %q", p.Samples, want)
		}
	}
}

func TestGetPut(t *testing.T) {
	var p wire.Partial
	for _, n := range []int64{3, 0, -2, 0, 7, 7} {
		Put(&p, wire.CounterRate, n)
		if got := Get(&p, wire.CounterRate); got != n {
			t.Errorf("counter %d after Put(%d)", got, n)
		}
		if n == 0 && !Empty(&p) {
			t.Errorf("a counter of zero is kept: %v", p.Counters)
		}
	}
	Put(&p, wire.CounterCalls, 1)
	Put(&p, wire.NumCounters-1, 1)
	if len(p.Counters) != 3 || !slices.IsSortedFunc(p.Counters, func(a, b wire.Counter) int { return int(a.ID) - int(b.ID) }) {
		t.Errorf("counters %v are not three in order", p.Counters)
	}
	if got := Get(&p, wire.CounterDenied); got != 0 {
		t.Errorf("a counter that is not there is %d", got)
	}
}
