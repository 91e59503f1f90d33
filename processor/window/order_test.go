package window_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/window"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// disorder is how much later than a younger event one may arrive.
const disorder = 15 * minute

// lengths are the lengths of hasty's windows and roll-ups.
var lengths = []int64{size, 15 * minute, 2 * hour}

// hasty is a configuration that judges, and forgets, within a test's two days.
func hasty() window.Config {
	cfg := window.DefaultConfig()
	cfg.WarmUp, cfg.Retention, cfg.MinCount, cfg.Threshold = 2*time.Hour, 8*time.Hour, 8, 1e-3
	cfg.Rollups = lengths[1:]
	cfg.FirstUse, cfg.PeakFactor, cfg.ObjectSweep, cfg.SilenceCalls, cfg.SilenceFactor = 0, 1, 3, 10, 1
	cfg.SweepSecrets, cfg.FanOut, cfg.FanOutFactor, cfg.Refusals, cfg.RefusedKeys = 3, 3, 1.5, 4, 2
	return cfg
}

// arrival is the counting (n = 1) or taking back (n = -1) of a call at some time.
type arrival struct {
	at int64
	count.Call
	n int64
}

// history makes the calls of two days: principals with bursts, refusals and secrets,
// which fall silent for about the retention and return.
func history(rng *rand.Rand, retention int64) (calls []count.Call) {
	for p := range 6 {
		at := begin + rng.Int64N(2*hour)
		for at < begin+2*day {
			for end := at + hour + rng.Int64N(5*hour); at < end; at += rng.Int64N(4*size) + 1 {
				n := 1 + rng.IntN(2)
				if rng.IntN(25) == 0 {
					n = 30
				}
				for range n {
					c := decrypt(at+rng.Int64N(size), p/2+rng.IntN(2), p)
					c.IDText = fmt.Sprintf("%d-%d", len(calls), p)
					c.Self = p == 5
					if rng.IntN(6) == 0 {
						c.Outcome, c.Key = kms.OutcomeDenied, keyARN(20+rng.IntN(4))
					}
					if rng.IntN(6) == 0 {
						c.Context, c.Object = kms.ContextSecret, 1+rng.Uint64N(5)
					}
					if rng.IntN(40) == 0 {
						c.Key, c.Rules = keyARN(30+rng.IntN(5)), 1
					}
					if rng.IntN(4) == 0 {
						named(rng, &c)
					}
					calls = append(calls, c)
				}
			}
			at += retention - hour + rng.Int64N(3*hour)
		}
	}
	return calls
}

// named makes a call name its KMS key by an alias, in one of three ways: the key is
// shown, it is not, or the alias is deleted; or show a primary key.
func named(rng *rand.Rand, c *count.Call) {
	alias := fmt.Sprint(aliasARN, rng.IntN(3))
	switch rng.IntN(6) {
	case 0:
		c.Shown.Alias = alias
	case 1:
		c.Shown = count.Shown{Alias: alias, Unbound: true}
	case 2:
		c.Key, c.Shown.Primary = multiARN("eu-central-1"), multiARN([]string{"eu-central-1", "eu-west-1"}[rng.IntN(2)])
	default:
		c.Key, c.Shown.Alias = alias, alias
	}
}

