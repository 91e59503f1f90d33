package sink

import (
	"fmt"
	"math"
	"time"

	"keytrail/processor/setting"
)

// Batch bounds what one call of Sink.Deliver receives. A record that is larger than Bytes is a
// batch by itself.
type Batch struct {
	// Records bounds the number of records (default 1,000).
	Records int `yaml:"records"`
	// Bytes bounds the sum of the records' sizes (default 4 MiB). A log record with its
	// original event is about 3 KiB, so 1,000 of them take 3 MiB; the OpenTelemetry
	// collector takes requests of up to 20 MiB.
	Bytes setting.Size `yaml:"bytes"`
	// Linger is how long a batch below both bounds waits for more records (default 200 ms).
	Linger time.Duration `yaml:"linger"`
}

// Retry says how a batch is sent again. The pause before attempt n+1 is a random time
// between 0 and min(Cap, Base * 2^(n-1)) ("full jitter"), or the pause that the sink asked
// for if that is longer, but never longer than MaxPause.
type Retry struct {
	Base time.Duration `yaml:"base"` // default 500 ms
	Cap  time.Duration `yaml:"cap"`  // default 30 s
	// MaxAttempts bounds how often in a row a batch is sent while none of its records
	// ends; then the records of these attempts go to the dead letter. 0, the default, sets no
	// bound: a sink that is down holds its consumer back and loses nothing. The bound does
	// not apply while a sink is paused.
	MaxAttempts int `yaml:"max_attempts"`
	// MaxElapsed bounds the time from the first of these attempts to the last; then the
	// records go to the dead letter. 0, the default, sets no bound.
	MaxElapsed time.Duration `yaml:"max_elapsed"`
}

// MaxPause bounds one pause: 5 minutes. A sink that names a time far away, by mistake or
// because its clock is wrong, is asked again nevertheless.
const MaxPause = 5 * time.Minute

// MaxInFlight bounds the batches of one sink that are on their way at the same time.
const MaxInFlight = 16

// DefaultBatch returns the default bounds of a batch.
func DefaultBatch() Batch {
	return Batch{Records: 1000, Bytes: 4 << 20, Linger: 200 * time.Millisecond}
}

// DefaultRetry returns the default way of trying again.
func DefaultRetry() Retry {
	return Retry{Base: 500 * time.Millisecond, Cap: 30 * time.Second}
}

// Validate returns setting.Problems that name the settings that cannot be used. The upper
// bounds limit memory: 64 MiB in a batch, twice that while it is encoded.
func (b Batch) Validate() error {
	var p setting.Problems
	setting.Between(&p, "records", b.Records, 1, 100_000)
	setting.Between(&p, "bytes", b.Bytes, 1<<10, 64<<20)
	setting.Between(&p, "linger", b.Linger, 0, time.Hour)
	return p.Err()
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (r Retry) Validate() error {
	var p setting.Problems
	setting.Between(&p, "base", r.Base, time.Millisecond, MaxPause)
	setting.Between(&p, "cap", r.Cap, time.Millisecond, MaxPause)
	if r.Cap < r.Base {
		p.Add("cap", "%v is shorter than base, %v", r.Cap, r.Base)
	}
	setting.Between(&p, "max_attempts", r.MaxAttempts, 0, math.MaxInt32)
	setting.Between(&p, "max_elapsed", r.MaxElapsed, 0, 30*24*time.Hour)
	return p.Err()
}

// pause returns the pause after the given number of failed attempts (from 1).
// asked is the pause that the sink asked for, random a number in [0, 1).
func (r Retry) pause(attempts int, asked time.Duration, random float64) time.Duration {
	limit := r.Cap
	// Base is at least 1 ms and Cap at most 300,000 ms: from 2^19 on the cap holds.
	if shift := attempts - 1; shift < 19 {
		limit = min(r.Cap, r.Base<<shift)
	}
	return min(MaxPause, max(asked, time.Duration(random*float64(limit))))
}

// probeCap bounds the growing pauses between the attempts to reach a sink that is paused: a
// minute. It goes on half a minute after the correction, on average, and no account is
// locked because its password is tried all the time.
const probeCap = time.Minute

// probe returns the pause before a paused sink is asked again, for the nth time.
func (r Retry) probe(n int, asked time.Duration, random float64) time.Duration {
	r.Cap = max(r.Cap, probeCap)
	return r.pause(n, asked, random)
}

// exhausted reports whether another attempt after a pause would exceed a bound.
func (r Retry) exhausted(attempts int, elapsed, pause time.Duration) bool {
	if r.MaxAttempts > 0 && attempts >= r.MaxAttempts {
		return true
	}
	return r.MaxElapsed > 0 && elapsed+pause > r.MaxElapsed
}

// Start is where a new sink begins to read: a partition from which it has not committed any
// offset. The zero value is the latest record. It is a value: safe for concurrent use.
type Start struct {
	earliest bool
	at       time.Time
}

// Latest begins behind the records that Kafka has when the sink first runs.
func Latest() Start { return Start{} }

// Earliest begins at the oldest record that Kafka has.
func Earliest() Start { return Start{earliest: true} }

// StartAt begins at the first record that Kafka received at or after a time.
func StartAt(at time.Time) Start { return Start{at: at} }

// Since returns the time from which a sink that first runs at now reads; the zero time for
// the oldest record.
func (s Start) Since(now time.Time) time.Time {
	switch {
	case s.earliest:
		return time.Time{}
	case s.at.IsZero():
		return now
	}
	return s.at
}

// UnmarshalText reads "latest", "earliest" or a time in RFC 3339.
func (s *Start) UnmarshalText(text []byte) error {
	switch string(text) {
	case "latest":
		*s = Latest()
		return nil
	case "earliest":
		*s = Earliest()
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil || at.Unix() <= 0 {
		return fmt.Errorf("not allowed; allowed: latest, earliest, or a time such as 2026-11-30T08:00:00Z")
	}
	*s = StartAt(at.UTC())
	return nil
}

// MarshalText returns the text that UnmarshalText reads.
func (s Start) MarshalText() ([]byte, error) {
	switch {
	case s.earliest:
		return []byte("earliest"), nil
	case s.at.IsZero():
		return []byte("latest"), nil
	}
	return []byte(s.at.Format(time.RFC3339Nano)), nil
}
