package wire_test

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"keytrail/schemas/wire"
)

// TestPaneKeys: every pane has its own state key, which no entity has, and all panes of a
// group have one owner.
func TestPaneKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, correlation := range []uint64{0, 7, math.MaxUint64} {
		for _, group := range []string{"", "a", "a\x1fb", "1\n2", "\xff"} {
			for _, start := range []int64{0, -1, 1_800_000_000e9, math.MaxInt64, math.MinInt64} {
				k := wire.PaneKey{Correlation: correlation, Group: group, Start: start}
				key := k.StateKey()
				if got, err := wire.ParsePaneKey(key); err != nil || got != k || !wire.IsPaneKey(key) || seen[key] {
					t.Errorf("%+v became %q and %+v: %v", k, key, got, err)
				}
				seen[key] = true
				if other := (wire.PaneKey{Correlation: correlation, Group: group}); k.Owner(7) != other.Owner(7) {
					t.Errorf("panes of %+v have several owners", k)
				}
			}
		}
	}
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
		if key := (wire.Entity{Scope: scope, Key: "c\n", Principal: "c\n"}).StateKey(); wire.IsPaneKey(key) {
			t.Errorf("an entity has the key %q", key)
		}
	}
	for _, bad := range []string{"", "c\n", "c\n1\n2\ng", "c\n0000000000000001\n2", "c\n000000000000000g\n2\ng", "c\n0000000000000001\n+2\ng", "k\nkey"} {
		if k, err := wire.ParsePaneKey(bad); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%q became %+v: %v", bad, k, err)
		}
	}
}

// TestBatch: what a Batch was given stands in its frames, in the order in which it was
// given, and no frame is much larger than it may be.
func TestBatch(t *testing.T) {
	f := sample(9, 40) // with panes
	for _, most := range []int{1, 300, 1 << 20} {
		var b wire.Batch
		for range 2 { // its memory is used again
			for i := range f.Partials {
				b.Add(&f.Partials[i], most)
			}
			for i := range f.Panes {
				b.AddPane(&f.Panes[i], most)
			}
			for _, hit := range f.Hits {
				b.AddHit(hit, most)
			}
			for _, delta := range f.Ledger {
				b.AddDelta([]byte(delta), most)
			}
			b.Add(&f.Partials[0], most)
			got := wire.Frame{Source: f.Source, Sequence: f.Sequence, From: f.From, To: f.To, Watermark: f.Watermark, Late: f.Late, Quiet: f.Quiet, Idle: f.Idle, Lost: f.Lost, Settings: f.Settings}
			head := got
			for k := range b.Frames() {
				data := b.AppendFrame([]byte("x"), &head, k)[1:]
				one, err := wire.NewDecoder(data).Frame()
				if err != nil || most == 1 && len(one.Partials)+len(one.Panes)+len(one.Hits)+len(one.Ledger) != 1 || len(data) > most+2000 {
					t.Errorf("frame %d of at most %d bytes has %d, %d partials and %d panes: %v", k, most, len(data), len(one.Partials), len(one.Panes), err)
				}
				got.Partials, got.Panes = append(got.Partials, one.Partials...), append(got.Panes, one.Panes...)
				got.Hits, got.Ledger = append(got.Hits, one.Hits...), append(got.Ledger, one.Ledger...)
			}
			want := f
			want.Partials = append(f.Partials[:len(f.Partials):len(f.Partials)], f.Partials[0])
			if !reflect.DeepEqual(got, want) {
				t.Errorf("at most %d bytes: got\n%+v\nwant\n%+v", most, got, want)
			}
			if one, err := wire.NewDecoder(b.AppendFrame(nil, &head, b.Frames())).Frame(); err != nil || !reflect.DeepEqual(one, head) {
				t.Errorf("a frame of nothing: %+v, %v", one, err)
			}
			b.Reset()
		}
	}
}
