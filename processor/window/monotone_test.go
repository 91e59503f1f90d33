package window_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// volume are the detectors of volume and number.
var volume = map[string]bool{"rate": true, "object_sweep": true, "secret_sweep": true, "fan_out": true, "refusals": true, "key_probing": true,
	"mass_destruction": true, "key_enumeration": true}

// attack is the number of calls per window from a time on, all alike.
type attack struct {
	at     int64
	counts []int
	like   func(c *count.Call, i int)
}

// hits reports whether a detector of volume or number finds the attack after a background.
func (a *attack) hits(t *testing.T, background func(r *rig)) bool {
	r := newRig(t, window.DefaultConfig(), false)
	background(r)
	found, i := false, 0
	for k, n := range a.counts {
		start := a.at + int64(k)*size
		for range n {
			c := decrypt(start, 1, 1)
			a.like(&c, i)
			c.IDText = fmt.Sprint("attack ", i)
			c.ID = wire.ParseCallID(c.IDText)
			r.add(c, 1)
			i++
		}
		for _, res := range r.advance(start + size) {
			for _, f := range res.Anomalies {
				found = found || volume[f.Detector]
			}
		}
	}
	return found
}

// More calls of the same actor, key, operation and outcome never hide an attack that fewer
// calls show, whatever the background and the age of the entities.
func TestMoreCallsNeverHide(t *testing.T) {
	kinds := map[string]func(c *count.Call, i int){
		"uses":    func(*count.Call, int) {},
		"objects": func(c *count.Call, i int) { c.Context, c.Object = kms.ContextS3Object, uint64(i)<<32+1 },
		"secrets": func(c *count.Call, i int) { c.Context, c.Object = kms.ContextSecret, uint64(i)<<32+1 },
		"refused": func(c *count.Call, _ int) { c.Outcome = kms.OutcomeDenied },
	}
	shown, hidden := 0, 0
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 17))
		days, hours := int64(1+rng.IntN(9)), int64(1+rng.IntN(20))
		mean, busy := []float64{0.02, 0.3, 2}[rng.IntN(3)], rng.IntN(3) == 0
		background := func(r *rig) {
			rng := rand.New(rand.NewPCG(seed, 18))
			for at := begin; at < begin+days*day; at += size {
				n := 0
				for rng.Float64() < mean/(1+mean) {
					n++
				}
				if busy && rng.IntN(400) == 0 {
					n += 1 + rng.IntN(30)
				}
				if n > 0 {
					r.add(decrypt(at, 1, 1), n)
					r.advance(at + size)
				}
			}
		}
		for name, like := range kinds {
			a := attack{at: begin + days*day + hours*hour, counts: make([]int, 1+rng.IntN(8)), like: like}
			for k := range a.counts {
				a.counts[k] = rng.IntN([]int{12, 50, 300}[rng.IntN(3)])
			}
			if !a.hits(t, background) {
				continue
			}
			shown++
			before := append([]int(nil), a.counts...)
			for k := range a.counts {
				if rng.IntN(2) == 0 {
					a.counts[k] += rng.IntN(40)
				}
			}
			if !a.hits(t, background) {
				if hidden++; hidden < 5 {
					t.Errorf("seed %d: %s, %d days, mean %g: %v is found, and %v is not", seed, name, days, mean, before, a.counts)
				}
			}
		}
	}
	if shown < 40 {
		t.Errorf("%d attacks are found: this tests little", shown)
	}
}

// A burst on a key that is sixteen hours old is found; the start of a program is not.
func TestYoungKey(t *testing.T) {
	found := func(before int64, perWindow, burst int) bool {
		r := newRig(t, window.DefaultConfig(), false)
		if before > 0 {
			r.routine(begin, begin+before, 1, 1, perWindow)
		}
		r.add(decrypt(begin+before, 1, 1), burst)
		_, ok := anomalies(r.advance(begin + before + size))["key rate"]
		return ok
	}
	if !found(16*hour, 1, 566) {
		t.Error("a burst of 566 after sixteen hours is not found")
	}
	for _, c := range []struct {
		before           int64
		perWindow, burst int
	}{{0, 0, 566}, {hour, 1, 566}, {16 * hour, 40, 566}, {16 * hour, 1, 300}} {
		if found(c.before, c.perWindow, c.burst) {
			t.Errorf("%d uses after %d hours of %d a window are found", c.burst, c.before/hour, c.perWindow)
		}
	}
}

