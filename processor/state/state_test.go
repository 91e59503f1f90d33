package state_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/processor/sigma"
	"keytrail/processor/state"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// counted makes a record of the dedup topic.
func counted(seed uint64) state.Counted {
	rng := rand.New(rand.NewPCG(seed, 2))
	var c state.Counted
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
			IDText: fmt.Sprintf("%08x-0000-4000-8000-000000000001", rng.Uint32()), Time: rng.Int64(), Copy: kms.Copy(rng.IntN(3)),
			Key: fmt.Sprint("key/", rng.IntN(2)), SecondKey: []string{"", "key/2"}[rng.IntN(2)], Principal: fmt.Sprint("p", rng.IntN(2)),
			Class: kms.Class(rng.IntN(int(kms.NumClasses))), Outcome: kms.Outcome(rng.IntN(3)), Context: kms.Context(rng.IntN(int(kms.NumContexts))),
			Object: rng.Uint64(), Direct: rng.IntN(2) == 0, Cross: rng.IntN(2) == 0, Self: rng.IntN(2) == 0, Rules: rule.Set(rng.Uint32()), Matched: uint16(rng.IntN(1001)),
		}
		call.ID = wire.ParseCallID(call.IDText)
		if seed%5 == 0 {
			call.Withheld = uint16(rng.IntN(3))
		}
		c.Credits = append(c.Credits, call)
		if seed%3 == 0 {
			o := state.Observed{Spent: rng.IntN(3) == 0}
			for range rng.IntN(3) {
				o.List = append(o.List, state.Observation{Correlation: rng.Uint64(), Rule: rng.IntN(64), Group: fmt.Sprint("g", rng.IntN(2)), Value: rng.Uint64()})
			}
			c.Observed = append(c.Observed, o)
		}
	}
	if !slices.ContainsFunc(c.Observed, func(o state.Observed) bool { return o.Spent || len(o.List) > 0 }) {
		c.Observed = nil
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

// A new field of Call that is missing here would be lost at a restart.
func TestEveryFieldOfACallIsKept(t *testing.T) {
	want := counted(0)
	want.Credits, want.Observed = []count.Call{{}}, nil
	v := reflect.ValueOf(&want.Credits[0]).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int64:
			f.SetInt(int64(i) + 1)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			f.SetUint(1)
		case reflect.Array: // the id, which is restored from its text
		case reflect.Struct: // what the call shows, which is applied at once
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

// meta makes a partition's progress.
func meta(seed uint64) state.Meta {
	rng := rand.New(rand.NewPCG(seed, 3))
	m := state.Meta{Settings: fmt.Sprint(seed), At: state.Position{Offset: rng.Int64(), Epoch: int32(rng.Uint32()), Topic: [16]byte{1, 2, 15: byte(seed)}}, Watermark: rng.Int64() - rng.Int64(), Late: rng.Int64() - rng.Int64(), Ended: rng.Int64() - rng.Int64(), Applied: map[int32]state.Applied{}, Sent: map[int32]uint64{}, Told: rng.Int64(), Hold: eventtime.None}
	for range rng.IntN(10) {
		m.Applied[int32(rng.Uint32())] = state.Applied{Sequence: rng.Uint64(), To: rng.Int64(), Watermark: eventtime.None, Late: rng.Int64() - rng.Int64()}
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

// head makes a partition's progress of counting.
func head(seed uint64) state.Head {
	rng := rand.New(rand.NewPCG(seed, 4))
	h := state.Head{Settings: fmt.Sprint(seed), At: state.Position{Offset: rng.Int64(), Epoch: -1, Topic: [16]byte{9, 15: byte(seed)}}, Sequence: rng.Uint64(), Framed: rng.Int64(), Watermark: rng.Int64() - rng.Int64(), Late: rng.Int64(), Ended: rng.Int64(), Progress: eventtime.Saved{Front: -rng.Int64(), LateMark: rng.Int64(), Clock: rng.Int64(), Hold: eventtime.None}, Forgotten: rng.Int64() - rng.Int64()}
	if seed%4 == 0 {
		h.Watermark = eventtime.None
	}
	for range rng.IntN(4) {
		h.Live.Add(state.CountedName{Sequence: rng.Uint64(), Part: rng.Uint32()})
	}
	return h
}

func TestHeadRoundTrip(t *testing.T) {
	var e wire.Encoder
	for seed := range uint64(100) {
		want := head(seed)
		if got, err := state.DecodeHead(want.Append([]byte("before"), &e)[len("before"):]); err != nil || got != want {
			t.Fatalf("seed %d: %v\n%+v\nwant\n%+v", seed, err, got, want)
		}
	}
}

// Names survive their keys, sort like their numbers, and differ from the head's.
func TestCountedNames(t *testing.T) {
	last := ""
	for _, n := range []state.CountedName{{}, {Part: 1}, {Part: math.MaxUint32}, {Sequence: 1}, {Sequence: 256}, {Sequence: math.MaxUint64, Part: 7}} {
		key := string(n.Key())
		if got, err := state.ParseCountedName([]byte(key)); err != nil || got != n || key <= last || key == state.HeadKey {
			t.Errorf("%+v became %+v, %v", n, got, err)
		}
		last = key
	}
	for _, key := range []string{"", state.HeadKey, "12345678901", "1234567890123"} {
		if _, err := state.ParseCountedName([]byte(key)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%q gives %v", key, err)
		}
	}
}

// A set of records shows each missing, excess or replaced record, in whatever order
// records come and go.
func TestLiveSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for range 200 {
		names := make([]state.CountedName, 1+rng.IntN(20))
		var all, again state.Live
		for i := range names {
			names[i] = state.CountedName{Sequence: uint64(i / 3), Part: uint32(i % 3)}
			all.Add(names[i])
		}
		for _, i := range rng.Perm(len(names)) {
			again.Add(names[i])
		}
		if all != again {
			t.Fatal("the order matters")
		}
		i := rng.IntN(len(names))
		again.Remove(names[i])
		if again == all {
			t.Fatal("one that is missing does not show")
		}
		again.Add(state.CountedName{Sequence: 1000, Part: names[i].Part})
		if again == all {
			t.Fatal("another one does not show")
		}
		again.Remove(state.CountedName{Sequence: 1000, Part: names[i].Part})
		again.Add(names[i])
		if again != all {
			t.Fatal("the same records have another sum")
		}
	}
}

// A record is needed until all copies of its calls are forgotten, whose times may differ
// a little; no time overflows.
func TestUntil(t *testing.T) {
	c := state.Counted{Keys: []dedup.Key{{Time: 5}, {Time: 9}, {Time: 7}}, Credits: []count.Call{{Time: 8}}}
	if got := c.Until(); got != 9+4*dedup.Span {
		t.Errorf("%d", got)
	}
	c.Credits[0].Time = 100
	if got := c.Until(); got != 100+4*dedup.Span {
		t.Errorf("%d", got)
	}
	c.Keys[0].Time = math.MaxInt64
	if got := c.Until(); got != math.MaxInt64 {
		t.Errorf("%d", got)
	}
	if got := new(state.Counted).Until(); got != math.MinInt64+4*dedup.Span {
		t.Errorf("%d", got)
	}
}

// records has one of each kind, with its decoder.
func records() map[string]struct {
	value  []byte
	decode func([]byte) error
} {
	var e wire.Encoder
	c, m, h := counted(9), meta(9), head(9)
	for seed := uint64(9); len(c.Credits) == 0; seed += 24 { // with observations of correlations
		c = counted(seed)
	}
	type record = struct {
		value  []byte
		decode func([]byte) error
	}
	return map[string]record{
		"counted": {c.Append(nil, &e), func(b []byte) error { _, err := state.DecodeCounted(b); return err }},
		"head":    {h.Append(nil, &e), func(b []byte) error { _, err := state.DecodeHead(b); return err }},
		"meta":    {m.Append(nil, &e), func(b []byte) error { _, err := state.DecodeMeta(b); return err }},
	}
}

// A record that is truncated or has trailing bytes is refused: restoring half of it would
// give wrong counts.
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
		for version, want := range map[byte]error{0: wire.ErrFrame, 1: wire.ErrOlder, wire.FormatVersion - 1: wire.ErrOlder, wire.FormatVersion + 1: wire.ErrNewer, 127: wire.ErrFrame} {
			value := slices.Clone(r.value)
			value[0] = version
			if err := r.decode(value); !errors.Is(err, wire.ErrFrame) || !errors.Is(err, want) {
				t.Errorf("%s: version %d gives %v", name, version, err)
			}
		}
	}
}

// A call of an unknown class would count under a wrong counter.
func TestUnknownNumbersAreRefused(t *testing.T) {
	var e wire.Encoder
	for _, edit := range []func(*count.Call){
		func(c *count.Call) { c.Class = kms.NumClasses }, func(c *count.Call) { c.Class = 255 },
		func(c *count.Call) { c.Outcome = kms.OutcomeFailed + 1 },
		func(c *count.Call) { c.Context = kms.NumContexts }, func(c *count.Call) { c.Copy = kms.CopyCaller + 1 },
		func(c *count.Call) { c.Matched = 1001 }, // more than the maximum of rules
	} {
		c := counted(1)
		c.Credits = append(c.Credits, count.Call{})
		edit(&c.Credits[len(c.Credits)-1])
		if _, err := state.DecodeCounted(c.Append(nil, &e)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%+v gives %v", c.Credits[len(c.Credits)-1], err)
		}
	}
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
		for i := range c.Credits { // every decoded call can be counted and sent
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

// A damaged rule number that is too large does not become negative.
func TestDamagedRuleNumber(t *testing.T) {
	c := state.Counted{Credits: []count.Call{{IDText: "a"}}, Observed: []state.Observed{{List: []state.Observation{{Rule: math.MinInt64}}}}}
	got, err := state.DecodeCounted(c.Append(nil, new(wire.Encoder)))
	if err != nil || got.Observed[0].List[0].Rule != sigma.MaxRules {
		t.Errorf("%+v, %v", got, err)
	}
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
