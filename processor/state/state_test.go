package state_test

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
	"keytrail/processor/dedup"
	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/processor/state"
	"keytrail/schemas/normalize"
	"keytrail/schemas/wire"
)

// entity makes an entity, the same for the same seed.
func entity(seed uint64) *detect.Entity {
	rng := rand.New(rand.NewPCG(seed, 1))
	names := []wire.Entity{
		{Scope: wire.ScopeKey, KeyARN: "arn:aws:kms:eu-central-1:111122223333:key/a"}, {Scope: wire.ScopeKey, KeyARN: "-"}, {Scope: wire.ScopeKey},
		{Scope: wire.ScopePrincipal, Principal: "arn:aws:iam::111122223333:role/é"}, {Scope: wire.ScopePrincipal, Principal: "a\nb"},
		{Scope: wire.ScopePair, KeyARN: "arn:aws:kms:eu-central-1:111122223333:key/a", Principal: "arn:aws:iam::111122223333:role/r"},
		{Scope: wire.ScopePair, KeyARN: "-", Principal: "a\nb"}, {Scope: wire.ScopePair},
	}
	ent := &detect.Entity{Entity: names[seed%uint64(len(names))], Since: rng.Int64N(3) * rng.Int64(), Seen: rng.Int64(), Last: -rng.Int64()}
	for i := range ent.High {
		ent.High[i] = rng.IntN(count.MaxDistinct + 1)
	}
	if ent.Scope != wire.ScopePair && seed%3 > 0 {
		ent.Baseline = baseline.State{Since: rng.Int64(), Until: rng.Int64(), MuSq: rng.Float32() * 1e9, Excess: -rng.Float32()}
		for i := range ent.Baseline.Windows {
			ent.Baseline.Windows[i], ent.Baseline.Calls[i] = rng.Float32()*1e4, math.SmallestNonzeroFloat32*float32(rng.IntN(9))
		}
	}
	if rng.IntN(3) == 0 {
		ent.Bound, ent.Used = &wire.Binding{Time: rng.Int64(), ARN: fmt.Sprint("arn:aws:kms:eu-central-1:111122223333:key/", rng.IntN(3))}, rng.Int64()-rng.Int64()
	}
	for i := range rng.IntN(5) {
		w := &detect.Window{Revision: rng.Int32N(4), Closed: rng.IntN(2) == 0, Changed: rng.IntN(2) == 0, Published: rng.Int64N(9)}
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
			w.Samples = append(w.Samples, fmt.Sprint(rng.Uint64N(3)))
		}
		if rng.IntN(3) == 0 {
			w.Binding = &wire.Binding{Time: rng.Int64(), ARN: []string{"", ent.KeyARN, "arn:aws:kms:eu-central-1:111122223333:key/b"}[rng.IntN(3)]}
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
	var e wire.Encoder // one for all: nothing of the entity before may be left in it
	for seed := range uint64(200) {
		want := entity(seed)
		value := state.AppendEntity([]byte("before"), &e, want)
		if !strings.HasPrefix(string(value), "before") {
			t.Fatal("what stood before is gone")
		}
		got, err := state.DecodeEntity(want.StateKey(), value[len("before"):])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %v\n%+v\nwant\n%+v", seed, err, got, want)
		}
	}
}

// counted makes a record of the dedup topic.
func counted(seed uint64) state.Counted {
	rng := rand.New(rand.NewPCG(seed, 2))
	c := state.Counted{Sequence: rng.Uint64(), To: rng.Int64(), Watermark: rng.Int64() - rng.Int64()}
	if seed%4 == 0 {
		c.Watermark = eventtime.None
	}
	for range rng.IntN(20) {
		var k dedup.Key
		for i := range k.ID {
			k.ID[i] = byte(rng.Uint32())
		}
		k.Time = rng.Int64()
		c.Keys = append(c.Keys, k)
	}
	for range rng.IntN(6) {
		call := count.Call{
			IDText: fmt.Sprintf("%08x-0000-4000-8000-000000000001", rng.Uint32()), Time: rng.Int64(), Copy: normalize.Copy(rng.IntN(3)),
			KeyARN: fmt.Sprint("key/", rng.IntN(2)), SecondARN: []string{"", "key/2"}[rng.IntN(2)], Principal: fmt.Sprint("p", rng.IntN(2)),
			Class: normalize.Class(rng.IntN(int(normalize.NumClasses))), Outcome: normalize.Outcome(rng.IntN(3)), Context: normalize.Context(rng.IntN(int(normalize.NumContexts))),
			Object: rng.Uint64(), Direct: rng.IntN(2) == 0, Cross: rng.IntN(2) == 0, Self: rng.IntN(2) == 0, Rules: rule.Set(rng.Uint32()),
		}
		call.ID = wire.ParseCallID(call.IDText)
		c.Credits = append(c.Credits, call)
	}
	return c
}

