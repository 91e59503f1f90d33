package window_test

import (
	"fmt"
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// A principal with a new network and a new program: both at once are an anomaly, each
// alone is not, and each is known from then on.
func TestNewOrigin(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	from := func(at int64, network, client uint32, n int, want ...string) map[string]anomaly.Anomaly {
		t.Helper()
		c := decrypt(at, 1, 1)
		c.Network, c.Client = network, client
		r.add(c, n)
		return expect(t, r.advance(at+size), want...)
	}
	for at := begin; at < begin+7*day; at += hour {
		from(at, 10, 20, 1)
	}
	from(begin+7*day-size, 11, 21, 2) // watched for less than a week
	at := begin + 7*day
	from(at, 12, 20, 2)        // another network
	from(at+size, 10, 22, 2)   // another program
	from(at+2*size, 12, 22, 2) // both are known now
	found := from(at+4*size, 31, 41, 3, "principal new_origin")
	check(t, found["principal new_origin"], anomaly.KindFirstSeen, "medium",
		`arn:aws:iam::111122223333:role/1: 3 calls in 5m from a network that it never used, with a program that it never used \(probability below 1 in 2021\); 3 networks and 3 programs were seen since 2026-03-02 00:00Z\.`, 3, 0)
	from(at+5*size, 31, 41, 2)
}

// The last sixteen are known.
func TestManyOrigins(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	for i := range 40 {
		c := decrypt(begin+int64(i)*size, 1, 1)
		c.Network, c.Client = uint32(i+1), uint32(i+1)
		r.add(c, 1)
		r.advance(c.Time + size)
	}
	h := r.entities()[roleOf(1)].Habits
	if len(h.Networks) != 16 || len(h.Clients) != 16 || h.Networks[15] != 40 || h.Networks[0] != 25 {
		t.Errorf("networks %v, programs %v", h.Networks, h.Clients)
	}
}

// objects lets a principal touch n objects, starting at number first.
func (r *rig) objects(at int64, principal, first, n int) []window.Result {
	for i := range n {
		c := decrypt(at, 1, principal)
		c.Context, c.Object = kms.ContextS3Object, wire.EntityHash(fmt.Sprint("object ", first+i))
		r.add(c, 1)
	}
	return r.advance(at + size)
}

func TestObjectSweep(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.MinCount = 100_000 // disables rate anomalies
	r := newRig(t, cfg, false)
	expect(t, r.objects(begin, 1, 0, 30))
	expect(t, r.objects(begin+day-size, 1, 0, 25)) // watched for less than a day
	expect(t, r.objects(begin+day, 1, 0, 59))      // too few
	expect(t, r.objects(begin+day+size, 1, 0, 160))
	found := expect(t, r.objects(begin+day+2*size, 1, 0, 480), "principal object_sweep")
	check(t, found["principal object_sweep"], anomaly.KindFanOut, "medium",
		`arn:aws:iam::111122223333:role/1 touched 480 different objects in 5m; the most in any window since 2026-03-02 00:00Z was 160 \(probability below 1 in 291\)\.`, 480, 160)
	expect(t, r.objects(begin+day+3*size, 1, 0, 512)) // its usual number
}

// A slow theft shows in no window but in the day; it is one anomaly for all its days.
func TestObjectDrip(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.MinCount = 1000
	r := newRig(t, cfg, false)
	first := 0
	for d := range int64(6) { // ten a day, the same ones
		for w := range int64(10) {
			expect(t, r.objects(begin+d*day+w*hour, 1, int(w), 1))
		}
	}
	at := begin + 6*day
	ids, windows := map[string]int{}, 0
	for w := range int64(2 * 24 * 12) { // one new object in every second window
		first++
		for _, res := range r.objects(at+w*size, 1, 1000+first, int(w%2)) {
			for _, a := range res.Anomalies {
				if a.Detector != "object_drip" {
					t.Fatal(a.Reason)
				}
				ids[a.ID]++
				windows += int(get(&res, wire.CounterFanOut))
				if len(ids) == 1 && ids[a.ID] == 1 {
					check(t, a, anomaly.KindFanOut, "medium", `arn:aws:iam::111122223333:role/1 has made calls for about 61 different objects since midnight \(UTC\); the most on any day of the last weeks was 10 \(probability below 1 in 7 days\); watched since 2026-03-02 00:00Z\.`, 61, 10)
				}
			}
		}
	}
	if len(ids) != 1 || windows != 1 {
		t.Errorf("%d anomalies, counted in %d windows", len(ids), windows)
	}
}

// A day with far more calls than any other, but without an unusual window.
func TestCallDrip(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	days := func(from, to int64, n int) (found []anomaly.Anomaly) {
		for at := from; at < to; at += 30 * minute {
			r.add(decrypt(at, 1, 1), n)
			for _, a := range anomalies(r.advance(at + size)) {
				found = append(found, a)
			}
		}
		return found
	}
	if found := days(begin, begin+6*day, 2); len(found) > 0 { // 96 a day
		t.Fatal(found[0].Reason)
	}
	found := days(begin+6*day, begin+8*day, 6)
	ids := map[string]bool{}
	for _, a := range found {
		ids[a.ID] = true
	}
	if len(ids) != 1 {
		t.Fatalf("%d anomalies", len(ids))
	}
	check(t, found[0], anomaly.KindRate, "medium", `arn:aws:iam::111122223333:role/1: 462 uses since yesterday \(UTC\), where 205 are usual in two days \(probability 1 in 419\); learned since 2026-03-02 00:00Z\.`, 462, 205)
}

// Several new peers at once: of a principal and of a KMS key.
func TestNewPeers(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+day, 1, 1, 1)
	at := begin + day
	for k := range 4 {
		r.add(decrypt(at, 10+k, 1), 1)
	}
	expect(t, r.advance(at+size)) // too few
	for k := range 9 {
		r.add(decrypt(at+size, 10+k, 1), 1) // four of them are known by now
	}
	found := expect(t, r.advance(at+2*size), "principal new_peers")
	check(t, found["principal new_peers"], anomaly.KindFanOut, "medium",
		`arn:aws:iam::111122223333:role/1 used 5 KMS keys that it never used before in 5m; watched since 2026-03-02 00:00Z \(probability below 1 in 290\)\.`, 5, 0)
	for p := range 6 {
		r.add(decrypt(at+2*size, 1, 20+p), 1)
	}
	found = expect(t, r.advance(at+3*size), "key new_peers")
	check(t, found["key new_peers"], anomaly.KindFanOut, "medium",
		`KMS key \S+/1 was used by 6 principals that never used it before in 5m; watched since 2026-03-02 00:00Z \(probability below 1 in 291\)\.`, 6, 0)
}

