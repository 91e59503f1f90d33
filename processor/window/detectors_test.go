package window_test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/baseline"
	"keytrail/processor/entity"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// expect checks that exactly the named anomalies ("scope detector") were found.
func expect(t *testing.T, list []window.Result, want ...string) map[string]anomaly.Anomaly {
	t.Helper()
	found := anomalies(list)
	for name, a := range found {
		if !slices.Contains(want, name) {
			t.Errorf("%s should not be: %s", name, a.Reason)
		}
	}
	for _, name := range want {
		if _, ok := found[name]; !ok {
			t.Errorf("%s is not found", name)
		}
	}
	return found
}

// check compares an anomaly's fields.
func check(t *testing.T, a anomaly.Anomaly, kind anomaly.Kind, severity, reason string, observed, expected float64) {
	t.Helper()
	if a.Kind != kind || a.Severity() != severity || a.Observed != observed || math.Abs(a.Expected-expected) > 1e-5*(expected+1) {
		t.Errorf("%s: kind %s, severity %s (%g), observed %g, expected %g; want %s, %s, %g, %g",
			a.Detector, a.Kind, a.Severity(), a.Score, a.Observed, a.Expected, kind, severity, observed, expected)
	}
	if !regexp.MustCompile("^" + reason + "$").MatchString(a.Reason) {
		t.Errorf("%s says\n%s\nwant\n%s", a.Detector, a.Reason, reason)
	}
	if a.End != a.Start+size || len(a.Calls) == 0 || len(a.Techniques) == 0 || !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(a.ID) {
		t.Errorf("%s: window [%d, %d), calls %q, techniques %q, id %q", a.Detector, a.Start, a.End, a.Calls, a.Techniques, a.ID)
	}
}

func TestRate(t *testing.T) {
	f := func(calls int, warmUp int64, edit func(*window.Config), want ...string) map[string]anomaly.Anomaly {
		t.Helper()
		cfg := window.DefaultConfig()
		edit(&cfg)
		r := newRig(t, cfg, false)
		r.routine(begin, begin+warmUp, 1, 1, 2)
		r.add(decrypt(begin+warmUp, 1, 1), calls)
		return expect(t, r.advance(begin+warmUp+size), want...)
	}
	usual := func(c *window.Config) { c.Threshold = 1e-6 }
	found := f(40, 2*day, usual, "key rate", "principal rate")
	// The tail by hand: a negative binomial of mean 2 and minimum dispersion.
	p := baseline.UpperTail(40, 2, 0.02)
	check(t, found["key rate"], anomaly.KindRate, "critical",
		`KMS key arn:aws:kms:eu-central-1:111122223333:key/1: 40 uses in 5m where 2 are expected at this hour \(probability below 1 in a billion billion\) and the most on a usual day is 2; learned since 2026-03-02 00:00Z\.`, 40, 2)
	check(t, found["principal rate"], anomaly.KindRate, "critical", `arn:aws:iam::111122223333:role/1: 40 uses in 5m where 2 .*`, 40, 2)
	if got := found["key rate"].Score; math.Abs(got+math.Log10(p)) > 0.01 {
		t.Errorf("score %g, want %g", got, -math.Log10(p))
	}
	few := func(c *window.Config) { c.Threshold, c.MinCount = 1e-6, 5 }
	found = f(14, 2*day, few, "key rate", "principal rate")
	p = baseline.UpperTail(14, 2, 0.02)
	check(t, found["key rate"], anomaly.KindRate, "medium", fmt.Sprintf(`KMS key \S+: 14 uses in 5m where 2 are expected at this hour \(probability 1 in %.0f million\) and the most on a usual day is 2; learned since 2026-03-02 00:00Z\.`, 1/p/1e6), 14, 2)

	f(14, 2*day, usual)                                          // unlikely, but below the minimum count
	f(40, day-size, usual)                                       // not learned for long enough
	f(40, day, usual, "key rate", "principal rate")              // just long enough
	f(8, 2*day, few)                                             // not unlikely enough
	f(2, 2*day, few)                                             // as always
	f(40, 2*day, func(c *window.Config) { c.Threshold = 1e-60 }) // not unlikely enough
}

