package entity_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/wire"
)

// sample makes an entity from a seed.
func sample(seed uint64) *entity.Entity {
	rng := rand.New(rand.NewPCG(seed, 1))
	names := []wire.Entity{
		{Scope: wire.ScopeKey, Key: "arn:aws:kms:eu-central-1:111122223333:key/a"}, {Scope: wire.ScopeKey, Key: "-"}, {Scope: wire.ScopeKey},
		{Scope: wire.ScopePrincipal, Principal: "arn:aws:iam::111122223333:role/é"}, {Scope: wire.ScopePrincipal, Principal: "a\nb"},
		{Scope: wire.ScopePair, Key: "arn:aws:kms:eu-central-1:111122223333:key/a", Principal: "arn:aws:iam::111122223333:role/r"},
		{Scope: wire.ScopePair, Key: "-", Principal: "a\nb"}, {Scope: wire.ScopePair},
	}
	ent := &entity.Entity{Entity: names[seed%uint64(len(names))], Since: rng.Int64N(3) * rng.Int64(), Seen: rng.Int64(), Last: -rng.Int64()}
	if ent.Scope == wire.ScopeKey {
		ent.Account, ent.Due = rng.Uint64N(1e12), rng.Int64()
	}
	for i := range ent.High {
		ent.High[i] = rng.IntN(count.MaxDistinct + 1)
	}
	if ent.Scope != wire.ScopePair && seed%3 > 0 {
		ent.Baseline = baseline.State{Since: rng.Int64(), Until: rng.Int64(), MuSq: rng.Float32() * 1e9, Excess: -rng.Float32()}
		for i := range ent.Baseline.Calls {
			ent.Baseline.Calls[i] = math.SmallestNonzeroFloat32 * float32(rng.IntN(9))
		}
	}
	if rng.IntN(3) == 0 {
		ent.Bound, ent.Used = &wire.Binding{Time: rng.Int64(), Key: fmt.Sprint("arn:aws:kms:eu-central-1:111122223333:key/", rng.IntN(3))}, rng.Int64()-rng.Int64()
	}
	for i := range rng.IntN(5) {
		w := &entity.Window{Revision: rng.Int32N(4), Closed: rng.IntN(2) == 0, Changed: rng.IntN(2) == 0, Published: rng.Int64N(9)}
		w.Entity, w.Start = ent.Entity, int64(i)*1e9
		for id := range wire.NumCounters {
			if rng.IntN(6) == 0 {
				w.Counters = append(w.Counters, wire.Counter{ID: id, N: rng.Int64N(2000) - 1000})
			}
		}
		for s := range w.Sets {
			w.Sets[s].Capped = rng.IntN(2) == 0
			for range rng.IntN(4) {
				w.Sets[s].Values = append(w.Sets[s].Values, wire.HashCount{Hash: rng.Uint64(), N: 1 + rng.Int64N(9)})
			}
		}
		for range rng.IntN(count.MaxSamples + 1) {
			w.Samples = append(w.Samples, wire.SampleOf(fmt.Sprint(rng.Uint64N(3))))
		}
		if rng.IntN(3) == 0 {
			w.Binding = &wire.Binding{Time: rng.Int64(), Key: []string{"", ent.Key, "arn:aws:kms:eu-central-1:111122223333:key/b"}[rng.IntN(3)]}
		}
		if rng.IntN(4) == 0 {
			w.Size = rng.Int64()
			ent.Rollups = append(ent.Rollups, w)
		} else {
			ent.Windows = append(ent.Windows, w)
		}
	}
	return ent
}

func TestEntityRoundTrip(t *testing.T) {
	var e wire.Encoder // one for all: it must keep nothing of the previous entity
	for seed := range uint64(200) {
		want := sample(seed)
		value := entity.Append([]byte("before"), &e, want)
		if !strings.HasPrefix(string(value), "before") {
			t.Fatal("what stood before is gone")
		}
		got, err := entity.Decode(want.StateKey(), value[len("before"):])
		if err != nil || !reflect.DeepEqual(got.Loose(), want) {
			t.Fatalf("seed %d: %v\n%+v\nwant\n%+v", seed, err, got, want)
		}
	}
}

func TestStateKeys(t *testing.T) {
	var e wire.Encoder
	value := entity.Append(nil, &e, sample(0))
	for _, name := range []string{"", "k", "key", "meta", "q\na", "x\n", "x\na", "kk\na"} {
		if ent, err := entity.Decode(name, value); err == nil {
			t.Errorf("%q names %+v", name, ent.Entity)
		}
	}
}

func FuzzDecodeEntity(f *testing.F) {
	var e wire.Encoder
	for seed := range uint64(8) {
		ent := sample(seed)
		f.Add(ent.StateKey(), entity.Append(nil, &e, ent))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		ent, err := entity.Decode(name, value)
		if err != nil {
			return
		}
		if ent.StateKey() != name {
			t.Fatalf("the key %q became %q", name, ent.StateKey())
		}
		one := entity.Append(nil, &e, ent)
		again, err := entity.Decode(name, one)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if two := entity.Append(nil, &e, again); string(two) != string(one) { // bytes, because NaN differs from itself
			t.Fatalf("%x became %x", one, two)
		}
	})
}

// A packed entity that is truncated, has trailing bytes or an unknown version is refused:
// restoring half of it would give wrong counts.
func TestDamagedEntitiesAreRefused(t *testing.T) {
	var e wire.Encoder
	for seed := range uint64(60) {
		ent := sample(seed)
		value := entity.Append(nil, &e, ent)
		refuse := func(what string, value []byte) {
			t.Helper()
			if _, err := entity.Decode(ent.StateKey(), value); !errors.Is(err, wire.ErrFrame) {
				t.Errorf("seed %d: %s gives %v", seed, what, err)
			}
		}
		for n := range value {
			refuse(fmt.Sprint("cut at ", n), value[:n])
		}
		refuse("one byte more", append(slices.Clone(value), 0))
		for _, version := range []byte{0, value[0] - 1, value[0] + 1, 127} {
			value := slices.Clone(value)
			value[0] = version
			refuse(fmt.Sprint("version ", version), value)
		}
	}
}
