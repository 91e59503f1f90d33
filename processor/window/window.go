// Package window merges partial counts into windows of event time, closes them at the
// watermark, and lets the detectors judge each closed window against the knowledge of its
// entity. It is pure: partials and watermarks come in, windows and anomalies go out,
// without Kafka, a clock or randomness. The same partials give the same final windows in
// any order, as long as none is late.
package window

import (
	"fmt"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

// Config has the parameters of windows. The Settings are those of the detectors and of
// the memory. Other times are nanoseconds of event time.
type Config struct {
	detector.Settings
	Size int64 // of a window
	// Rollups are the sizes of longer windows that sum those of Size: multiples of it,
	// shortest first.
	Rollups  []int64
	Lateness int64 // how long after its close a window still accepts late calls
	// Partition is the engine's number, part of the names of its others.
	Partition int32
}

// DefaultConfig returns windows of five minutes with the default settings.
func DefaultConfig() Config {
	return Config{Settings: detector.DefaultSettings(), Size: int64(5 * time.Minute), Lateness: int64(time.Hour)}
}

const (
	// MinSize and MaxSize bound the sizes of windows, which are whole numbers of MinSize.
	MinSize = time.Minute
	MaxSize = 24 * time.Hour
	// MaxRollups bounds the sizes of roll-ups: each is one or two more windows in the state
	// of every entity.
	MaxRollups = 4
	// MaxLate bounds the lateness in windows, and so an entity's state: 80 late windows,
	// and some more for the disorder before they close.
	MaxLate = 80
)

// Validate returns an error that names a parameter of windows, its value and the allowed
// ones, or else that of the Settings.
func (c *Config) Validate() error {
	size := time.Duration(c.Size)
	if size < MinSize || size > MaxSize || size%MinSize != 0 {
		return fmt.Errorf("window size %v is not a whole number of minutes from 1m to 24h", size)
	}
	last := size
	for i, r := range c.Rollups {
		if why := BadRollup(i, time.Duration(r), last, size); why != "" {
			return fmt.Errorf("roll-up %s", why)
		}
		last = time.Duration(r)
	}
	switch {
	case c.Lateness < 0 || c.Lateness > MaxLate*c.Size:
		return fmt.Errorf("allowed lateness %v is not between 0 and %d windows of %v",
			time.Duration(c.Lateness), MaxLate, time.Duration(c.Size))
	}
	return c.Settings.Validate()
}

// BadRollup returns why the i-th roll-up cannot have size r, or "". last is the size of the
// one before it, or of the windows, and size that of the windows.
func BadRollup(i int, r, last, size time.Duration) string {
	switch {
	case i >= MaxRollups:
		return fmt.Sprintf("%v is one too many; allowed: %d", r, MaxRollups)
	case size > 0 && r%size != 0 || r > MaxSize:
		return fmt.Sprintf("%v is not a multiple of the window size, %v, up to %v", r, size, MaxSize)
	case r <= last:
		return fmt.Sprintf("%v is not longer than the window before it, %v", r, last)
	}
	return ""
}

// MarkAt returns the mark of a source whose watermark has reached an event time, and
// which has always accepted late calls for Lateness.
func (c *Config) MarkAt(watermark int64) eventtime.Mark {
	if watermark <= eventtime.None {
		return eventtime.Unknown()
	}
	return eventtime.Mark{Watermark: watermark, Late: eventtime.Sub(watermark, c.Lateness), Quiet: watermark}
}

// Result is one window to publish, with its own anomalies. It is valid during emit's
// call.
type Result struct {
	*entity.Window
	Anomalies []anomaly.Anomaly
	// Ended is the id of an earlier anomaly that ends with the window, or "": a silence of
	// the KMS key, which has calls again. Other anomalies end by time; see anomaly.OpenSet.
	Ended string
}
