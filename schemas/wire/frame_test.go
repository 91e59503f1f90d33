package wire_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"keytrail/schemas/wire"
)

// sample makes a frame of n partials, the same for the same seed.
func sample(seed uint64, n int) wire.Frame {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := wire.Frame{
		Source: int32(rng.Uint32()), Sequence: rng.Uint64(), From: rng.Int64(), To: -rng.Int64(),
		Watermark: rng.Int64() - rng.Int64(), Late: rng.Int64() - rng.Int64(), Quiet: rng.Int64() - rng.Int64(), Idle: seed%2 == 0, Lost: seed, Settings: fmt.Sprint(seed),
	}
	for i := range n {
		p := wire.Partial{Start: rng.Int64() - math.MaxInt64/2}
		p.Scope = wire.ScopeKey + wire.Scope(i%3)
		p.Key, p.Principal = fmt.Sprintf("arn:aws:kms:eu-central-1:1:key/%d", rng.IntN(5)), fmt.Sprintf("arn:aws:iam::1:role/é-%d", rng.IntN(3))
		if p.Scope == wire.ScopeKey {
			p.Account, p.Principal = fmt.Sprintf("%012d", rng.IntN(3)), ""
		}
		for id := range wire.NumCounters {
			if rng.IntN(8) == 0 {
				p.Counters = append(p.Counters, wire.Counter{ID: id, N: rng.Int64N(2000) - 1000})
			}
		}
		for s := range p.Sets {
			p.Sets[s].Capped = rng.IntN(2) == 0
			for range rng.IntN(4) {
				p.Sets[s].Values = append(p.Sets[s].Values, wire.HashCount{Hash: rng.Uint64(), N: rng.Int64N(9)})
			}
		}
		for range rng.IntN(3) {
			p.Samples = append(p.Samples, wire.SampleOf(fmt.Sprint(rng.Uint64())))
		}
		if rng.IntN(3) == 0 {
			p.Binding = &wire.Binding{Time: rng.Int64() - rng.Int64(), Key: []string{"", p.Key, "arn:aws:kms:eu-central-1:1:key/é"}[rng.IntN(3)]}
		}
		f.Partials = append(f.Partials, p)
	}
	if seed%3 == 0 {
		f.Panes = panes(rng, n)
		for range rng.IntN(4) {
			f.Hits = append(f.Hits, strings.Repeat("hit\x00", rng.IntN(300)))
		}
		for range rng.IntN(4) {
			f.Ledger = append(f.Ledger, strings.Repeat("delta\x00", rng.IntN(300)))
		}
	}
	return f
}

func panes(rng *rand.Rand, n int) (list []wire.Pane) {
	for range n {
		p := wire.Pane{PaneKey: wire.PaneKey{Correlation: rng.Uint64(), Group: fmt.Sprintf("g\x1f%d\n", rng.IntN(3)), Start: rng.Int64() - math.MaxInt64/2},
			Key: fmt.Sprint("key/", rng.IntN(2)), Principal: "-"}
		for range rng.IntN(20) {
			p.Tally = append(p.Tally, byte(rng.Uint32()))
		}
		for range rng.IntN(4) {
			p.Calls = append(p.Calls, wire.CallAt{Rule: uint8(rng.Uint32()), Time: rng.Int64() - rng.Int64(), ID: fmt.Sprint(rng.Uint64())})
		}
		list = append(list, p)
	}
	return list
}

func TestFrameRoundTrip(t *testing.T) {
	var e wire.Encoder // one for all: its dictionary must not live on
	frames := []wire.Frame{{}, {Source: -1, From: -5, To: math.MaxInt64, Watermark: math.MinInt64, Late: math.MinInt64, Quiet: math.MinInt64, Sequence: math.MaxUint64, Idle: true}}
	for seed := range uint64(50) {
		frames = append(frames, sample(seed, int(seed)))
	}
	for i, f := range frames {
		data := wire.AppendFrame([]byte("before"), &e, &f)
		if !strings.HasPrefix(string(data), "before") {
			t.Fatalf("frame %d: what stood before is gone", i)
		}
		got, err := wire.NewDecoder(data[len("before"):]).Frame()
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("frame %d: %v\n%+v\nwant\n%+v", i, err, got, f)
		}
	}
}

// TestFrameStringsAreCopies: a decoded frame outlives its bytes.
func TestFrameStringsAreCopies(t *testing.T) {
	want := sample(9, 20)
	data := wire.AppendFrame(nil, new(wire.Encoder), &want)
	got, err := wire.NewDecoder(data).Frame()
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !reflect.DeepEqual(got, want) {
		t.Error("the frame changed with its bytes")
	}
}

