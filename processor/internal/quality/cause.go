package main

import (
	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

// causes tells which background habit is behind a false anomaly: the habit of the
// pair whose calls in that window exceed its mean rate the most, of those on the
// anomaly's KMS key or by its principal.
type causes struct {
	edges map[pair]generate.Edge
	// recent are the pairs of the windows of the last hours, by start.
	recent map[int64][]pairCalls
	size   int64
}

type pair struct{ key, principal string }

type pairCalls struct {
	pair
	calls int64
}

// remembered is how long windows are remembered for explaining anomalies.
const remembered = int64(3 * 3600e9)

func newCauses(g *generate.Generator, size int64) *causes {
	c := &causes{edges: map[pair]generate.Edge{}, recent: map[int64][]pairCalls{}, size: size}
	for _, e := range g.Background() {
		name := pair{e.KeyARN, e.Principal}
		if old, twice := c.edges[name]; !twice || e.Rate > old.Rate {
			c.edges[name] = e
		}
	}
	return c
}

// window remembers the window of a pair.
func (c *causes) window(e wire.Entity, start, calls int64) {
	if e.Scope != wire.ScopePair {
		return
	}
	c.recent[start] = append(c.recent[start], pairCalls{pair{e.KeyARN, e.Principal}, calls})
	if len(c.recent[start]) == 1 {
		for at := range c.recent {
			if at < start-remembered {
				delete(c.recent, at)
			}
		}
	}
}

// of returns the habit behind a finding.
func (c *causes) of(f *finding) string {
	best, most := "", -1e9
	for _, p := range c.recent[f.end-c.size] {
		if f.KeyARN != "" && p.key != f.KeyARN || f.Principal != "" && p.principal != f.Principal {
			continue
		}
		e, known := c.edges[p.pair]
		excess := float64(p.calls) - e.Rate*float64(c.size)/3600e9
		if excess > most {
			most = excess
			if best = e.Archetype; !known {
				best = "a pair that is no habit"
			}
		}
	}
	if best == "" {
		return "no calls"
	}
	return best
}
