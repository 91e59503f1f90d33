package window_test

import (
	"testing"

	"keytrail/processor/anomaly"
	"keytrail/schemas/wire"
)

// A principal uses two hundred keys for the first time: all are counted everywhere, and
// half are published.
func TestStormOfFirstUses(t *testing.T) {
	const keys = 2 * anomaly.StormBound
	cfg := eager()
	cfg.NewPeers = 500
	r := newRig(t, cfg, false)
	for k := range keys {
		r.routine(begin, begin+size, k, k, 1)
	}
	at := begin + 2*day
	for k := range keys {
		r.add(decrypt(at, k, 1000), 1)
	}
	list := r.advance(at + size)
	published, withheld := 0, int64(0)
	for _, res := range list {
		for _, a := range res.Anomalies {
			if a.Detector == "first_use" {
				published++
			}
		}
		if res.Scope == wire.ScopePair && res.Start == at {
			withheld += get(&res, wire.CounterWithheld)
		}
	}
	who := find(list, roleOf(1000), at)
	if published != anomaly.StormBound || withheld != keys-anomaly.StormBound || get(who, wire.CounterWithheld) != withheld || get(who, wire.CounterFirstSeen) != keys {
		t.Errorf("%d published, %d withheld in pairs; the principal has %v", published, withheld, who.Counters)
	}
}
