package window_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// steady lets KMS keys be used in every window of some time, and returns the published results.
func (r *rig) steady(from, to int64, calls map[int]int) (list []window.Result) {
	for at := from; at < to; at += size {
		for key, n := range calls {
			r.add(decrypt(at+minute, key, key), n)
		}
		list = append(list, r.advance(at+size)...)
	}
	return list
}

// silences returns the published windows with a silence.
func silences(list []window.Result) (found []window.Result) {
	for _, r := range list {
		for _, a := range r.Anomalies {
			if a.Kind == anomaly.KindSilence {
				found = append(found, r)
			}
		}
	}
	return found
}

// A KMS key in steady use falls silent while others go on: that is reported once, when
// enough is missing, and not again until it has had calls.
func TestSilence(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	both, one := map[int]int{1: 12, 2: 3}, map[int]int{2: 3}
	if list := silences(r.steady(begin, begin+8*day, both)); len(list) > 0 {
		t.Fatalf("%s", list[0].Anomalies[0].Reason)
	}
	at := begin + 8*day
	list := silences(r.steady(at, at+3*hour, one))
	if len(list) != 1 {
		t.Fatalf("%d silences, want 1", len(list))
	}
	w, a := list[0], list[0].Anomalies[0]
	// At least four windows, of 12 calls each: the third of them has 30, and by the
	// fourth a negative binomial is unlikely enough.
	check(t, anomaly.Anomaly{Kind: a.Kind, Detector: a.Detector, Score: a.Score, Observed: a.Observed, Expected: a.Expected, Reason: a.Reason, Start: a.Start, End: a.End, Calls: []string{"none"}, Techniques: a.Techniques, ID: a.ID},
		anomaly.KindSilence, "high", `KMS key \S+/1: not used since 2026-03-10 00:00Z, where 48 uses are expected by 2026-03-10 00:20Z \(probability .*\); the last weeks had no silence; learned since 2026-03-02 00:00Z\.`, 0, 48)
	if w.Entity != keyOf(1) || w.Start != at+3*size || !w.Closed || get(&w, wire.CounterSilence) != 1 || get(&w, wire.CounterCalls) != 0 {
		t.Errorf("window %s of %q with %v", stamp(w.Start), w.StateKey(), w.Counters)
	}
	if list := silences(r.steady(at+3*hour, at+3*day, one)); len(list) > 0 {
		t.Errorf("told again: %s", list[0].Anomalies[0].Reason)
	}
	var ended []string
	for _, w := range r.steady(at+3*day, at+4*day, both) {
		if w.Ended != "" {
			if ended = append(ended, w.Ended); w.Start != at+3*day || w.Entity != keyOf(1) {
				t.Errorf("it ends with the window of %q at %s", w.StateKey(), stamp(w.Start))
			}
		}
	}
	if !slices.Equal(ended, []string{a.ID}) {
		t.Errorf("%v ended with the calls, want %s", ended, a.ID)
	}
	// It was silent for three days: another such silence is not reported.
	if list := silences(r.steady(at+4*day, at+5*day, one)); len(list) > 0 {
		t.Errorf("no longer than before: %s", list[0].Anomalies[0].Reason)
	}
}

// A key that is young, rare, or has always paused is not missed.
func TestNoSilence(t *testing.T) {
	for name, f := range map[string]func(r *rig) []window.Result{
		"young": func(r *rig) []window.Result {
			r.steady(begin, begin+6*day, map[int]int{1: 12, 2: 3})
			return r.steady(begin+6*day, begin+7*day, map[int]int{2: 3})
		},
		"rare": func(r *rig) []window.Result {
			r.steady(begin, begin+9*day, map[int]int{2: 3})
			for d := int64(0); d < 9; d++ {
				r.add(decrypt(begin+9*day, 1, 1), 1)
			}
			return r.steady(begin+9*day, begin+12*day, map[int]int{2: 3})
		},
		"with its nights": func(r *rig) (list []window.Result) {
			for d := range int64(10) {
				list = append(list, r.steady(begin+d*day, begin+d*day+8*hour, map[int]int{1: 30, 2: 3})...)
				list = append(list, r.steady(begin+d*day+8*hour, begin+(d+1)*day, map[int]int{2: 3})...)
			}
			return list
		},
	} {
		if list := silences(f(newRig(t, window.DefaultConfig(), false))); len(list) > 0 {
			t.Errorf("%s: %s", name, list[0].Anomalies[0].Reason)
		}
	}
}

// If everything is silent, that is reported once; keys still silent when the others
// return are reported then.
func TestEverythingIsSilent(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	all := map[int]int{1: 20, 2: 10, 3: 12}
	r.steady(begin, begin+8*day, all)
	at := begin + 8*day
	var list []window.Result
	for i := range int64(24) { // the clock moves the watermark
		list = append(list, r.advance(at+i*size)...)
	}
	if found := silences(list); len(found) != 1 || found[0].Entity != keyOf(1) {
		t.Fatalf("%d silences", len(found))
	}
	found := silences(r.steady(at+2*hour, at+6*hour, map[int]int{1: 20, 3: 12}))
	if len(found) != 1 || found[0].Entity != keyOf(2) || !strings.Contains(found[0].Anomalies[0].Reason, "not used since 2026-03-10 02:00Z") {
		t.Fatalf("%d silences after it: %v", len(found), found)
	}
}

// Whatever jumps the watermark makes, a silence is reported with the same window.
func TestSilenceByJumps(t *testing.T) {
	want := ""
	for _, jump := range []int64{size, 3 * size, 7 * size, 40 * size} {
		r := newRig(t, window.DefaultConfig(), false)
		r.steady(begin, begin+8*day, map[int]int{1: 12, 2: 3})
		var list []window.Result
		for at := begin + 8*day; at < begin+8*day+120*size; at += jump {
			for i := int64(0); i < jump; i += size {
				r.add(decrypt(at+i, 2, 2), 3)
				if at+i >= begin+8*day+30*size {
					r.add(decrypt(at+i, 1, 1), 12)
				}
			}
			list = append(list, r.advance(at+jump)...)
		}
		found := silences(list)
		if len(found) != 1 {
			t.Fatalf("jumps of %s: %d silences", stamp(jump), len(found))
		}
		if got := describe(found[0]); want == "" {
			want = got
		} else if got != want {
			t.Errorf("jumps of %d windows:\n%s\nwant\n%s", jump/size, got, want)
		}
	}
}

// The baseline's mean covers all hours.
func TestMeanOfABaseline(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.steady(begin, begin+day, map[int]int{1: 12})
	ent := r.entities()[keyOf(1)]
	if mu := ent.Baseline.Mean(size); math.Abs(mu-12) > 0.01 {
		t.Errorf("mean %g, want 12", mu)
	}
	if n := count.Get(&ent.Windows[0].Partial, wire.CounterCalls); n != 12 {
		t.Errorf("%d calls", n)
	}
}
