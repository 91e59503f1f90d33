package main

import (
	"cmp"
	"math"

	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

// causes finds the background habit behind a false anomaly: of the pairs on the anomaly's
// KMS key or by its principal, the one whose calls in that window exceed its mean rate
// the most.
type causes struct {
	edges map[pair]generate.Edge
	main  map[string]generate.Edge // the busiest edge, by KMS key and by principal
	// recent are the windows of pairs in the last hours, by start.
	recent map[int64][]pairCalls
	size   int64
}

type pair struct{ key, principal string }

type pairCalls struct {
	pair
	calls int64
}

// remembered is how long windows are kept to explain anomalies.
const remembered = int64(3 * 3600e9)

func newCauses(g *generate.Generator, size int64) *causes {
	c := &causes{edges: map[pair]generate.Edge{}, main: map[string]generate.Edge{},
		recent: map[int64][]pairCalls{}, size: size}
	for _, e := range g.Background() {
		name := pair{e.KeyARN, e.Principal}
		if old, twice := c.edges[name]; !twice || e.Rate > old.Rate {
			c.edges[name] = e
		}
		for _, one := range []string{e.KeyARN, e.Principal} {
			if old, there := c.main[one]; !there || e.Rate > old.Rate {
				c.main[one] = e
			}
		}
	}
	return c
}

// window adds the window of a pair.
func (c *causes) window(e wire.Entity, start, calls int64) {
	if e.Scope != wire.ScopePair {
		return
	}
	c.recent[start] = append(c.recent[start], pairCalls{pair{e.Key, e.Principal}, calls})
	if len(c.recent[start]) == 1 {
		for at := range c.recent {
			if at < start-remembered {
				delete(c.recent, at)
			}
		}
	}
}

// of returns the habit behind a finding. For a window longer than the memory it looks at
// its end.
func (c *causes) of(f *finding) string {
	calls := map[pair]int64{}
	for at := f.end - c.size; at >= f.start && at > f.end-remembered; at -= c.size {
		for _, p := range c.recent[at] {
			if (f.Key == "" || p.key == f.Key) && (f.Principal == "" || p.principal == f.Principal) {
				calls[p.pair] += p.calls
			}
		}
	}
	if len(calls) == 0 {
		main, known := c.main[f.Key]
		if !known {
			main = c.main[f.Principal]
		}
		return "no calls, mostly " + cmp.Or(main.Archetype, "nothing")
	}
	best, most := "", math.Inf(-1)
	hours := float64(min(f.end-f.start, remembered)) / 3600e9
	for p, n := range calls {
		e, known := c.edges[p]
		habit := e.Archetype
		if !known {
			habit = "a pair without a habit"
		}
		excess := float64(n) - e.Rate*hours
		if excess > most || excess == most && habit < best {
			best, most = habit, excess
		}
	}
	return best
}