func TestMassDestruction(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	destroy := func(at int64, principal, keys, again int) []window.Result {
		for k := range keys {
			c := decrypt(at, k, principal)
			c.Class = kms.ClassDestroy
			r.add(c, again)
		}
		return r.advance(at + size)
	}
	expect(t, destroy(begin, 1, 2, 2))
	found := expect(t, destroy(begin+size, 1, 3, 1), "principal mass_destruction")
	check(t, found["principal mass_destruction"], anomaly.KindFanOut, "critical",
		`arn:aws:iam::111122223333:role/1 called for the disabling or the deletion of 3 different KMS keys, or of their material, in 5m: 3 calls, of which 3 succeeded; none are expected, whatever came before\.`, 3, 0)
}

// An unusable KMS key is one anomaly for as long as somebody tries.
func TestUnusableKey(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	ids := map[string]bool{}
	counted := int64(0)
	for i := range int64(30) {
		c := decrypt(begin+i*hour, 1, 1)
		c.Unusable, c.Outcome = true, kms.OutcomeFailed
		r.add(c, 2)
		list := r.advance(c.Time + size)
		if i%12 > 0 { // it goes on, and is told again before it would end
			expect(t, list)
			counted += get(find(list, keyOf(1), c.Time), wire.CounterRefusals)
			continue
		}
		found := expect(t, list, "key unusable_key")
		if i > 0 {
			if a := found["key unusable_key"]; a.Began != begin || a.Start != c.Time {
				t.Errorf("in %s, began %s", stamp(a.Start), stamp(a.Began))
			}
		} else {
			check(t, found["key unusable_key"], anomaly.KindRefusals, "medium", `KMS key \S+/1 is disabled or waits for its deletion: 2 calls failed for that reason in 5m, where none are expected\.`, 2, 0)
		}
		ids[found["key unusable_key"].ID] = true
		counted += get(find(list, keyOf(1), c.Time), wire.CounterRefusals)
	}
	if len(ids) != 1 || counted != 1 {
		t.Errorf("%d anomalies, counted %d times", len(ids), counted)
	}
}

// A continuing burst is one anomaly, counted in its first window; the level is known on
// the next day.
func TestARateGoesOn(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	ids, counted, published := map[string]bool{}, int64(0), 0
	for at := begin + 2*day; at < begin+3*day; at += size {
		r.add(decrypt(at, 1, 1), 80)
		list := r.advance(at + size)
		for _, a := range anomalies(list) {
			if a.Scope == wire.ScopeKey {
				ids[a.ID] = true
				published++
				if a.Began != begin+2*day || a.Start != at || a.At != at+size || a.Revision != 2+2*(at-a.Began)/size || a.Until != at+size+day {
					t.Fatalf("in %s, at %s, began %s, revision %d", stamp(a.Start), stamp(a.At), stamp(a.Began), a.Revision)
				}
			}
		}
		counted += get(find(list, keyOf(1), at), wire.CounterRate)
	}
	if len(ids) != 1 || counted != 1 {
		t.Errorf("%d anomalies, counted %d times", len(ids), counted)
	}
	if published > 6 {
		t.Errorf("it is published %d times", published)
	}
	for at := begin + 3*day; at < begin+4*day; at += size { // the level of yesterday is known
		r.add(decrypt(at, 1, 1), 80)
		if found := anomalies(r.advance(at + size)); len(found) > 0 {
			t.Fatalf("%s: %v", stamp(at), found)
		}
	}
}