// arrivals lets the calls arrive at most spread after they were made, some first by a
// copy with another principal.
func arrivals(rng *rand.Rand, calls []count.Call, spread int64) (list []arrival) {
	for i, c := range calls {
		at := c.Time + rng.Int64N(spread)
		if i%10 == 0 {
			worse := c
			worse.Principal = role(90 + i%30)
			again := at + rng.Int64N(c.Time+spread-at)
			list = append(list, arrival{at, worse, 1}, arrival{again, worse, -1}, arrival{again, c, 1})
			continue
		}
		list = append(list, arrival{at, c, 1})
	}
	slices.SortStableFunc(list, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	return list
}

// run feeds an engine with arrivals in batches of random size, with Advance called at
// random points, as several commits and sources would. It calls step with the results of
// every Advance.
func run(t *testing.T, rng *rand.Rand, e *window.Engine, list []arrival, step func([]window.Result), late func(*wire.Partial)) {
	t.Helper()
	progress := eventtime.Progress{Disorder: disorder}
	table := count.NewTable(size)
	for i := range list {
		table.Add(&list[i].Call, list[i].n)
		table.Learn(&list[i].Call)
		progress.Observe(list[i].Time, list[i].at)
		if rng.IntN(8) == 0 || i == len(list)-1 {
			for p := range table.All() {
				if !count.Empty(p) && e.Merge(p) {
					late(p)
				}
			}
			table.Reset()
		}
		if rng.IntN(60) == 0 && table.Len() == 0 {
			step(advance(e, progress.Watermark(), 1+rng.IntN(50)))
		}
	}
	step(advance(e, begin+3*day, 1000))
}

// plain counts the calls of every entity and window.
func plain(calls []count.Call) map[string]int64 {
	want := map[string]int64{}
	for _, c := range calls {
		for _, e := range []wire.Entity{
			{Scope: wire.ScopeKey, Key: c.Key}, {Scope: wire.ScopePrincipal, Principal: c.Principal},
			{Scope: wire.ScopePair, Key: c.Key, Principal: c.Principal},
		} {
			for _, n := range lengths {
				want[nameOf(e, c.Time/n*n, n)]++
			}
		}
	}
	return want
}

func nameOf(e wire.Entity, start, length int64) string {
	return fmt.Sprintf("%q %s %v", e.StateKey(), stamp(start), time.Duration(length))
}

// finalWindows lets the calls arrive in some order and returns the final windows with
// their anomalies, as text. want are the calls of each.
func finalWindows(t *testing.T, rng *rand.Rand, calls []count.Call, want map[string]int64, kinds map[anomaly.Kind]int, forgotten *int) map[string]string {
	t.Helper()
	e := window.NewEngine(hasty(), nil)
	e.SetHot(rng.IntN(6))
	finals := map[string]string{}
	run(t, rng, e, arrivals(rng, calls, disorder), func(results []window.Result) {
		for _, r := range results {
			if !r.Closed {
				continue
			}
			name := nameOf(r.Entity, r.Start, r.Length(size))
			if finals[name] != "" {
				t.Fatalf("%s is published as final twice", name)
			}
			if n := get(&r, wire.CounterCalls); n != want[name] {
				t.Fatalf("%s has %d calls, want %d", name, n, want[name])
			}
			for i := range r.Anomalies {
				kinds[r.Anomalies[i].Kind]++
				r.Anomalies[i].Calls = nil // a call that moved is named or not, as the commits fell
			}
			finals[name] = describe(r)
		}
		e.Changes(func(string, []byte) {}, func(string) { *forgotten++ })
	}, func(p *wire.Partial) { t.Fatalf("%s is late", nameOf(p.Entity, p.Start, size)) })
	return finals
}

// Whatever the order of arrival within the disorder, the commits and the steps of the
// watermark, the final windows and their anomalies are the same, each published once,
// with every call once.
func TestOrderChangesNothing(t *testing.T) {
	kinds := map[anomaly.Kind]int{}
	forgotten := 0
	for seed := range uint64(8) {
		calls := history(rand.New(rand.NewPCG(seed, 1)), int64(hasty().Retention))
		want := plain(calls)
		var first map[string]string
		for order := range uint64(5) {
			finals := finalWindows(t, rand.New(rand.NewPCG(seed, 2+order)), calls, want, kinds, &forgotten)
			if first == nil {
				first = maps.Clone(finals)
			}
			for name := range want {
				if finals[name] == "" || finals[name] != first[name] {
					t.Fatalf("seed %d order %d: %s\n%s\nin another order\n%s", seed, order, name, finals[name], first[name])
				}
				delete(finals, name)
			}
			// A window that lost a copy may have been published while open.
			if len(finals) > len(calls)/10 {
				t.Fatalf("seed %d order %d: %d windows that should not be", seed, order, len(finals))
			}
		}
	}
	for _, kind := range []anomaly.Kind{anomaly.KindRate, anomaly.KindFirstSeen, anomaly.KindFanOut, anomaly.KindRefusals} {
		if kinds[kind] < 40 {
			t.Errorf("%d anomalies of kind %s: this tests too little", kinds[kind], kind)
		}
	}
	if forgotten < 500 {
		t.Errorf("%d entities forgotten: this tests too little", forgotten)
	}
}

// Later calls refine their windows, one revision at a time, or are reported late; none is
// lost or counted twice.
func TestLateCallsAreCountedOnceOrTold(t *testing.T) {
	refined, dropped := 0, int64(0)
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 20))
		calls := history(rng, int64(hasty().Retention))
		want := plain(calls)
		got, revisions := map[string]int64{}, map[string]int32{}
		e := window.NewEngine(hasty(), nil)
		run(t, rng, e, arrivals(rng, calls, disorder+150*minute), func(results []window.Result) {
			for _, r := range results {
				name := nameOf(r.Entity, r.Start, r.Length(size))
				if !r.Closed {
					if revisions[name] > 0 || r.Revision != 0 {
						t.Fatalf("seed %d: %s is open at revision %d after %d", seed, name, r.Revision, revisions[name])
					}
					continue
				}
				if r.Revision != revisions[name]+1 {
					t.Fatalf("seed %d: %s has revision %d after %d", seed, name, r.Revision, revisions[name])
				}
				if revisions[name] = r.Revision; r.Revision > 1 {
					refined++
				}
				got[name] = get(&r, wire.CounterCalls)
			}
		}, func(p *wire.Partial) {
			dropped += count.Get(p, wire.CounterCalls)
			for _, n := range lengths { // calls that no window accepts are in no roll-up
				want[nameOf(p.Entity, p.Start/n*n, n)] -= count.Get(p, wire.CounterCalls)
			}
		})
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("seed %d: %s has %d calls, want %d", seed, name, got[name], want[name])
			}
		}
		for name, n := range got {
			if n != want[name] {
				t.Errorf("seed %d: %s has %d calls, want %d", seed, name, n, want[name])
			}
		}
	}
	if refined < 300 || dropped < 500 {
		t.Errorf("%d refinements and %d late calls: this tests too little", refined, dropped)
	}
}