// Members of a family that uses a KMS key all the time are expected, unless there are
// many more of them, or they come from another account, or are refused.
func TestFamilies(t *testing.T) {
	build := func(account string, i int) string {
		return fmt.Sprintf("arn:aws:iam::%s:role/build-%08x", account, uint32(i)*2654435761)
	}
	r := newRig(t, eager(), false)
	call := func(at int64, who string) count.Call {
		c := decrypt(at, 1, 1)
		c.Principal, c.IDText = who, fmt.Sprint(who, at)
		c.ID = wire.ParseCallID(c.IDText)
		return c
	}
	i := 0
	for at := begin; at < begin+3*day; at += size {
		r.add(call(at, build("111122223333", i)), 1)
		i++
		r.advance(at + size)
	}
	at := begin + 3*day
	r.add(call(at, build("111122223333", i)), 1)
	expect(t, r.advance(at+size))
	at += size
	r.add(call(at, build("444455556666", i)), 1)
	expect(t, r.advance(at+size), "pair first_use")
	at += size
	refused := call(at, build("111122223333", i+1))
	refused.Outcome = kms.OutcomeDenied
	r.add(refused, 1)
	expect(t, r.advance(at+size), "pair first_use")
	at += size
	for k := range 12 {
		r.add(call(at, build("111122223333", i+10+k)), 1)
	}
	expect(t, r.advance(at+size), "key fan_out")
}

// A window that ends within the attempts hides neither refusals nor probing, wherever it
// ends, and attempts that are a quarter of an hour apart are as few as they look.
func TestRefusalsAcrossWindows(t *testing.T) {
	f := func(first, second, apart int, want ...string) {
		t.Helper()
		r := newRig(t, window.DefaultConfig(), false)
		try := func(at int64, from, n int) []window.Result {
			for k := range n {
				c := decrypt(at, from+k, 2)
				c.Outcome, c.IDText = kms.OutcomeDenied, fmt.Sprint(at, k)
				c.ID = wire.ParseCallID(c.IDText)
				r.add(c, 1)
			}
			return r.advance(at + size)
		}
		expect(t, try(begin, 100, first))
		expect(t, try(begin+int64(apart)*size, 200, second), want...)
	}
	f(3, 1, 1, "principal key_probing")
	f(1, 3, 1, "principal key_probing")
	f(3, 3, 1, "principal key_probing")
	f(3, 3, 2)
	f(2, 1, 1)
	f(3, 0, 1)
	r := newRig(t, window.DefaultConfig(), false)
	expect(t, r.refused(begin, 2, 5, 1, 0))
	expect(t, r.refused(begin+size, 2, 5, 1, 0), "key refusals", "principal refusals")
}

// The clocks of rate share one anomaly: that of hours begins it, and that of a window
// continues it under the same id, with a higher score and revision.
func TestClocksShareAnAnomaly(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+8*day, 1, 1, 1)
	ids, revision, score, published := map[string]bool{}, int64(-1), 0.0, 0
	for k, n := range []int{9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 500} {
		at := begin + 8*day + int64(k)*size
		r.add(decrypt(at, 1, 1), n)
		a, ok := anomalies(r.advance(at + size))["key rate"]
		if !ok {
			continue
		}
		if published++; a.Revision <= revision || a.Score < score {
			t.Errorf("after %d windows: revision %d after %d, score %g after %g", k, a.Revision, revision, a.Score, score)
		}
		ids[a.ID], revision, score = true, a.Revision, a.Score
	}
	if len(ids) != 1 || published < 2 {
		t.Errorf("%d anomalies in %d publications, want one in several", len(ids), published)
	}
}
