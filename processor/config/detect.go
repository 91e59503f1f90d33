package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/processor/detect"
	"keytrail/processor/setting"
)

// Detect sets when a window is anomalous; see detect.Config for each value.
type Detect struct {
	Threshold  float64       `yaml:"threshold"`
	MinCount   int64         `yaml:"min_count"`
	PeakFactor float64       `yaml:"peak_factor"`
	WarmUp     time.Duration `yaml:"warm_up"`
	Retention  time.Duration `yaml:"retention"`
	// MaxEntities and MaxAccountEntities bound the memory of a partition.
	MaxEntities        int     `yaml:"max_entities"`
	MaxAccountEntities int     `yaml:"max_account_entities"`
	FirstUse           float64 `yaml:"first_use"`
	NewPeers           int     `yaml:"new_peers"`
	SweepSecrets       int     `yaml:"sweep_secrets"`
	ObjectSweep        int     `yaml:"object_sweep"`
	FanOut             int     `yaml:"fan_out"`
	FanOutFactor       float64 `yaml:"fan_out_factor"`
	Refusals           int64   `yaml:"refusals"`
	RefusedKeys        int     `yaml:"refused_keys"`
	SilenceCalls       float64 `yaml:"silence_calls"`
	SilenceFactor      float64 `yaml:"silence_factor"`
	// Allow lists anomalies that are expected: they are counted as suppressed, and not
	// published.
	Allow []Allow `yaml:"allow"`
}

// Allow is one entry of an allow-list. What it leaves out matches everything; a name may
// end in "*".
type Allow struct {
	Key       string `yaml:"key"`
	Principal string `yaml:"principal"`
	Kind      string `yaml:"kind"`
	Detector  string `yaml:"detector"`
	Until     string `yaml:"until"` // a time as in RFC 3339, or a day; "": for ever
	Why       string `yaml:"why"`
}

// maxAllow bounds the list: it is gone through for every anomaly.
const maxAllow = 1000

func defaultDetect(d detect.Config) Detect {
	return Detect{
		Threshold: d.Threshold, MinCount: d.MinCount, PeakFactor: d.PeakFactor, WarmUp: time.Duration(d.WarmUp), Retention: time.Duration(d.Retention),
		MaxEntities: d.MaxEntities, MaxAccountEntities: d.MaxAccountEntities,
		FirstUse: d.FirstUse, NewPeers: d.NewPeers, SweepSecrets: d.SweepSecrets, ObjectSweep: d.ObjectSweep, FanOut: d.FanOut, FanOutFactor: d.FanOutFactor,
		Refusals: d.Refusals, RefusedKeys: d.RefusedKeys, SilenceCalls: d.SilenceCalls, SilenceFactor: d.SilenceFactor, Allow: []Allow{},
	}
}

// Detection returns the settings of windows and detectors as package detect
// takes them.
func (c *Config) Detection() detect.Config {
	w, d := c.Window, c.Detect
	config := detect.Config{
		Size: int64(w.Size), Rollups: nanoseconds(w.Rollups), Lateness: int64(w.AllowedLateness),
		Threshold: d.Threshold, MinCount: d.MinCount, PeakFactor: d.PeakFactor, WarmUp: int64(d.WarmUp), Retention: int64(d.Retention),
		MaxEntities: d.MaxEntities, MaxAccountEntities: d.MaxAccountEntities,
		FirstUse: d.FirstUse, NewPeers: d.NewPeers, SweepSecrets: d.SweepSecrets, ObjectSweep: d.ObjectSweep, FanOut: d.FanOut, FanOutFactor: d.FanOutFactor,
		Refusals: d.Refusals, RefusedKeys: d.RefusedKeys, SilenceCalls: d.SilenceCalls, SilenceFactor: d.SilenceFactor,
	}
	for _, a := range d.Allow {
		one, _ := a.allowance() // validate has looked at it
		config.Allow = append(config.Allow, one)
	}
	return config
}

// allowance returns the entry as package detect takes it.
func (a Allow) allowance() (detect.Allowance, error) {
	one := detect.Allowance{KeyARN: a.Key, Principal: a.Principal, Kind: detect.Kind(a.Kind), Detector: a.Detector, Why: a.Why}
	if a.Until == "" {
		return one, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, a.Until); err == nil {
			one.Until = t.UnixNano()
			return one, nil
		}
	}
	return one, fmt.Errorf("%q is no time; allowed: such as 2026-12-31T18:00:00Z, or 2026-12-31", a.Until)
}

func (d Detect) validate(p *setting.Problems) {
	between := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) { // not so for NaN either
			p.Add("detect."+name, "%v is out of range; allowed: %v to %v", v, low, high)
		}
	}
	if !(d.Threshold > 0 && d.Threshold <= 0.01) {
		p.Add("detect.threshold", "%v is out of range; allowed: above 0, up to 0.01", d.Threshold)
	}
	setting.Between(p, "detect.min_count", d.MinCount, 1, 1_000_000_000)
	between("peak_factor", d.PeakFactor, 1, 100)
	setting.Between(p, "detect.warm_up", d.WarmUp, 0, 90*24*time.Hour)
	setting.Between(p, "detect.retention", d.Retention, time.Hour, 400*24*time.Hour)
	if d.Retention < d.WarmUp {
		p.Add("detect.retention", "%v is shorter than detect.warm_up, %v", d.Retention, d.WarmUp)
	}
	setting.Between(p, "detect.max_entities", d.MaxEntities, 1000, 100_000_000)
	setting.Between(p, "detect.max_account_entities", d.MaxAccountEntities, 1000, 100_000_000)
	if d.MaxAccountEntities > d.MaxEntities {
		p.Add("detect.max_account_entities", "%d is more than detect.max_entities, %d: one account could displace all others", d.MaxAccountEntities, d.MaxEntities)
	}
	between("first_use", d.FirstUse, 0, 20)
	setting.Between(p, "detect.new_peers", d.NewPeers, 2, 512)
	setting.Between(p, "detect.sweep_secrets", d.SweepSecrets, 2, 512)
	setting.Between(p, "detect.object_sweep", d.ObjectSweep, 2, 512)
	setting.Between(p, "detect.fan_out", d.FanOut, 2, 512)
	between("fan_out_factor", d.FanOutFactor, 1, 1000)
	setting.Between(p, "detect.refusals", d.Refusals, 1, 1_000_000_000)
	setting.Between(p, "detect.refused_keys", d.RefusedKeys, 2, 512)
	between("silence_calls", d.SilenceCalls, 10, 1e9)
	between("silence_factor", d.SilenceFactor, 1, 1000)
	if len(d.Allow) > maxAllow {
		p.Add("detect.allow", "%d entries are too many; allowed: %d", len(d.Allow), maxAllow)
	}
	for i, a := range d.Allow {
		a.validate(p, fmt.Sprintf("detect.allow[%d]", i))
	}
}

func (a Allow) validate(p *setting.Problems, at string) {
	one, err := a.allowance()
	if err != nil {
		p.Add(at+".until", "%v", err)
	}
	if err := one.Validate(); err != nil {
		p.Add(at, "%v", err)
	}
	if a.Kind != "" && !slices.Contains(detect.Kinds, detect.Kind(a.Kind)) {
		var names []string
		for _, k := range detect.Kinds {
			names = append(names, string(k))
		}
		p.Add(at+".kind", "%q is no kind of anomaly; allowed: %s", a.Kind, strings.Join(names, ", "))
	}
}