// TestCallIDs: ids come back as they were, whatever they are; a UUID in lower case
// takes 17 bytes.
func TestCallIDs(t *testing.T) {
	for id, most := range map[string]int{
		"01234567-89ab-cdef-0123-456789abcdef": 17, "ffffffff-ffff-ffff-ffff-ffffffffffff": 17,
		"01234567-89AB-cdef-0123-456789abcdef": 37, "01234567-89ab-cdef-0123-456789abcdeg": 37, "01234567x89ab-cdef-0123-456789abcdef": 37,
		"0123456789abcdef0123456789abcdef0123": 37, "": 1, "\xff": 2,
	} {
		p := wire.Partial{Samples: []wire.Sample{wire.SampleOf(id)}}
		var e wire.Encoder
		e.Counts(&p)
		var got wire.Partial
		d := wire.NewDecoder(e.B)
		if d.Counts(&got); !d.Done() || !reflect.DeepEqual(got, p) {
			t.Errorf("%q became %q: %v", id, got.Samples, d.Err())
		}
		if n := len(e.B) - 6; n > most {
			t.Errorf("%q takes %d bytes, want %d", id, n, most)
		}
	}
}

// TestTimes: whole minutes take four bytes.
func TestTimes(t *testing.T) {
	for _, at := range []int64{0, 1, -1, 60e9, -60e9, 1_800_000_000e9, 1_800_000_001e9, math.MaxInt64, math.MinInt64, math.MaxInt64 / 60e9 * 60e9} {
		var e wire.Encoder
		e.Time(at)
		d := wire.NewDecoder(e.B)
		if got := d.Time(); got != at || !d.Done() {
			t.Errorf("%d became %d: %v", at, got, d.Err())
		}
		if at == 1_800_000_000e9 && len(e.B) > 4 {
			t.Errorf("%d bytes", len(e.B))
		}
	}
	for _, bad := range [][]byte{{}, {3}, {1}, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if d := wire.NewDecoder(bad); d.Time() != 0 || d.Err() == nil {
			t.Errorf("%v is taken for a time", bad)
		}
	}
}

// TestNewer: of two bindings one is newer, whichever is asked.
func TestNewer(t *testing.T) {
	order := []*wire.Binding{nil, {Time: -1, Key: "z"}, {Time: 0}, {Time: 0, Key: "a"}, {Time: 0, Key: "b"}, {Time: 1}}
	for i, a := range order {
		for j, b := range order {
			if a.Newer(b) != (i > j) {
				t.Errorf("%+v newer than %+v: %v", a, b, a.Newer(b))
			}
		}
	}
}

// TestFrameDictionary: an ARN that repeats costs a byte or two.
func TestFrameDictionary(t *testing.T) {
	f := wire.Frame{}
	for range 1000 {
		p := wire.Partial{Entity: wire.Entity{Scope: wire.ScopePair, Key: strings.Repeat("k", 80), Principal: strings.Repeat("p", 60)}}
		f.Partials = append(f.Partials, p)
	}
	if n := len(wire.AppendFrame(nil, new(wire.Encoder), &f)); n > 1000*14+200 {
		t.Errorf("1,000 partials of one pair take %d bytes, want 14 each", n)
	}
}

