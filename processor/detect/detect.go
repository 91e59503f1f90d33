// Package detect merges partial counts into event-time windows, closes them at
// the watermark, and judges each closed window against what is known of its
// entity. It is pure: partials and watermarks come in, windows and anomalies go
// out; no Kafka, no wall clock, no randomness. The same partials give the same
// final windows in whatever order they come, as long as none is late.
package detect

import (
	"cmp"
	"fmt"
	"time"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Config holds the parameters of windows and detectors. Times are nanoseconds
// of event time.
type Config struct {
	Size int64 // of a window
	// Rollups are the sizes of longer windows that add up those of Size: multiples of
	// it, the shortest first.
	Rollups  []int64
	Lateness int64 // how long after its close a window still takes late calls
	// Threshold is the probability below which a count is an anomaly. At 1e-7 a
	// thousand entities with 288 windows a day give 0.03 false anomalies a day if
	// the model were exact.
	Threshold float64
	// MinCount is the smallest count, in one window or two, that can be a rate anomaly:
	// below it even an unlikely count is not worth a person's time. A program that starts
	// reads some dozens of objects at once.
	MinCount int64
	// WarmUp is how long an entity is learned before it is judged.
	WarmUp int64
	// Retention is how long an entity without calls is remembered.
	Retention int64
	// MaxEntities bounds what one engine remembers, and MaxAccountEntities what it remembers
	// of one account, in units: an entity is one, and one more for every 256 bytes of its
	// names. A unit takes some 400 bytes. Beyond that calls count for the others of their
	// account: see others.go.
	MaxEntities, MaxAccountEntities int
	// Partition is a number of the engine's own, which the names of its others have.
	Partition int32
	// SweepSecrets is the number of distinct secrets and parameters that one
	// principal may read in a window before it is a sweep, whatever its past.
	SweepSecrets int
	// FanOut is the smallest number of distinct objects, KMS keys or principals
	// in a window that can be an anomaly, and FanOutFactor how many times the most
	// ever seen it must be.
	FanOut       int
	FanOutFactor float64
	// PeakFactor is how many times the most calls of a window of a usual day a count has
	// to be for a rate anomaly, at the least: see rate.
	PeakFactor float64
	// FirstUse is the score from which the first use of a KMS key is an anomaly: see
	// firstUse.
	FirstUse float64
	// NewPeers is how many KMS keys that a principal never used, or principals that never
	// used a KMS key, make a window an anomaly.
	NewPeers int
	// ObjectSweep is the smallest number of different objects, in a window or on a day,
	// that can be an anomaly.
	ObjectSweep int
	// SilenceCalls is how many calls on a KMS key must be missing, and SilenceFactor how
	// many times as long as ever before, for its silence to be an anomaly.
	SilenceCalls  float64
	SilenceFactor float64
	// Allow says which anomalies are expected.
	Allow Allow
	// Refusals is the smallest number of refused calls that can be an anomaly,
	// and RefusedKeys the number of distinct KMS keys that makes it probing.
	Refusals    int64
	RefusedKeys int
}

// DefaultConfig returns the parameters as they are meant to be used.
func DefaultConfig() Config {
	return Config{
		Size: int64(5 * time.Minute), Lateness: int64(time.Hour), Threshold: 1e-7, MinCount: 40,
		WarmUp: int64(24 * time.Hour), Retention: int64(35 * 24 * time.Hour), MaxEntities: 1_500_000, MaxAccountEntities: 500_000,
		PeakFactor: 2, FirstUse: 6, NewPeers: 5, ObjectSweep: 60, SilenceCalls: 30, SilenceFactor: 3,
		SweepSecrets: 15, FanOut: 8, FanOutFactor: 3, Refusals: 8, RefusedKeys: 4,
	}
}

// Validate returns what is wrong with c: the field, the value, what is allowed.
func (c *Config) Validate() error {
	minute := int64(time.Minute)
	switch {
	case c.Size < minute || c.Size > int64(24*time.Hour) || c.Size%minute != 0:
		return fmt.Errorf("window size %v is not a whole number of minutes from 1m to 24h", time.Duration(c.Size))
	case badRollups(c.Rollups, c.Size):
		return fmt.Errorf("roll-ups %v are not up to %d multiples of the window size %v, each longer than the one before, of at most 24h",
			durations(c.Rollups), MaxRollups, time.Duration(c.Size))
	case c.Lateness < 0 || c.Lateness > MaxLate*c.Size:
		return fmt.Errorf("allowed lateness %v is not between 0 and %d windows of %v", time.Duration(c.Lateness), MaxLate, time.Duration(c.Size))
	case !(c.Threshold > 0 && c.Threshold <= 0.01): // so written because every comparison with NaN is false
		return fmt.Errorf("threshold %g is not above 0 and at most 0.01", c.Threshold)
	case c.MinCount < 1:
		return fmt.Errorf("min_count %d is not at least 1", c.MinCount)
	case c.WarmUp < 0 || c.Retention < c.WarmUp || c.Retention > maxRetention:
		return fmt.Errorf("warm_up %v and retention %v are not such that 0 <= warm_up <= retention <= %v",
			time.Duration(c.WarmUp), time.Duration(c.Retention), time.Duration(maxRetention))
	case c.MaxAccountEntities < 1 || c.MaxEntities < c.MaxAccountEntities || c.MaxEntities > maxMaxEntities:
		return fmt.Errorf("max_account_entities %d and max_entities %d are not such that 1 <= max_account_entities <= max_entities <= %d",
			c.MaxAccountEntities, c.MaxEntities, maxMaxEntities)
	case outside(c.SweepSecrets) || outside(c.FanOut) || outside(c.RefusedKeys):
		return fmt.Errorf("sweep_secrets %d, fan_out %d or refused_keys %d is not between 2 and %d, the most distinct values that a window counts",
			c.SweepSecrets, c.FanOut, c.RefusedKeys, count.MaxDistinct)
	case !(c.PeakFactor >= 1 && c.PeakFactor <= 100):
		return fmt.Errorf("peak_factor %g is not between 1 and 100", c.PeakFactor)
	case !(c.FirstUse >= 0 && c.FirstUse <= 20):
		return fmt.Errorf("first_use %g is not between 0 and 20", c.FirstUse)
	case outside(c.ObjectSweep) || outside(c.NewPeers):
		return fmt.Errorf("object_sweep %d or new_peers %d is not between 2 and %d", c.ObjectSweep, c.NewPeers, count.MaxDistinct)
	case !(c.SilenceCalls >= 10) || !(c.SilenceFactor >= 1):
		return fmt.Errorf("silence_calls %g is not at least 10, or silence_factor %g not at least 1", c.SilenceCalls, c.SilenceFactor)
	case c.Refusals < 1 || !(c.FanOutFactor >= 1):
		return fmt.Errorf("refusals %d or fan_out_factor %g is not at least 1", c.Refusals, c.FanOutFactor)
	}
	return nil
}

// maxMaxEntities keeps the places of entities far from 32 bits.
const maxMaxEntities = 100_000_000

// MarkAt returns the mark of a source whose watermark has come to an event time, and
// which has always taken late calls for Lateness.
func (c *Config) MarkAt(watermark int64) eventtime.Mark {
	if watermark <= eventtime.None {
		return eventtime.Unknown()
	}
	return eventtime.Mark{Watermark: watermark, Late: eventtime.Sub(watermark, c.Lateness), Quiet: watermark}
}

// MaxRollups bounds the sizes of roll-ups: each is one or two more windows in the
// state of every entity.
const MaxRollups = 4

func badRollups(list []int64, size int64) bool {
	last := size
	for _, r := range list {
		if r <= last || r%size != 0 || r > int64(24*time.Hour) {
			return true
		}
		last = r
	}
	return len(list) > MaxRollups
}

func durations(list []int64) (d []time.Duration) {
	for _, n := range list {
		d = append(d, time.Duration(n))
	}
	return d
}

// MaxLate bounds the lateness in windows, and with it an entity's state: 80
// windows that are late, and some more for the disorder before they close.
const MaxLate = 80

// maxRetention, ten years, keeps sums of times far from overflowing.
const maxRetention = int64(3650 * 24 * time.Hour)

// outside tells whether a limit of distinct values could never be reached, or
// would be reached by one.
func outside(limit int) bool { return limit < 2 || limit > count.MaxDistinct }

// Entity is what is known of one KMS key, principal or pair.
type Entity struct {
	wire.Entity
	Account  uint64         // that it is charged to; 0: none. See others.go
	Due      int64          // when its silence will be judged, at the latest; 0: not watched. Scope key
	Baseline baseline.State // scopes key and principal
	Habits   Habits
	Since    int64             // start of the first closed window with calls to judge; 0: none yet
	Seen     int64             // start of the last such window
	Last     int64             // start of the last window, closed or not
	High     [wire.NumSets]int // most distinct values in any window since Since
	Windows  []*Window         // open, or closed and still taking late calls, by start
	Rollups  []*Window         // the same, of longer windows, in the order of their first calls
	Bound    *wire.Binding     // what it stood for at the end of the last window before those; nil: nothing known
	Used     int64             // start of the last window before those that named it; 0 without Bound
	slot     uint32            // in the store
	stale    bool              // changed since it was packed
}

// Window is one window of one entity: the merged partials and what came of them.
type Window struct {
	wire.Partial
	Size      int64 // of a roll-up; 0 of a window of Config.Size
	Published int64 // anomalies at the last publication of the open window
	Revision  int32 // 0 while open; 1 at the close; one more for every refinement
	Closed    bool
	Changed   bool // calls or anomalies came since the last publication
	// Bound is what the KMS key stood for at the window's end, as far as it was
	// known when the window was published: an alias its KMS key, a multi-Region key
	// its primary; nil for nothing known. It is found anew for every publication.
	Bound *wire.Binding

	// from and to are where it stands in its entity's packed form; to is 0 once it was
	// handed out to be changed.
	from, to int
}

// open returns w, to be read or changed.
func (w *Window) open() *Window {
	w.to = 0
	return w
}

// Length is how long w is, where windows that are no roll-ups have the given size.
func (w *Window) Length(size int64) int64 { return cmp.Or(w.Size, size) }

// Result is one window to publish, with its own anomalies. It is valid during the
// call that brings it.
type Result struct {
	*Window
	Anomalies []Anomaly
}

// anomalyCounters are the counters that add up to a window's anomalies.
var anomalyCounters = [...]wire.CounterID{
	wire.CounterRule, wire.CounterBlindSpot, wire.CounterRate, wire.CounterFirstSeen,
	wire.CounterFanOut, wire.CounterRefusals, wire.CounterSilence,
}

// toJudge returns the number of calls in p that are not the collector's own.
func toJudge(p *wire.Partial) int64 {
	return count.Get(p, wire.CounterCalls) - count.Get(p, wire.CounterSelf)
}

// AnomalyCount returns the number of anomalies counted in p.
func AnomalyCount(p *wire.Partial) int64 {
	n := int64(0)
	for _, c := range p.Counters {
		for _, id := range anomalyCounters {
			if c.ID == id {
				n += c.N
			}
		}
	}
	return n
}