// Expected counts are written for people, however large or small.
func TestRateOfTheBusyAndTheRare(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 1500)
	at := begin + 2*day
	r.add(decrypt(at, 1, 1), 9000)
	found := expect(t, r.advance(at+size), "key rate", "principal rate")
	check(t, found["key rate"], anomaly.KindRate, "critical", `KMS key \S+: 9000 uses in 5m where 1500 are expected at this hour .*`, 9000, 1500)

	r = newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+size, 1, 1, 1)
	r.routine(begin+28*day, begin+28*day+size, 1, 1, 1)
	at = begin + 29*day + 7*hour
	r.add(decrypt(at, 1, 1), 40)
	found = expect(t, r.advance(at+size), "key rate", "principal rate")
	if !contains(found["key rate"].Reason, "40 uses in 5m where less than 0.001 are expected") {
		t.Error(found["key rate"].Reason)
	}
}

// An attack must not become normal; a lasting change must.
func TestRateOfALastingChange(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	flagged := 0
	for at := begin + 2*day; at < begin+4*day; at += size {
		r.add(decrypt(at, 1, 1), 60)
		if _, ok := anomalies(r.advance(at + size))["key rate"]; ok {
			flagged++
		}
	}
	if flagged < 5 || flagged > 200 {
		t.Errorf("%d of 576 windows were flagged before the change was learned", flagged)
	}
}

// Calls without a KMS key have a rhythm too.
func TestRateWithoutAKey(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	c := decrypt(begin, 1, 1)
	c.Key = kms.NoEntity
	for c.Time = begin; c.Time < begin+2*day; c.Time += size {
		r.add(c, 1)
		r.advance(c.Time + size)
	}
	r.add(c, 50)
	found := expect(t, r.advance(c.Time+size), "key rate", "principal rate")
	if !strings.HasPrefix(found["key rate"].Reason, "Calls without a KMS key: 50 uses in 5m") {
		t.Error(found["key rate"].Reason)
	}
}

func TestFirstUse(t *testing.T) {
	cfg := eager()
	cfg.Retention = 3 * 24 * time.Hour
	r := newRig(t, cfg, false)
	r.routine(begin, begin+day-size, 1, 1, 1)
	r.add(decrypt(begin+day-size, 1, 2), 1)
	expect(t, r.advance(begin+day)) // the KMS key has been known for less than a day
	at := begin + 2*day
	r.routine(begin+day, at, 1, 1, 1)
	r.add(decrypt(at, 1, 3), 1)
	r.add(decrypt(at, 1, 1), 1)
	r.add(decrypt(at, 1, 2), 1) // it has used the key before
	r.add(decrypt(at, 9, 9), 1) // the key is new as well
	list := r.advance(at + size)
	found := expect(t, list, "pair first_use")
	check(t, found["pair first_use"], anomaly.KindFirstSeen, "low",
		`arn:aws:iam::111122223333:role/3 used KMS key arn:aws:kms:eu-central-1:111122223333:key/1 for the first time \(1 use in 5m, probability below 1 in 577\), a key that few use; others have used the key since 2026-03-02 00:00Z\.`, 1, 0)
	if a := found["pair first_use"]; a.Score != 5 || a.Entity != pairOf(1, 3) {
		t.Errorf("score %g of %s, want 5", a.Score, a.StateKey())
	}
	r.add(decrypt(at+size, 1, 3), 2)
	expect(t, r.advance(at+2*size)) // not again
	r.add(decrypt(at-size, 1, 3), 1)
	expect(t, r.advance(at+2*size)) // not for an earlier call that comes late
	// After the retention it is new again, whether or not it was forgotten.
	r.routine(at+2*size, at+4*day, 1, 1, 1)
	r.add(decrypt(at+4*day, 1, 3), 2)
	found = expect(t, r.advance(at+4*day+size), "pair first_use")
	if !contains(found["pair first_use"].Reason, "(2 uses in 5m, probability below 1 in 1729)") {
		t.Error(found["pair first_use"].Reason)
	}
	c := decrypt(at+4*day+size, 1, 5)
	c.Key = kms.NoEntity
	r.add(c, 1)
	expect(t, r.advance(at+4*day+2*size)) // no KMS key
}