// An anomaly requires far more than the top of a usual day, and more so the more the tops
// of days differ.
func TestPeak(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	for d := range int64(5) {
		r.routine(begin+d*day, begin+d*day+10*hour, 1, 1, 1)
		r.add(decrypt(begin+d*day+10*hour, 1, 1), 40) // a job
		r.add(decrypt(begin+d*day+10*hour, 2, 2), []int{20, 60, 10, 90, 40}[d])
		r.advance(begin + d*day + 10*hour + size)
		r.routine(begin+d*day+10*hour+size, begin+(d+1)*day, 1, 1, 1)
	}
	at := begin + 5*day
	r.add(decrypt(at, 1, 1), 78) // not twice
	expect(t, r.advance(at+size))
	r.add(decrypt(at+size, 2, 2), 300)
	expect(t, r.advance(at+2*size))
	r.add(decrypt(at+2*size, 1, 1), 900)
	expect(t, r.advance(at+3*size), "key rate", "principal rate")
}

// Allowed anomalies are counted separately and not published; everything else stays.
func TestAllowed(t *testing.T) {
	cfg := eager()
	cfg.Allow = anomaly.Allow{
		{Principal: role(2)[:len(role(2))-1] + "*", Kind: anomaly.KindFirstSeen, Until: anomaly.Until(stamp(begin + 3*day)), Why: "a migration"},
		{Key: keyARN(1), Detector: "rate", Why: "load tests"},
	}
	r := newRig(t, cfg, false)
	r.routine(begin, begin+2*day, 1, 1, 2)
	at := begin + 2*day
	r.add(decrypt(at, 1, 2), 80)
	list := r.advance(at + size)
	expect(t, list)
	key, pair := find(list, keyOf(1), at), find(list, pairOf(1, 2), at)
	if get(key, wire.CounterSuppressed) != 1 || get(pair, wire.CounterSuppressed) != 1 || anomaly.Count(&key.Partial)+anomaly.Count(&pair.Partial) != 0 {
		t.Errorf("key %v, pair %v", key.Counters, pair.Counters)
	}
	at = begin + 3*day
	r.add(decrypt(at, 1, 3), 1)
	expect(t, r.advance(at+size), "pair first_use")
	for _, bad := range []anomaly.Allowance{{Why: "x"}, {Key: "k"}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// Sums of first uses.
func TestFirstUseScores(t *testing.T) {
	for _, c := range []struct {
		principal string
		users     int // of the key
		hour      int64
		reads     bool
		data      bool
		want      float64
	}{
		{role(9), 5, 12, false, true, 4},
		{role(9), 5, 12, true, false, 0}, // a read uses nothing
		{role(9), 5, 12, true, true, 6},
		{role(9), 2, 12, false, true, 5},
		{role(9), 2, 2, true, true, 8},
		{"arn:aws:iam::111122223333:user/ann", 5, 12, false, true, 6},
		{"arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_1", 5, 12, true, false, 0},
		{"account:444455556666", 5, 12, false, true, 7},
		{"arn:aws:iam::444455556666:role/x", 5, 12, false, true, 7},
		{"AWS Internal", 1, 2, true, true, 0}, {"s3.amazonaws.com", 1, 2, true, true, 0},
	} {
		r := newRig(t, eager(), false)
		for at := begin; at < begin+4*day; at += hour {
			for p := range c.users {
				if at%day/hour >= 8 { // idle at night
					r.add(decrypt(at, 1, p), 1)
				}
			}
			r.advance(at + size)
		}
		call := decrypt(begin+4*day+c.hour*hour, 1, 1)
		call.Principal = c.principal
		if c.reads {
			call.Class = kms.ClassRead
			r.add(call, 1)
		}
		if c.data {
			call.Class = kms.ClassDecrypt
			r.add(call, 1)
		}
		found := anomalies(r.advance(call.Time + size))
		if got := found["pair first_use"].Score; got != c.want {
			t.Errorf("%s on a key of %d at %d h, reads %v, data %v: %g, want %g: %s", c.principal, c.users, c.hour, c.reads, c.data, got, c.want, found["pair first_use"].Reason)
		}
	}
}
