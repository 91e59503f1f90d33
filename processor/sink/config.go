package sink

import (
	"math"
	"time"

	"keytrail/processor/setting"
)

// Batch bounds what one call of Sink.Deliver receives. A record that is larger
// than Bytes on its own is a batch of its own.
type Batch struct {
	// Records bounds the number of records (default 1,000).
	Records int `yaml:"records"`
	// Bytes bounds the sum of the records' sizes (default 4 MiB). A log record
	// with its original event is about 3 KiB, so that 1,000 of them take 3 MiB;
	// the OpenTelemetry collector takes requests of up to 20 MiB.
	Bytes setting.Size `yaml:"bytes"`
}

// Retry says how a batch is sent again. The pause before attempt n+1 is a
// random time between 0 and min(Cap, Base * 2^(n-1)) ("full jitter"), or what
// the sink asked for where that is longer, but never longer than MaxPause.
type Retry struct {
	Base time.Duration `yaml:"base"` // default 500 ms
	Cap  time.Duration `yaml:"cap"`  // default 30 s
	// MaxAttempts bounds the number of times that a record is sent; then it goes
	// to the dead letter. 0, the default, sets no bound: a sink that is down holds
	// its consumer back and loses nothing. A sink that is paused is not bounded.
	MaxAttempts int `yaml:"max_attempts"`
	// MaxElapsed bounds the time from the first attempt to the last; then the
	// record goes to the dead letter. 0, the default, sets no bound.
	MaxElapsed time.Duration `yaml:"max_elapsed"`
}

// MaxPause bounds one pause: 5 minutes. A sink that names a time far away, by
// mistake or because its clock is wrong, is asked again nevertheless.
const MaxPause = 5 * time.Minute

// DefaultBatch returns the default bounds of a batch.
func DefaultBatch() Batch { return Batch{Records: 1000, Bytes: 4 << 20} }

// DefaultRetry returns the default way of trying again.
func DefaultRetry() Retry {
	return Retry{Base: 500 * time.Millisecond, Cap: 30 * time.Second}
}

// Validate returns setting.Problems that name the settings that cannot be used.
// The upper bounds hold memory: 64 MiB in a batch, twice that while it is
// encoded, for each sink.
func (b Batch) Validate() error {
	var p setting.Problems
	setting.Between(&p, "records", b.Records, 1, 100_000)
	setting.Between(&p, "bytes", b.Bytes, 1<<10, 64<<20)
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

// probeCap bounds the growing pauses between the attempts to reach a sink that is
// paused: a minute, so that it goes on half a minute after it was mended, on average,
// and an account is not locked for a password that is tried all the time.
const probeCap = time.Minute

// probe returns the pause before a paused sink is asked again, for the nth time.
func (r Retry) probe(n int, asked time.Duration, random float64) time.Duration {
	r.Cap = max(r.Cap, probeCap)
	return r.pause(n, asked, random)
}

// exhausted reports whether another attempt after a pause would go over a bound.
func (r Retry) exhausted(attempts int, elapsed, pause time.Duration) bool {
	if r.MaxAttempts > 0 && attempts >= r.MaxAttempts {
		return true
	}
	return r.MaxElapsed > 0 && elapsed+pause > r.MaxElapsed
}
