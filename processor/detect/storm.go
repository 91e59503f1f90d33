package detect

import (
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Storm bounds how many anomalies of one detector or rule are published of one KMS key,
// and of one principal, in one window: a rule that every call matches, or somebody who
// uses a thousand keys for the first time, would bury everything else. What is not
// published is counted in the windows (wire.CounterWithheld). Each detector and rule has a
// bound of its own, so that nobody hides a deletion behind noise.
//
// It is memory only, of the calls or pairs that its owner sees: every partition of a
// stage has its own, and one that starts anew publishes up to StormBound more. The count
// of what was withheld is exact whatever happens, because it travels with the counts. The
// zero value is ready to use. Not safe for concurrent use.
type Storm struct {
	windows map[int64]map[stormKey]int32 // by start
	n       int                          // counts in all windows
}

// stormKey is an entity and a detector, by hash: two that share a hash share a bound.
type stormKey struct{ entity, detector uint64 }

// StormBound is how many anomalies of a detector or rule an entity has published in a
// window: more than anybody reads, and few enough for a SIEM.
const StormBound = 100

// maxStorm bounds the memory, some 50 bytes for a count: of 65,536 counts 3 MiB. When it
// is full it is emptied: too much is published then rather than too little.
const maxStorm = 1 << 16

// maxStormWindows bounds the windows remembered: the oldest goes. The lateness allows as
// many to be open, and some more.
const maxStormWindows = MaxLate + 48

// Admit tells whether an anomaly of a detector or rule, of a KMS key used by a principal in
// the window at start, is published.
func (s *Storm) Admit(start int64, detector string, pair wire.Entity) bool {
	counts := s.window(start)
	name := wire.EntityHash(detector)
	key := stormKey{wire.EntityHash("k\n" + pair.KeyARN), name}
	who := stormKey{wire.EntityHash("p\n" + pair.Principal), name}
	keyed := pair.KeyARN != kms.NoEntity // else it is what has no key in common
	if counts[who] >= StormBound || keyed && counts[key] >= StormBound {
		return false
	}
	before := len(counts)
	counts[who]++
	if keyed {
		counts[key]++
	}
	s.n += len(counts) - before
	return true
}

// window returns the counts of the window at start.
func (s *Storm) window(start int64) map[stormKey]int32 {
	if counts := s.windows[start]; counts != nil && s.n < maxStorm {
		return counts
	}
	if s.windows == nil || s.n >= maxStorm {
		s.windows, s.n = map[int64]map[stormKey]int32{}, 0
	}
	for len(s.windows) >= maxStormWindows {
		oldest := start
		for at := range s.windows {
			oldest = min(oldest, at)
		}
		if oldest == start { // older than all that are remembered: not remembered itself
			return map[stormKey]int32{}
		}
		s.n -= len(s.windows[oldest])
		delete(s.windows, oldest)
	}
	counts := map[stormKey]int32{}
	s.windows[start] = counts
	return counts
}
