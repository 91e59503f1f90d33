package detector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/setting"
)

// Settings determine when a window is anomalous, and how much is remembered. They are the
// section "detect" of the configuration. DefaultSettings has the defaults; Validate has
// the bounds.
type Settings struct {
	// Threshold is the probability below which a count is an anomaly. At 1e-7 a thousand
	// entities with 288 windows a day would give 0.03 false anomalies a day if the model
	// were exact.
	Threshold float64 `yaml:"threshold"`
	// MinCount is the smallest count, in one window or two, that can be a rate anomaly: a
	// program that starts reads some dozens of objects at once.
	MinCount int64 `yaml:"min_count"`
	// PeakFactor is the factor by which a count must exceed the most calls in a window of
	// a usual day for a rate anomaly: see Rate.
	PeakFactor float64 `yaml:"peak_factor"`
	// WarmUp is how long an entity is learned before it is judged.
	WarmUp time.Duration `yaml:"warm_up"`
	// Retention is how long an entity without calls is remembered.
	Retention time.Duration `yaml:"retention"`
	// MaxEntities bounds an engine's entities, and MaxAccountEntities those of one
	// account, in units: an entity is one, and one more per 256 bytes of its names. A
	// unit takes about 600 bytes. Beyond that, calls count for the others of their
	// account.
	MaxEntities        int `yaml:"max_entities"`
	MaxAccountEntities int `yaml:"max_account_entities"`
	// FirstUse is the minimum score of a first use of a KMS key that is an anomaly: see
	// FirstUse.
	FirstUse float64 `yaml:"first_use"`
	// NewPeers is the number of KMS keys new to a principal, or principals new to a KMS
	// key, that make a window an anomaly.
	NewPeers int `yaml:"new_peers"`
	// SweepSecrets is the number of different secrets and parameters that one principal
	// may read in a window before it is a sweep, whatever its past.
	SweepSecrets int `yaml:"sweep_secrets"`
	// ObjectSweep is the smallest number of different objects, in a window or on a day, that
	// can be an anomaly.
	ObjectSweep int `yaml:"object_sweep"`
	// FanOut is the smallest number of different objects, KMS keys or principals in a window
	// that can be an anomaly. FanOutFactor is how many times the most ever seen it must be.
	FanOut       int     `yaml:"fan_out"`
	FanOutFactor float64 `yaml:"fan_out_factor"`
	// Refusals is the smallest number of refused calls that can be an anomaly. RefusedKeys
	// is the number of different KMS keys that makes it probing.
	Refusals    int64 `yaml:"refusals"`
	RefusedKeys int   `yaml:"refused_keys"`
	// SilenceCalls is how many calls on a KMS key must be missing, and SilenceFactor how
	// many times as long as ever before, for its silence to be an anomaly.
	SilenceCalls  float64 `yaml:"silence_calls"`
	SilenceFactor float64 `yaml:"silence_factor"`
	// SeedUntil is a time before which events only teach the detectors: no sink takes a
	// record about them. "": every event is reported.
	SeedUntil anomaly.Until `yaml:"seed_until"`
	// Allow lists expected anomalies. They count as suppressed and are not published.
	Allow anomaly.Allow `yaml:"allow"`
}

// DefaultSettings returns the defaults. They were chosen on generated trails: see
// docs/quality.md.
func DefaultSettings() Settings {
	return Settings{
		Threshold: 1e-7, MinCount: 40, PeakFactor: 2, WarmUp: 24 * time.Hour, Retention: 35 * 24 * time.Hour,
		MaxEntities: 1_500_000, MaxAccountEntities: 500_000, FirstUse: 6, NewPeers: 5, SweepSecrets: 15, ObjectSweep: 60,
		FanOut: 8, FanOutFactor: 3, Refusals: 8, RefusedKeys: 4, SilenceCalls: 30, SilenceFactor: 3, Allow: anomaly.Allow{},
	}
}

