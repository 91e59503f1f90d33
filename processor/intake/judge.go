package intake

import (
	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Judge judges calls by the always-on rules and the user's. It reuses its memory. Not
// safe for concurrent use.
type Judge struct {
	size  int64
	allow anomaly.Allow
	match *count.Matcher // nil without rules of the user
}

// NewJudge returns a Judge for windows of size ns, which omits anomalies that allow
// expects. rules are the user's; nil for none.
func NewJudge(size int64, allow anomaly.Allow, rules *sigma.Rules) *Judge {
	return &Judge{size: size, allow: allow, match: count.NewMatcher(rules)}
}

// Found is the rules' result for one call. Its slices are valid until the next call.
type Found struct {
	count.Found
	// Unexplained is the number of the user's rules that match beyond count.MaxFindings:
	// they count, but have no anomaly.
	Unexplained int
}

// Match matches the call c of the log record rec with the user's rules, and removes the
// allowed rules from c. An error means that the user's rules could not read the record:
// the call counts without them.
func (j *Judge) Match(rec *otellog.Record, c *count.Call) (Found, error) {
	found, err := j.match.Match(rec, c)
	all := Found{found, int(c.Matched) - len(found.Rules)}
	all.Rules = j.allow.Rules(c, all.Rules, j.size)
	return all, err
}

// Anomalies returns the anomalies of the rules that the call c matches, of its pair in
// the window of its time. matched are those of Match. They share nothing with c.
func (j *Judge) Anomalies(rec *otellog.Record, c *count.Call, matched []*sigma.Rule) []anomaly.Anomaly {
	if c.Rules == 0 && len(matched) == 0 {
		return nil
	}
	own := c.Clone()
	pair := wire.Entity{Scope: wire.ScopePair, Key: own.Key, Principal: own.Principal}
	start := eventtime.Start(c.Time, j.size)
	list := anomaly.FromRules(rec, c.Rules, pair, start, j.size)
	return append(list, anomaly.FromSigma(rec, matched, pair, start, j.size)...)
}

// Admit passes the anomalies of the call c that storm admits to publish, or all if again
// is set: those of a worse copy of the call, which have the same ids, were published. It
// passes the others to withhold, which may be nil, and counts in c its matched rules that
// are not published, including those without an anomaly.
func Admit(storm *anomaly.Storm, c *count.Call, list []anomaly.Anomaly, again bool,
	publish, withhold func(*anomaly.Anomaly)) {
	rules, blindSpots := c.Rules.Kinds()
	c.Withheld = uint16(rules + blindSpots + int(c.Matched))
	for i := range list {
		a := &list[i]
		if storm.Admit(a.Start, a.Detector, a.Entity) || again {
			c.Withheld--
			publish(a)
		} else if withhold != nil {
			withhold(a)
		}
	}
}