// secrets lets a principal read n different secrets.
func (r *rig) secrets(at int64, principal, n int) []window.Result {
	for i := range n {
		c := decrypt(at, 1, principal)
		c.Context, c.Object = kms.ContextSecret, uint64(1000+i)
		if i%2 == 0 {
			c.Context = kms.ContextSSMParameter
		}
		r.add(c, 1)
	}
	return r.advance(at + size)
}

func TestSecretSweep(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	expect(t, r.secrets(begin, 1, 14))
	found := expect(t, r.secrets(begin, 2, 15), "principal secret_sweep") // late, and new: it needs no past
	check(t, found["principal secret_sweep"], anomaly.KindFanOut, "high",
		`arn:aws:iam::111122223333:role/2 touched 15 different secrets or parameters in 5m; it was not seen before\.`, 15, 0)
	expect(t, r.secrets(begin+size, 1, 41)) // less than three times what it did before
	found = expect(t, r.secrets(begin+2*size, 1, 123), "principal secret_sweep")
	check(t, found["principal secret_sweep"], anomaly.KindFanOut, "high", `.* touched 123 different secrets or parameters in 5m; the most in any window since 2026-03-02 00:00Z was 41 \(probability below 1 in 3\)\.`, 123, 41)
	found = expect(t, r.secrets(begin+3*size, 3, 600), "principal secret_sweep")
	check(t, found["principal secret_sweep"], anomaly.KindFanOut, "high", `.* touched at least 512 different .*`, 512, 0)
	// The same objects, but not as secrets.
	for i := range 100 {
		c := decrypt(begin+4*size, 1, 4)
		c.Context, c.Object = kms.ContextS3Object, uint64(i+1)
		r.add(c, 1)
	}
	expect(t, r.advance(begin+5*size))
}

func TestFanOut(t *testing.T) {
	cfg := eager()
	cfg.WarmUp, cfg.NewPeers = time.Hour, 512
	// keys lets a principal use n KMS keys that nobody else uses.
	keys := func(r *rig, at int64, principal, n int) []window.Result {
		for i := range n {
			r.add(decrypt(at, 1000*principal+i, principal), 1)
		}
		return r.advance(at + size)
	}
	r := newRig(t, cfg, false)
	expect(t, keys(r, begin, 1, 30))              // without a past
	expect(t, keys(r, begin+size, 1, 2))          // and nothing
	expect(t, keys(r, begin+hour+size, 1, 89))    // less than three times the most
	expect(t, keys(r, begin+hour+2*size, 2, 2))   // another one
	expect(t, keys(r, begin+2*hour+3*size, 2, 7)) // too few
	found := expect(t, keys(r, begin+2*hour+4*size, 2, 21), "principal fan_out")
	check(t, found["principal fan_out"], anomaly.KindFanOut, "medium",
		`arn:aws:iam::111122223333:role/2 used 21 different KMS keys in 5m; the most in any window since 2026-03-02 01:10Z was 7 \(probability below 1 in 15\)\.`, 21, 7)

	r = newRig(t, cfg, false)
	r.add(decrypt(begin, 1, 1), 1)
	r.advance(begin + size)
	at := begin + hour
	for i := range 16 {
		r.add(decrypt(at, 1, i+1), 1)
	}
	list := r.advance(at + size)
	found = expect(t, list, "key fan_out", "pair first_use")
	check(t, found["key fan_out"], anomaly.KindFanOut, "high",
		`KMS key arn:aws:kms:eu-central-1:111122223333:key/1 was used by 16 different principals in 5m; the most in any window since 2026-03-02 00:00Z was 1 \(probability below 1 in 13\)\.`, 16, 1)
	if key := find(list, keyOf(1), at); get(key, wire.CounterFirstSeen) != 15 || get(key, wire.CounterFanOut) != 1 || anomaly.Count(&key.Partial) != 16 {
		t.Errorf("the key's window counts %v", key.Counters)
	}
}