// Bounds of settings that commands have flags for, too.
const (
	MaxThreshold = 0.01 // thresholds are above 0
	MinMinCount  = 1
	MaxMinCount  = 1_000_000_000
	MinEntities  = 1000        // of MaxEntities and MaxAccountEntities
	MostEntities = 100_000_000 // keeps the numbers of entities far below 32 bits
)

// maxAllow bounds the allow-list, which is searched for every anomaly.
const maxAllow = 1000

// Validate checks every setting and the rules between them. It returns setting.Problems,
// whose keys are those of the section, or nil.
func (s *Settings) Validate() error {
	var p setting.Problems
	between := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) { // in this form because comparisons with NaN are false
			p.Add(name, "%v is out of range; allowed: %v to %v", v, low, high)
		}
	}
	if !(s.Threshold > 0 && s.Threshold <= MaxThreshold) {
		p.Add("threshold", "%v is out of range; allowed: above 0, up to %v", s.Threshold, MaxThreshold)
	}
	setting.Between(&p, "min_count", s.MinCount, MinMinCount, MaxMinCount)
	between("peak_factor", s.PeakFactor, 1, 100)
	setting.Between(&p, "warm_up", s.WarmUp, 0, 90*24*time.Hour)
	setting.Between(&p, "retention", s.Retention, time.Hour, 400*24*time.Hour)
	if s.Retention < s.WarmUp {
		p.Add("retention", "%v is shorter than detect.warm_up, %v", s.Retention, s.WarmUp)
	}
	setting.Between(&p, "max_entities", s.MaxEntities, MinEntities, MostEntities)
	setting.Between(&p, "max_account_entities", s.MaxAccountEntities, MinEntities, MostEntities)
	if s.MaxAccountEntities > s.MaxEntities {
		p.Add("max_account_entities", "%d is more than detect.max_entities, %d: one account could displace all others",
			s.MaxAccountEntities, s.MaxEntities)
	}
	between("first_use", s.FirstUse, 0, 20)
	setting.Between(&p, "new_peers", s.NewPeers, 2, count.MaxDistinct)
	setting.Between(&p, "sweep_secrets", s.SweepSecrets, 2, count.MaxDistinct)
	setting.Between(&p, "object_sweep", s.ObjectSweep, 2, count.MaxDistinct)
	setting.Between(&p, "fan_out", s.FanOut, 2, count.MaxDistinct)
	between("fan_out_factor", s.FanOutFactor, 1, 1000)
	setting.Between(&p, "refusals", s.Refusals, 1, 1_000_000_000)
	setting.Between(&p, "refused_keys", s.RefusedKeys, 2, count.MaxDistinct)
	between("silence_calls", s.SilenceCalls, 10, 1e9)
	between("silence_factor", s.SilenceFactor, 1, 1000)
	if _, err := s.SeedUntil.Time(); err != nil {
		p.Add("seed_until", "%v", err)
	}
	validateAllow(&p, s.Allow)
	return p.Err()
}

// SeedEnd returns SeedUntil in ns since 1970, and 0 for none. The settings must be valid.
func (s *Settings) SeedEnd() int64 {
	end, _ := s.SeedUntil.Time()
	return end
}

func validateAllow(p *setting.Problems, list anomaly.Allow) {
	if len(list) > maxAllow {
		p.Add("allow", "has %d entries; allowed: %d", len(list), maxAllow)
	}
	for i := range list {
		a, at := &list[i], fmt.Sprintf("allow[%d]", i)
		if _, err := a.Until.Time(); err != nil {
			p.Add(at+".until", "%v", err)
		}
		if err := a.Validate(); err != nil {
			p.Add(at, "%v", err)
		}
		if a.Kind != "" && !slices.Contains(anomaly.Kinds, a.Kind) {
			var names []string
			for _, k := range anomaly.Kinds {
				names = append(names, string(k))
			}
			p.Add(at+".kind", "%q is not a kind of anomaly; allowed: %s", a.Kind, strings.Join(names, ", "))
		}
	}
}