// TestFrameRefuses: cut at any byte, longer, of another version, or with numbers
// that do not name a scope or counter.
func TestFrameRefuses(t *testing.T) {
	f := sample(3, 3) // with panes
	whole := wire.AppendFrame(nil, new(wire.Encoder), &f)
	refuse := func(name string, data []byte) {
		t.Helper()
		d := wire.NewDecoder(data)
		if _, err := d.Frame(); !errors.Is(err, wire.ErrFrame) || d.Done() || d.Err() == nil {
			t.Errorf("%s: error %v, Done %v", name, err, d.Done())
		}
	}
	for k := range whole {
		refuse(fmt.Sprint("cut at ", k), whole[:k])
	}
	refuse("longer", append(whole[:len(whole):len(whole)], 0))
	frame := func(partial ...uint64) []byte {
		var e wire.Encoder
		for _, v := range append([]uint64{wire.FormatVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, partial...) {
			e.Uint(v)
		}
		return e.B
	}
	// Scope, key "", principal "", start; one counter, its number and how often; no sets,
	// no samples, no panes, no hits, no deltas.
	one := func(scope, id uint64) []byte { return frame(scope, 0, 0, 1, 0, 1<<1, id, 2, 0, 0, 0, 0, 0) }
	if _, err := wire.NewDecoder(one(1, 0)).Frame(); err != nil {
		t.Fatalf("the test's own frame: %v", err)
	}
	for _, scope := range []uint64{0, 4, 255, 256 + 1, 1<<32 + 2} {
		refuse(fmt.Sprint("scope ", scope), one(scope, 0))
	}
	for _, id := range []uint64{uint64(wire.NumCounters), 255, 256, 1 << 32} {
		refuse(fmt.Sprint("counter ", id), one(1, id))
	}
	refuse("a string that was not there", frame(1, 9))
	refuse("more partials than bytes", frame()[:10])
	var e wire.Encoder
	for _, v := range []uint64{wire.FormatVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1<<20 + 1} {
		e.Uint(v)
	}
	refuse("more partials than a frame may hold", append(e.B, make([]byte, 20<<20)...))
}

// TestPrimitives: every value that an Encoder writes, a Decoder reads, and after
// an error it reads zeros.
func TestPrimitives(t *testing.T) {
	var e wire.Encoder
	for round := range 2 {
		e.Reset()
		e.Uint(math.MaxUint64)
		e.Int(math.MinInt64)
		e.Float(-1.5)
		e.Bool(true)
		e.Bool(false)
		e.String("")
		e.String("text")
		e.String("")
		e.String("text")
		d := wire.NewDecoder(e.B)
		got := fmt.Sprint(d.Uint(), d.Int(), d.Float(), d.Bool(), d.Bool(), d.String(), d.String(), d.String(), d.String())
		if want := fmt.Sprint(uint64(math.MaxUint64), math.MinInt64, float32(-1.5), true, false, "", "text", "", "text"); got != want || !d.Done() {
			t.Errorf("round %d: %s, want %s; done %v", round, got, want, d.Done())
		}
		if d.Uint() != 0 || d.Int() != 0 || d.Float() != 0 || d.Fixed() != 0 || d.Bool() || d.String() != "" || d.Count() != 0 || !errors.Is(d.Err(), wire.ErrFrame) {
			t.Errorf("round %d: a Decoder at its end gives more than zeros; error %v", round, d.Err())
		}
	}
}

// size is the memory that a frame holds on to, its strings apart.
func size(f *wire.Frame) int {
	n := cap(f.Partials) * int(unsafe.Sizeof(wire.Partial{}))
	for i := range f.Partials {
		p := &f.Partials[i]
		if p.Binding != nil {
			n += int(unsafe.Sizeof(wire.Binding{}))
		}
		n += cap(p.Counters)*int(unsafe.Sizeof(wire.Counter{})) + cap(p.Samples)*int(unsafe.Sizeof(wire.Sample{}))
		for _, s := range p.Sets {
			n += cap(s.Values) * int(unsafe.Sizeof(wire.HashCount{}))
		}
	}
	for i := range f.Panes {
		n += cap(f.Panes[i].Tally) + cap(f.Panes[i].Calls)*int(unsafe.Sizeof(wire.CallAt{}))
	}
	return n + cap(f.Panes)*int(unsafe.Sizeof(wire.Pane{})) + (cap(f.Hits)+cap(f.Ledger))*int(unsafe.Sizeof(""))
}

// FuzzFrame: no bytes make the decoder panic or take memory out of proportion,
// and what it reads can be written and read again.
func FuzzFrame(f *testing.F) {
	for seed := range uint64(6) {
		frame := sample(seed, int(seed)*2)
		f.Add(wire.AppendFrame(nil, new(wire.Encoder), &frame))
	}
	f.Add([]byte{wire.FormatVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x3f})
	f.Add([]byte{wire.FormatVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 40, 0, 0})
	f.Add([]byte{wire.FormatVersion, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0, 0, 14, 1, 'k', 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := wire.NewDecoder(data).Frame()
		// A partial takes 14 bytes at least and 240 in memory, two more and 24 more
		// with a binding; a list grows to twice its length, and the items of a list that breaks off take 16 each.
		if n := size(&frame); n > 64*len(data)+1024 {
			t.Errorf("%d bytes decode to %d", len(data), n)
		}
		if err != nil {
			if !errors.Is(err, wire.ErrFrame) {
				t.Errorf("error %v", err)
			}
			return
		}
		again, err := wire.NewDecoder(wire.AppendFrame(nil, new(wire.Encoder), &frame)).Frame()
		if err != nil || !reflect.DeepEqual(again, frame) {
			t.Errorf("%v: %+v, want %+v", err, again, frame)
		}
	})
}