// refused makes n refused calls by a principal on each of some KMS keys, beside some
// successful calls.
func (r *rig) refused(at int64, principal, n, keys, fine int) []window.Result {
	for k := range keys {
		c := decrypt(at, 100*principal+k, principal)
		c.Outcome = kms.OutcomeDenied
		r.add(c, n)
	}
	if fine > 0 {
		r.add(decrypt(at, 100*principal, principal), fine)
	}
	return r.advance(at + size)
}

func TestRefusals(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	expect(t, r.refused(begin, 1, 7, 1, 0)) // too few
	found := expect(t, r.refused(begin, 2, 8, 1, 0), "key refusals", "principal refusals")
	check(t, found["key refusals"], anomaly.KindRefusals, "medium", `KMS key arn:aws:kms:eu-central-1:111122223333:key/200: 8 of 8 calls refused in 5m, where 0\.5 are expected of so many \(probability 1 in 6561\)\.`, 8, 0.5)
	check(t, found["principal refusals"], anomaly.KindRefusals, "medium", `arn:aws:iam::111122223333:role/2: 8 of 8 calls refused in 5m, where 0\.5 are expected of so many \(probability 1 in 6561\)\.`, 8, 0.5)
	expect(t, r.refused(begin, 3, 8, 1, 100)) // a broken permission of a busy principal
	found = expect(t, r.refused(begin, 4, 400, 1, 100), "key refusals", "principal refusals")
	check(t, found["principal refusals"], anomaly.KindRefusals, "critical", `.*: 400 of 500 calls refused in 5m, where 10\.5 are expected of so many \(probability 1 in \d+ million million\)\.`, 400, 10.5)
	c := decrypt(begin+size, 5, 5)
	c.Outcome = kms.OutcomeFailed
	r.add(c, 100) // failed for another cause
	expect(t, r.advance(begin+2*size))
}

func TestProbing(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	expect(t, r.refused(begin, 1, 1, 3, 0)) // too few KMS keys
	found := expect(t, r.refused(begin, 2, 1, 4, 50), "principal key_probing")
	check(t, found["principal key_probing"], anomaly.KindRefusals, "high",
		`arn:aws:iam::111122223333:role/2 was refused on 4 different KMS keys in 5m, as by somebody who tries out keys\. None are expected, whatever came before\.`, 4, 0)
	list := r.refused(begin+size, 3, 1, 600, 0)
	found = expect(t, list, "principal key_probing", "principal refusals")
	check(t, found["principal key_probing"], anomaly.KindRefusals, "high", `.* was refused on at least 512 different KMS keys in 5m, .*`, 512, 0)
	if w := find(list, roleOf(3), begin+size); get(w, wire.CounterRefusals) != 2 {
		t.Errorf("%d anomalies of kind refusals counted, want 2", get(w, wire.CounterRefusals))
	}
}

