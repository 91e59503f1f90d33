package anomaly

import (
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// Storm bounds how many anomalies of one detector or rule are published per KMS key, per
// principal and window. Without it, a rule that every call matches, or a principal that
// uses a thousand keys for the first time, would bury everything else. The windows count
// the unpublished ones (wire.CounterWithheld). Each detector and rule has its own bound,
// so noise does not hide a deletion.
//
// Every partition of a stage has its own Storm. It is memory only, so a restart publishes
// up to StormBound more. The count of withheld anomalies is exact in any case, because it
// travels with the counts. The zero value is ready to use. It is not safe for concurrent
// use.
type Storm struct {
	windows map[int64]map[stormKey]int32 // by start
	n       int                          // counts in all windows
}

// stormKey is an entity and a detector, by hash: two that share a hash share a bound.
type stormKey struct{ entity, detector uint64 }

// StormBound is how many anomalies of a detector or rule are published per entity and
// window: more than a person reads, and few enough for a SIEM.
const StormBound = 100

// maxStorm bounds the memory: 65,536 counts of about 50 bytes are 3 MiB. A full Storm is
// emptied, so it publishes too much rather than too little.
const maxStorm = 1 << 16

// maxStormWindows bounds the remembered windows; the oldest goes. 80 may be open by the
// allowed lateness, and some more by the disorder.
const maxStormWindows = 128

// Admit reports whether an anomaly of a detector or rule is published: one of a pair, in
// the window at start. It counts the anomaly if so.
func (s *Storm) Admit(start int64, detector string, pair wire.Entity) bool {
	counts := s.window(start)
	name := wire.EntityHash(detector)
	key := stormKey{wire.EntityHash("k\n" + pair.Key), name}
	who := stormKey{wire.EntityHash("p\n" + pair.Principal), name}
	keyed := pair.Key != kms.NoEntity // else the pairs have no key in common
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
		if oldest == start { // older than all remembered windows: not remembered itself
			return map[stormKey]int32{}
		}
		s.n -= len(s.windows[oldest])
		delete(s.windows, oldest)
	}
	counts := map[stormKey]int32{}
	s.windows[start] = counts
	return counts
}
