package anomaly

import (
	"fmt"
	"slices"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

// Allow is the list of expected anomalies. They count as suppressed and are not published.
type Allow []Allowance

// Allowance matches expected anomalies, with an end and a reason. An empty field matches
// everything. A Key or Principal that ends in "*" matches every name with that prefix.
type Allowance struct {
	Key       string `yaml:"key"`
	Principal string `yaml:"principal"`
	Kind      Kind   `yaml:"kind"`
	Detector  string `yaml:"detector"` // or the rule's name
	Until     Until  `yaml:"until"`    // windows that start before it are allowed
	Why       string `yaml:"why"`
}

// Until is the end of an Allowance: a time as in RFC 3339, or a day (UTC); "" is never.
type Until string

// Time returns the end in ns since 1970, and 0 for never. A text of another form is an
// error.
func (u Until) Time() (int64, error) {
	if u == "" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, string(u)); err == nil {
			return t.UnixNano(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time; allowed: such as 2026-12-31T18:00:00Z, or 2026-12-31", string(u))
}

// Validate returns an error if the fields of an Allowance do not fit together.
func (a *Allowance) Validate() error {
	switch {
	case a.Key == "" && a.Principal == "" && a.Kind == "" && a.Detector == "":
		return fmt.Errorf("names no key, principal, kind or detector; it would allow every anomaly")
	case a.Why == "":
		return fmt.Errorf("has no why; write the reason, for those who read it in a year")
	}
	return nil
}

// Allows reports whether an anomaly in the window at start is expected. It looks at the
// kind, the detector and the entity of a.
func (l Allow) Allows(a *Anomaly, start int64) bool {
	for i := range l {
		w := &l[i]
		if (w.Kind == "" || w.Kind == a.Kind) && (w.Detector == "" || w.Detector == a.Detector) &&
			matches(w.Key, a.Key) && matches(w.Principal, a.Principal) && !w.ended(start) {
			return true
		}
	}
	return false
}

// ended reports whether the allowance had expired at start, the start of a window.
func (a *Allowance) ended(start int64) bool {
	end, err := a.Until.Time()
	return err != nil || end != 0 && start >= end
}

// Rules removes the expected anomalies from a call's matched rules, and counts them as
// suppressed. matched are the user's rules among them. Rules returns the rest of matched,
// in the same memory. size is that of the windows.
func (l Allow) Rules(c *count.Call, matched []*sigma.Rule, size int64) []*sigma.Rule {
	if len(l) == 0 || c.Rules == 0 && len(matched) == 0 {
		return matched
	}
	start := eventtime.Start(c.Time, size)
	a := Anomaly{Entity: wire.Entity{Scope: wire.ScopePair, Key: c.Key, Principal: c.Principal}}
	for i := range rule.All {
		r := &rule.All[i]
		a.Kind, a.Detector = kindOf(r), r.Name
		if c.Rules&(1<<i) != 0 && l.Allows(&a, start) {
			c.Rules &^= 1 << i
			c.Suppressed++
		}
	}
	a.Kind = KindRule
	return slices.DeleteFunc(matched, func(r *sigma.Rule) bool {
		a.Detector = SigmaDetector + r.ID
		if !l.Allows(&a, start) {
			return false
		}
		c.Matched--
		c.Suppressed++
		return true
	})
}

// matches reports whether a pattern of an Allowance matches a name.
func matches(pattern, name string) bool {
	if n := len(pattern); n > 0 && pattern[n-1] == '*' {
		return len(name) >= n-1 && name[:n-1] == pattern[:n-1]
	}
	return pattern == "" || pattern == name
}
