package detect

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

// Allow is a list of anomalies that are expected: they are counted as suppressed, and
// published by nobody.
type Allow []Allowance

// Allowance says which anomalies are expected, until when, and why. What is "" in it
// matches everything; of a name that ends in "*" what stands before decides.
type Allowance struct {
	KeyARN    string
	Principal string
	Kind      Kind
	Detector  string // or the rule's name
	Until     int64  // windows that start from then on are not allowed, ns since 1970; 0: for ever
	Why       string
}

// Validate returns what is wrong with an Allowance.
func (a *Allowance) Validate() error {
	switch {
	case a.KeyARN == "" && a.Principal == "" && a.Kind == "" && a.Detector == "":
		return fmt.Errorf("it names no key, principal, kind or detector, and would allow every anomaly")
	case a.Why == "":
		return fmt.Errorf("it says no why: who reads it in a year must know")
	}
	return nil
}

// Allows tells whether an anomaly in the window at start is expected. Of a its kind,
// detector and entity are looked at.
func (l Allow) Allows(a *Anomaly, start int64) bool {
	for i := range l {
		w := &l[i]
		if (w.Until == 0 || start < w.Until) && (w.Kind == "" || w.Kind == a.Kind) && (w.Detector == "" || w.Detector == a.Detector) &&
			matches(w.KeyARN, a.KeyARN) && matches(w.Principal, a.Principal) {
			return true
		}
	}
	return false
}

// Rules takes out of the rules that a call matches those whose anomalies are expected,
// and counts them as suppressed. matched are the user's rules among them; it returns
// what is left of those. size is that of the windows.
func (l Allow) Rules(c *count.Call, matched []*sigma.Rule, size int64) []*sigma.Rule {
	if len(l) == 0 || c.Rules == 0 && len(matched) == 0 {
		return matched
	}
	start := eventtime.Start(c.Time, size)
	a := Anomaly{Entity: wire.Entity{Scope: wire.ScopePair, KeyARN: c.KeyARN, Principal: c.Principal}}
	for i := range rule.All {
		r := &rule.All[i]
		if a.Kind, a.Detector = KindRule, r.Name; r.BlindSpot {
			a.Kind = KindBlindSpot
		}
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

// matches tells whether a pattern of an Allowance matches a name.
func matches(pattern, name string) bool {
	if n := len(pattern); n > 0 && pattern[n-1] == '*' {
		return len(name) >= n-1 && name[:n-1] == pattern[:n-1]
	}
	return pattern == "" || pattern == name
}

// String says what is allowed, for logs.
func (a *Allowance) String() string {
	until := "for ever"
	if a.Until != 0 {
		until = "until " + time.Unix(0, a.Until).UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("key %q principal %q kind %q detector %q %s: %s", a.KeyARN, a.Principal, a.Kind, a.Detector, until, a.Why)
}