func TestCountedRoundTrip(t *testing.T) {
	var e wire.Encoder
	for seed := range uint64(200) {
		want := counted(seed)
		got, err := state.DecodeCounted(want.Append([]byte("before"), &e)[len("before"):])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %v\n%+v\nwant\n%+v", seed, err, got, want)
		}
	}
}

// A field that is added to Call and forgotten here would be lost at a restart.
func TestEveryFieldOfACallIsKept(t *testing.T) {
	want := counted(0)
	want.Credits = []count.Call{{}}
	v := reflect.ValueOf(&want.Credits[0]).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(int64(i) + 1)
		case reflect.Uint8, reflect.Uint32, reflect.Uint64:
			f.SetUint(1)
		case reflect.Array: // the id, which is made of its text
		case reflect.Struct: // what the call shows, which is learned at once
		default:
			t.Fatalf("field %s of kind %s", v.Type().Field(i).Name, f.Kind())
		}
	}
	want.Credits[0].ID = wire.ParseCallID(want.Credits[0].IDText)
	var e wire.Encoder
	got, err := state.DecodeCounted(want.Append(nil, &e))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
}

// meta makes what a partition remembers.
func meta(seed uint64) state.Meta {
	rng := rand.New(rand.NewPCG(seed, 3))
	m := state.Meta{Watermark: rng.Int64() - rng.Int64(), Applied: map[int32]state.Applied{}, Sent: map[int32]uint64{}, Told: rng.Int64(), Hold: eventtime.None}
	for range rng.IntN(10) {
		m.Applied[int32(rng.Uint32())] = state.Applied{Sequence: rng.Uint64(), To: rng.Int64(), Watermark: eventtime.None, Idle: rng.IntN(2) == 0}
		m.Sent[int32(rng.IntN(300))] = rng.Uint64()
	}
	return m
}

func TestMetaRoundTrip(t *testing.T) {
	var e wire.Encoder
	for seed := range uint64(100) {
		want := meta(seed)
		got, err := state.DecodeMeta(want.Append([]byte("before"), &e)[len("before"):])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %v\n%+v\nwant\n%+v", seed, err, got, want)
		}
	}
}

