package window_test

import (
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// is compares a result's state and calls.
func is(t *testing.T, r *window.Result, closed bool, revision int32, calls int64) {
	t.Helper()
	if r == nil {
		t.Fatal("the window is not published")
	}
	if r.Closed != closed || r.Revision != revision || get(r, wire.CounterCalls) != calls {
		t.Errorf("closed %v, revision %d, %d calls; want %v, %d, %d", r.Closed, r.Revision, get(r, wire.CounterCalls), closed, revision, calls)
	}
}

func TestWindowsCloseAtTheWatermark(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	if list := r.advance(begin); len(list) != 0 || r.e.Len() != 0 {
		t.Fatalf("an empty engine publishes %v", list)
	}
	r.add(decrypt(begin, 1, 1), 1)
	r.add(decrypt(begin+size-1, 1, 1), 2)
	r.add(decrypt(begin+size, 1, 1), 4)
	if list := r.advance(begin + size - 1); len(list) != 0 {
		t.Fatalf("published before the window's end: %v", list)
	}
	list := r.advance(begin + size)
	if len(list) != 3 {
		t.Fatalf("%d windows, want 3", len(list))
	}
	for _, e := range []wire.Entity{keyOf(1), roleOf(1), pairOf(1, 1)} {
		is(t, find(list, e, begin), true, 1, 3)
	}
	if list := r.advance(begin + size); len(list) != 0 {
		t.Errorf("the same watermark publishes again: %v", list)
	}
	if list := r.advance(begin); len(list) != 0 || r.e.Mark().Watermark != begin+size {
		t.Errorf("a watermark went back to %d and published %v", r.e.Mark().Watermark, list)
	}
	is(t, find(r.advance(begin+day), keyOf(1), begin+size), true, 1, 4)
}

// Nothing closes while event time is unknown.
func TestNoWatermark(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.add(decrypt(-day, 1, 1), 1)
	if list := r.advance(-1 << 62); len(list) != 0 {
		t.Errorf("published without a watermark: %v", list)
	}
	is(t, find(r.advance(0), keyOf(1), -day), true, 1, 1) // before 1970 is a time as well
}

func TestLateCallsRefineUntilTheLatenessIsOver(t *testing.T) {
	cfg := window.DefaultConfig()
	r := newRig(t, cfg, false)
	r.add(decrypt(begin, 1, 1), 1)
	r.advance(begin + size)
	r.add(decrypt(begin+1, 1, 1), 2)
	is(t, find(r.advance(begin+size), keyOf(1), begin), true, 2, 3)
	if list := r.advance(begin + 2*size); len(list) != 0 {
		t.Errorf("published again without a new call: %v", list)
	}
	last := begin + size + cfg.Lateness
	r.advance(last - 1)
	r.add(decrypt(begin+2, 1, 1), 1)
	r.add(decrypt(begin+3, 2, 1), 1) // the first call of its KMS key comes late
	list := r.advance(last - 1)
	is(t, find(list, keyOf(1), begin), true, 3, 4)
	is(t, find(list, keyOf(2), begin), true, 1, 1)
	is(t, find(list, roleOf(1), begin), true, 3, 5)
	r.advance(last)
	for _, p := range partials(decrypt(begin+4, 1, 1), 1) {
		if !r.e.Merge(p) {
			t.Errorf("a call of %s is taken after its window was dropped", p.StateKey())
		}
	}
	r.add(decrypt(begin+size, 1, 1), 1) // of the next window
	if list := r.advance(last); len(list) != 3 {
		t.Errorf("%d windows published, want the next one's 3", len(list))
	}
}

// A call that is taken back before its window closes never existed; one taken back later
// must be subtracted from published counts.
func TestCorrections(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	c := decrypt(begin, 1, 1)
	c.Copy = kms.CopyOwner
	r.add(c, 1)
	r.add(c, -1)
	if list := r.advance(begin + size); len(list) != 0 {
		t.Fatalf("windows without calls are published: %v", list)
	}
	r.add(c, 1) // a late call there would close it after all
	is(t, find(r.advance(begin+size), keyOf(1), begin), true, 1, 1)
	r.add(c, -1)
	list := r.advance(begin + size)
	for _, e := range []wire.Entity{keyOf(1), roleOf(1), pairOf(1, 1)} {
		is(t, find(list, e, begin), true, 2, 0)
	}
	r.add(c, 1)
	is(t, find(r.advance(begin+size), roleOf(1), begin), true, 3, 1)

	// one of two calls
	d := decrypt(begin+size, 1, 2)
	r.add(d, 2)
	r.advance(begin + size)
	r.add(d, -1)
	is(t, find(r.advance(begin+2*size), pairOf(1, 2), begin+size), true, 1, 1)
}

// A window that was published while open cannot disappear.
func TestCorrectionAfterAPreview(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	c := decrypt(begin, 1, 1)
	c.Rules, c.Class = 1, kms.ClassDestroy
	r.add(c, 1)
	list := r.advance(begin + 1)
	is(t, find(list, pairOf(1, 1), begin), false, 0, 1)
	r.add(c, -1)
	if list := r.advance(begin + 2); len(list) != 0 {
		t.Errorf("an open window is published though its anomalies did not grow: %v", list)
	}
	list = r.advance(begin + size)
	is(t, find(list, pairOf(1, 1), begin), true, 1, 0)
	if w := find(list, pairOf(1, 1), begin); anomaly.Count(&w.Partial) != 0 {
		t.Errorf("anomalies are left: %v", w.Counters)
	}
}

// A call that moves to another principal leaves its KMS key's counts unchanged and
// changes the key's principals.
func TestCorrectionMovesACall(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	c := decrypt(begin, 1, 1)
	r.add(c, 1)
	r.advance(begin + size)
	table := count.NewTable(size)
	table.Add(&c, -1)
	c.Principal = role(2)
	table.Add(&c, 1)
	for p := range table.All() {
		if !count.Empty(p) {
			r.e.Merge(p)
		}
	}
	list := r.advance(begin + size)
	is(t, find(list, roleOf(1), begin), true, 2, 0)
	is(t, find(list, roleOf(2), begin), true, 1, 1)
	key := find(list, keyOf(1), begin)
	is(t, key, true, 2, 1)
	if v := key.Sets[wire.SetPeers].Values; len(v) != 1 || v[0].Hash != wire.EntityHash(role(2)) {
		t.Errorf("the key's principals are %v, want the second role alone", v)
	}
}

// An open window is published when it has more anomalies, and only then.
func TestPreview(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.add(decrypt(begin, 1, 1), 5)
	if list := r.advance(begin); len(list) != 0 {
		t.Fatalf("an open window without anomalies is published: %v", list)
	}
	c := decrypt(begin+1, 1, 1)
	c.Rules = 1
	r.add(c, 1)
	list := r.advance(begin)
	if len(list) != 3 {
		t.Fatalf("%d open windows published, want 3", len(list))
	}
	is(t, find(list, keyOf(1), begin), false, 0, 6)
	r.add(decrypt(begin+2, 1, 1), 5)
	if list := r.advance(begin); len(list) != 0 {
		t.Errorf("published again though no anomaly came: %v", list)
	}
	r.add(c, 2)
	r.add(c, 1) // in two parts, shown once
	if list = r.advance(begin); len(list) != 3 {
		t.Errorf("%d open windows published, want 3", len(list))
	}
	w := find(list, roleOf(1), begin)
	is(t, w, false, 0, 14)
	if n := anomaly.Count(&w.Partial); n != 4 {
		t.Errorf("%d anomalies, want 4", n)
	}
	list = r.advance(begin + size)
	if len(list) != 3 {
		t.Errorf("%d windows published at the close, want 3", len(list))
	}
	is(t, find(list, roleOf(1), begin), true, 1, 14)
	// A window that closes at once is not published as open before.
	r.add(c, 1)
	c.Time += size
	r.add(c, 1)
	for _, res := range r.advance(begin + 2*size) {
		if !res.Closed {
			t.Errorf("window %s of %s is shown as open when it closes", stamp(res.Start), res.StateKey())
		}
	}
}

// The preview of a rate anomaly has the id of the anomaly at the close, and is not
// counted twice.
func TestPreviewOfTheRate(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	at := begin + 2*day
	r.add(decrypt(at, 1, 1), 60)
	open := r.advance(at)
	shown := anomalies(open)
	w := find(open, keyOf(1), at)
	is(t, w, false, 0, 60)
	if get(w, wire.CounterRate) != 1 || len(open) != 2 || len(shown) != 2 {
		t.Fatalf("%d open windows with %v", len(open), shown)
	}
	r.add(decrypt(at, 1, 1), 60)
	if list := r.advance(at); len(list) != 0 {
		t.Errorf("the same anomaly is shown again: %v", list)
	}
	closed := r.advance(at + size)
	w = find(closed, keyOf(1), at)
	is(t, w, true, 1, 120)
	if get(w, wire.CounterRate) != 1 {
		t.Errorf("%d rate anomalies counted, want 1", get(w, wire.CounterRate))
	}
	for name, a := range anomalies(closed) {
		if shown[name].ID != a.ID {
			t.Errorf("%s has id %s at the close and had %s before", name, a.ID, shown[name].ID)
		}
		if open := shown[name]; open.Revision != 0 || open.Preview != 1 || a.Revision != 2 || a.Preview != 0 {
			t.Errorf("%s has the revision %d.%d before the close and %d.%d at it", name, open.Revision, open.Preview, a.Revision, a.Preview)
		}
	}
}

// A burst over windows that are all still open is one anomaly before they close, too.
func TestPreviewOfALongBurst(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	at, ids := begin+2*day, map[string]bool{}
	see := func(list []window.Result) {
		for _, a := range anomalies(list) {
			if a.Scope == wire.ScopeKey {
				ids[a.ID] = true
			}
		}
	}
	for w := range int64(3) { // the watermark is behind all of them
		r.add(decrypt(at+w*size, 1, 1), 60)
		see(r.advance(at))
	}
	see(r.advance(at + 3*size))
	if len(ids) != 1 {
		t.Errorf("%d anomalies of one burst", len(ids))
	}
}

// After a silence longer than the retention, nothing learned before counts, even while
// the entity still exists.
func TestPreviewAfterALongSilence(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.Retention = 2 * 24 * time.Hour
	r := newRig(t, cfg, false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	r.add(decrypt(begin+4*day-size, 1, 1), 60)
	if list := r.advance(begin + 2*day); len(list) != 2 {
		t.Errorf("%d windows shown at the end of the retention, want 2", len(list))
	}
	r.add(decrypt(begin+4*day, 2, 1), 60)
	if list := r.advance(begin + 2*day); len(list) != 0 {
		t.Errorf("shown by what was known long ago: %v", anomalies(list))
	}
}

// A pair's anomaly counts in the windows of its KMS key and its principal: at once, or
// for the principal by a notice to its owner.
func TestPairsAnomaliesCountInAllWindows(t *testing.T) {
	for _, notify := range []bool{false, true} {
		r := newRig(t, eager(), notify)
		r.routine(begin, begin+2*day, 1, 1, 1)
		r.notices = nil
		at := begin + 2*day
		r.add(decrypt(at, 1, 2), 1)
		list := r.advance(at + size)
		pair, key, principal := find(list, pairOf(1, 2), at), find(list, keyOf(1), at), find(list, roleOf(2), at)
		is(t, pair, true, 1, 1)
		is(t, key, true, 1, 1)
		is(t, principal, true, 1, 1)
		if len(pair.Anomalies) != 1 || get(pair, wire.CounterFirstSeen) != 1 || get(key, wire.CounterFirstSeen) != 1 || len(key.Anomalies) != 0 {
			t.Errorf("notify %v: the pair has %v, the key counts %v", notify, pair.Anomalies, key.Counters)
		}
		if !notify {
			if get(principal, wire.CounterFirstSeen) != 1 || len(list) != 3 {
				t.Errorf("the principal counts %v; %d windows published", principal.Counters, len(list))
			}
			continue
		}
		if len(r.notices) != 1 || get(principal, wire.CounterFirstSeen) != 0 {
			t.Fatalf("%d notices, the principal counts %v already", len(r.notices), principal.Counters)
		}
		if r.e.Merge(&r.notices[0]) {
			t.Fatal("the notice is late")
		}
		list = r.advance(at + size)
		principal = find(list, roleOf(2), at)
		is(t, principal, true, 2, 1)
		if get(principal, wire.CounterFirstSeen) != 1 || len(list) != 1 {
			t.Errorf("the principal counts %v; %d windows published", principal.Counters, len(list))
		}
	}
}

// A pair's first call may come when its key's window is closed: the key's window is then
// published again with the anomaly.
func TestLatePairsAnomaly(t *testing.T) {
	r := newRig(t, eager(), false)
	r.routine(begin, begin+2*day+size, 1, 1, 1)
	at := begin + 2*day
	r.add(decrypt(at, 1, 2), 1)
	list := r.advance(at + size)
	is(t, find(list, pairOf(1, 2), at), true, 1, 1)
	key := find(list, keyOf(1), at)
	is(t, key, true, 2, 2)
	if len(list) != 3 || get(key, wire.CounterFirstSeen) != 1 {
		t.Errorf("%d windows; the key counts %v", len(list), key.Counters)
	}
}

// A notice alone makes a window, which is published but teaches nothing.
func TestNoticeWithoutCalls(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), true)
	notice := wire.Partial{Entity: roleOf(1), Start: begin, Counters: []wire.Counter{{ID: wire.CounterFirstSeen, N: 1}}}
	r.e.Merge(&notice)
	if list := r.advance(begin); len(list) != 1 || list[0].Closed {
		t.Errorf("the anomaly is not shown: %v", list)
	}
	list := r.advance(begin + size)
	is(t, find(list, roleOf(1), begin), true, 1, 0)
	ent := r.entities()[roleOf(1)]
	if ent.Since != 0 || ent.Seen != 0 || ent.Baseline.Since != 0 {
		t.Errorf("the notice taught something: %+v", ent)
	}
	r.add(decrypt(begin, 1, 1), 3) // its calls arrive late
	is(t, find(r.advance(begin+size), roleOf(1), begin), true, 2, 3)
}

// entities returns the changes since the last call.
func (r *rig) entities() map[wire.Entity]*entity.Entity {
	found := map[wire.Entity]*entity.Entity{}
	r.e.Changes(func(name string, value []byte) {
		ent, err := entity.Decode(name, value)
		if err != nil {
			r.t.Fatal(err)
		}
		found[ent.Entity] = ent
	}, func(string) {})
	return found
}