// The collector's own calls are counted, but neither judged nor learned.
func TestSelfCallsAreNotJudged(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	self := func(at int64, n int) {
		for i := range n {
			c := decrypt(at, i, 7)
			c.Self, c.Outcome, c.Context, c.Object = true, kms.OutcomeDenied, kms.ContextSecret, uint64(i+1)
			r.add(c, 1)
		}
	}
	for at := begin; at < begin+2*day; at += size {
		self(at, 2)
		expect(t, r.advance(at+size))
	}
	at := begin + 2*day
	self(at, 200)
	list := r.advance(at + size)
	expect(t, list)
	if w := find(list, roleOf(7), at); get(w, wire.CounterCalls) != 200 || get(w, wire.CounterSelf) != 200 || get(w, wire.CounterDenied) != 200 {
		t.Errorf("the window counts %v", w.Counters)
	}
	for e, ent := range r.entities() {
		if ent.Since != 0 || ent.Baseline.Since != 0 || ent.High != [wire.NumSets]int{} {
			t.Errorf("%s has learned: since %d, baseline since %d, %v", e.StateKey(), ent.Since, ent.Baseline.Since, ent.High)
		}
	}
	// For others the KMS key is new, and its usual rate unknown.
	r.add(decrypt(at+size, 0, 1), 100)
	self(at+size, 1)
	list = r.advance(at + 2*size)
	expect(t, list)
	if ent := r.entities()[keyOf(0)]; ent.Since != at+size {
		t.Errorf("the key is known since %s", stamp(ent.Since))
	}
}

// Silence between a window's calls is learned alike, with or without windows of only the
// collector's calls or only notices in it.
func TestWindowsWithoutCallsAreSilence(t *testing.T) {
	learn := func(disturb bool) *entity.Entity {
		r := newRig(t, window.DefaultConfig(), true)
		var ent *entity.Entity
		for at := begin; at < begin+day; at += size {
			if at%(40*minute) == 0 {
				r.add(decrypt(at, 1, 1), 3)
			} else if disturb && at%(2*size) == 0 {
				c := decrypt(at, 1, 1)
				c.Self = true
				r.add(c, 5)
			} else if disturb {
				r.e.Merge(&wire.Partial{Entity: keyOf(1), Start: at, Counters: []wire.Counter{{ID: wire.CounterFirstSeen, N: 1}}})
			}
			r.advance(at + size)
			if e := r.entities()[keyOf(1)]; e != nil {
				ent = e
			}
		}
		return ent
	}
	a, b := learn(false), learn(true)
	if a.Baseline != b.Baseline || a.Since != b.Since || a.Seen != b.Seen || a.High != b.High {
		t.Errorf("learned %+v, and with windows without calls between %+v", a.Baseline, b.Baseline)
	}
}

// Equal anomalies have equal ids, and different ones different ids.
func TestIDs(t *testing.T) {
	ids := map[string]string{}
	for run := range 2 {
		for w := range int64(3) {
			for principal := range 3 {
				r := newRig(t, window.DefaultConfig(), false)
				for _, a := range anomalies(r.refused(begin+w*size, principal, 8, 4, 0)) {
					name := fmt.Sprintf("%s %s %d", a.StateKey(), a.Detector, a.Start)
					if old, ok := ids[name]; run == 1 && (!ok || old != a.ID) {
						t.Errorf("%s has id %s, and had %s", name, a.ID, old)
					}
					ids[name] = a.ID
				}
			}
		}
	}
	distinct := map[string]bool{}
	for _, id := range ids {
		distinct[id] = true
	}
	if len(distinct) != len(ids) || len(ids) < 18 {
		t.Errorf("%d ids for %d anomalies", len(distinct), len(ids))
	}
	windows := map[string]bool{}
	for _, e := range []wire.Entity{keyOf(1), keyOf(2), roleOf(1), pairOf(1, 1), pairOf(1, 2), pairOf(2, 1)} {
		for _, start := range []int64{begin, begin + size} {
			for _, s := range []int64{size, 2 * size} {
				windows[anomaly.WindowID(e, start, s)] = true
			}
		}
	}
	if len(windows) != 24 {
		t.Errorf("%d ids for 24 windows", len(windows))
	}
}