// Meta of version 1, as a program wrote it that held no windows: those behind the
// watermark must not come back.
func TestMetaOfVersion1(t *testing.T) {
	want := state.Meta{Watermark: 7, Applied: map[int32]state.Applied{3: {Sequence: 2, To: 5, Watermark: 4, Idle: true}}, Sent: map[int32]uint64{1: 9}, Told: eventtime.None, Hold: 7}
	if got, err := state.DecodeMeta([]byte("\x01\x0e\x01\x06\x02\n\b\x01\x01\x02\t")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
}

// records are one of each kind, with what decodes it.
func records() map[string]struct {
	value  []byte
	decode func([]byte) error
} {
	var e wire.Encoder
	ent, c, m := entity(5+8*8), counted(7), meta(9)
	for seed := uint64(5); len(ent.Windows) < 2 || len(c.Credits) == 0 || ent.Bound == nil; seed += 8 {
		ent, c = entity(seed), counted(seed)
	}
	key := entity(16)
	for seed := uint64(16); len(key.Windows) == 0 || key.Baseline.Since == 0; seed += 8 {
		key = entity(seed)
	}
	type record = struct {
		value  []byte
		decode func([]byte) error
	}
	of := func(ent *detect.Entity) record {
		return record{state.AppendEntity(nil, &e, ent), func(b []byte) error { _, err := state.DecodeEntity(ent.StateKey(), b); return err }}
	}
	return map[string]record{
		"pair": of(ent), "KMS key": of(key),
		"counted": {c.Append(nil, &e), func(b []byte) error { _, err := state.DecodeCounted(b); return err }},
		"meta":    {m.Append(nil, &e), func(b []byte) error { _, err := state.DecodeMeta(b); return err }},
	}
}

// A record that was cut, or has something behind it, is refused: restoring half
// of it would count wrong.
func TestCutRecordsAreRefused(t *testing.T) {
	for name, r := range records() {
		if err := r.decode(r.value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for n := range r.value {
			if err := r.decode(r.value[:n]); !errors.Is(err, wire.ErrFrame) {
				t.Errorf("%s: %d of %d bytes give %v", name, n, len(r.value), err)
			}
		}
		if err := r.decode(append(slices.Clone(r.value), 0)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%s: one byte too many gives %v", name, err)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	for name, r := range records() {
		last := r.value[0] // what is written is the last version that is known
		for _, version := range []byte{0, last + 1, 127} {
			value := slices.Clone(r.value)
			value[0] = version
			if err := r.decode(value); !errors.Is(err, wire.ErrFrame) || !strings.Contains(err.Error(), fmt.Sprintf("version %d, this program knows 1", version)) {
				t.Errorf("%s: version %d gives %v", name, version, err)
			}
		}
	}
}

// An entity of version 1, as a program wrote it that knew no bindings.
func TestEntityOfVersion1(t *testing.T) {
	want := &detect.Entity{Entity: wire.Entity{Scope: wire.ScopeKey, KeyARN: "k"}, Since: 1, Seen: 2, Last: 3, Windows: []*detect.Window{{Revision: 1, Closed: true}}}
	want.Windows[0].Entity, want.Windows[0].Start = want.Entity, 7
	want.Windows[0].Counters = []wire.Counter{{ID: wire.CounterCalls, N: 1}}
	value := "\x01\x02\x04\x06\x00\x00\x00\x00\x00\x01\x01\x01\x00\x00\x01\x00\x01k\x00\x00\x0e\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if got, err := state.DecodeEntity("k\nk", []byte(value)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
}

// One of version 2 had bindings and no roll-ups.
func TestEntityOfVersion2(t *testing.T) {
	want := &detect.Entity{Entity: wire.Entity{Scope: wire.ScopeKey, KeyARN: "k"}, Since: 1, Seen: 2, Last: 3, Bound: &wire.Binding{Time: 4, ARN: "a"}, Used: 5}
	value := "\x02\x02\x04\x06\x01\b\x00\x01a\n\x00\x00\x00\x00\x00\x00"
	if got, err := state.DecodeEntity("k\nk", []byte(value)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
}

// A call of a class that this program does not know would be counted under a
// wrong counter.
func TestUnknownNumbersAreRefused(t *testing.T) {
	var e wire.Encoder
	for _, edit := range []func(*count.Call){
		func(c *count.Call) { c.Class = normalize.NumClasses }, func(c *count.Call) { c.Class = 255 },
		func(c *count.Call) { c.Outcome = normalize.OutcomeFailed + 1 },
		func(c *count.Call) { c.Context = normalize.NumContexts }, func(c *count.Call) { c.Copy = normalize.CopyCaller + 1 },
	} {
		c := counted(1)
		c.Credits = append(c.Credits, count.Call{})
		edit(&c.Credits[len(c.Credits)-1])
		if _, err := state.DecodeCounted(c.Append(nil, &e)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%+v gives %v", c.Credits[len(c.Credits)-1], err)
		}
	}
}

func TestStateKeys(t *testing.T) {
	var e wire.Encoder
	value := state.AppendEntity(nil, &e, entity(0))
	for _, name := range []string{"", "k", "key", state.MetaKey, "q\na", "x\n", "x\na", "kk\na"} {
		if ent, err := state.DecodeEntity(name, value); err == nil {
			t.Errorf("%q names %+v", name, ent.Entity)
		}
	}
}

func FuzzDecodeEntity(f *testing.F) {
	var e wire.Encoder
	for seed := range uint64(8) {
		ent := entity(seed)
		f.Add(ent.StateKey(), state.AppendEntity(nil, &e, ent))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		ent, err := state.DecodeEntity(name, value)
		if err != nil {
			return
		}
		if ent.StateKey() != name {
			t.Fatalf("the key %q became %q", name, ent.StateKey())
		}
		one := state.AppendEntity(nil, &e, ent)
		again, err := state.DecodeEntity(name, one)
		if err != nil {
			t.Fatalf("what was read can not be read again: %v", err)
		}
		if two := state.AppendEntity(nil, &e, again); string(two) != string(one) { // bytes, because NaN differs from itself
			t.Fatalf("%x became %x", one, two)
		}
	})
}

func FuzzDecodeCounted(f *testing.F) {
	var e wire.Encoder
	for seed := range uint64(8) {
		c := counted(seed)
		f.Add(c.Append(nil, &e))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := state.DecodeCounted(value)
		if err != nil {
			return
		}
		again, err := state.DecodeCounted(c.Append(nil, &e))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%v\n%+v became\n%+v", err, c, again)
		}
		table := count.NewTable(int64(5 * 60 * 1e9))
		for i := range c.Credits { // whatever was read can be counted and sent
			table.Add(&c.Credits[i], 1)
		}
		for p := range table.All() {
			frame := wire.AppendFrame(nil, &e, &wire.Frame{Partials: []wire.Partial{*p}})
			if _, err := wire.NewDecoder(frame).Frame(); err != nil {
				t.Fatalf("%+v can not be sent: %v", *p, err)
			}
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	var e wire.Encoder
	for seed := range uint64(8) {
		m := meta(seed)
		f.Add(m.Append(nil, &e))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := state.DecodeMeta(value)
		if err != nil {
			return
		}
		if again, err := state.DecodeMeta(m.Append(nil, &e)); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%v\n%+v became\n%+v", err, m, again)
		}
	})
}
