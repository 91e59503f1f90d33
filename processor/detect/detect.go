// Package detect merges partial counts into event-time windows, closes them at
// the watermark, and judges each closed window against what is known of its
// entity. It is pure: partials and watermarks come in, windows and anomalies go
// out; no Kafka, no wall clock, no randomness. The same partials give the same
// final windows in whatever order they come, as long as none is late.
package detect

import (
	"fmt"
	"time"

	"keytrail/processor/baseline"
	"keytrail/schemas/wire"
)

// Config holds the parameters of windows and detectors. Times are nanoseconds
// of event time.
type Config struct {
	Size     int64 // of a window
	Lateness int64 // how long after its close a window still takes late calls
	// Threshold is the probability below which a count is an anomaly. At 1e-6 a
	// thousand entities with 288 windows a day give 0.3 false anomalies a day if
	// the model were exact.
	Threshold float64
	// MinCount is the smallest count that can be a rate anomaly: below it even an
	// unlikely count is not worth a person's time.
	MinCount int64
	// WarmUp is how long an entity is learned before it is judged.
	WarmUp int64
	// Retention is how long an entity without calls is remembered.
	Retention int64
	// SweepSecrets is the number of distinct secrets and parameters that one
	// principal may read in a window before it is a sweep, whatever its past.
	SweepSecrets int
	// FanOut is the smallest number of distinct objects, KMS keys or principals
	// in a window that can be an anomaly, and FanOutFactor how many times the most
	// ever seen it must be.
	FanOut       int
	FanOutFactor float64
	// Refusals is the smallest number of refused calls that can be an anomaly,
	// and RefusedKeys the number of distinct KMS keys that makes it probing.
	Refusals    int64
	RefusedKeys int
}

// DefaultConfig returns the parameters as they are meant to be used.
func DefaultConfig() Config {
	return Config{
		Size: int64(5 * time.Minute), Lateness: int64(time.Hour), Threshold: 1e-6, MinCount: 20,
		WarmUp: int64(24 * time.Hour), Retention: int64(35 * 24 * time.Hour),
		SweepSecrets: 15, FanOut: 8, FanOutFactor: 3, Refusals: 8, RefusedKeys: 4,
	}
}

// Validate returns what is wrong with c: the field, the value, what is allowed.
func (c *Config) Validate() error {
	minute := int64(time.Minute)
	switch {
	case c.Size < minute || c.Size > int64(24*time.Hour) || c.Size%minute != 0:
		return fmt.Errorf("window size %v is not a whole number of minutes from 1m to 24h", time.Duration(c.Size))
	case c.Lateness < 0 || c.Lateness > maxOpen*c.Size:
		return fmt.Errorf("allowed lateness %v is not between 0 and %d windows of %v", time.Duration(c.Lateness), maxOpen, time.Duration(c.Size))
	case c.Threshold <= 0 || c.Threshold > 0.01:
		return fmt.Errorf("threshold %g is not above 0 and at most 0.01", c.Threshold)
	case c.MinCount < 1:
		return fmt.Errorf("min_count %d is not at least 1", c.MinCount)
	case c.WarmUp < 0 || c.Retention < c.WarmUp:
		return fmt.Errorf("retention %v is shorter than warm_up %v", time.Duration(c.Retention), time.Duration(c.WarmUp))
	case c.SweepSecrets < 2 || c.FanOut < 2 || c.FanOutFactor < 1 || c.Refusals < 1 || c.RefusedKeys < 2:
		return fmt.Errorf("fan-out and refusal limits %d, %d, %g, %d, %d are below 2, 2, 1, 1, 2", c.SweepSecrets, c.FanOut, c.FanOutFactor, c.Refusals, c.RefusedKeys)
	}
	return nil
}

// maxOpen bounds the lateness in windows, and with it an entity's state: 80
// windows that are late, and some more for the disorder before they close.
const maxOpen = 80

// Entity is what is known of one KMS key, principal or pair.
type Entity struct {
	wire.Entity
	Baseline baseline.State    // scopes key and principal
	Since    int64             // start of the first closed window with calls; 0: none yet
	Seen     int64             // start of the last closed window with calls
	Last     int64             // start of the last window with calls, closed or not
	High     [wire.NumSets]int // most distinct values in any closed window
	Windows  []*Window         // open, or closed and still taking late calls, by start
	dirty    bool              // changed since the last Changes
}

// Window is one window of one entity: the merged partials and what came of them.
type Window struct {
	wire.Partial
	Revision  int // 0 while open; 1 at the close; one more for every refinement
	Closed    bool
	Changed   bool  // calls or anomalies came since the last publication
	Published int64 // anomalies at the last publication of the open window
}

// Result is one window to publish, with its own anomalies. It is valid until
// the next call on the Engine.
type Result struct {
	*Window
	Anomalies []Anomaly
}

// anomalyCounters are the counters that add up to a window's anomalies.
var anomalyCounters = [...]wire.CounterID{
	wire.CounterRule, wire.CounterBlindSpot, wire.CounterRate, wire.CounterFirstSeen,
	wire.CounterFanOut, wire.CounterRefusals, wire.CounterSilence,
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
