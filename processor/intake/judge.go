package intake

import (
	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Judge judges calls by the always-on rules and the user's own. It keeps its memory from
// one call to the next. Not safe for concurrent use.
type Judge struct {
	size  int64
	allow anomaly.Allow
	match *count.Matcher // nil without rules of the user
}

// NewJudge returns a Judge for windows of size ns, which leaves out anomalies that allow
// expects. rules are the user's own; nil for none.
func NewJudge(size int64, allow anomaly.Allow, rules *sigma.Rules) *Judge {
	return &Judge{size: size, allow: allow, match: count.NewMatcher(rules)}
}

// Found is what the rules say of one call. Its slices are valid until the next call.
type Found struct {
	count.Found
	// Unexplained is how many of the user's rules match beyond count.MaxFindings: they
	// count, and have no anomaly.
	Unexplained int
}

// Match asks the user's rules about the call c of the log record rec, and takes the rules
// that the configuration allows out of c. An error says that the user's rules could not
// be asked: the call counts without them.
func (j *Judge) Match(rec *otellog.Record, c *count.Call) (Found, error) {
	found, err := j.match.Match(rec, c)
	all := Found{found, int(c.Matched) - len(found.Rules)}
	all.Rules = j.allow.Rules(c, all.Rules, j.size)
	return all, err
}

// Anomalies returns the anomalies of the rules that the call c matches, of its pair in the
// window of its time. matched are those of Match. They share nothing with c.
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

// Admit hands those anomalies of the call c to publish that storm admits, or all when
// again is set: those of a worse copy of the call, which have the same ids, were published.
// It hands the others to withhold, which may be nil, and counts in c the rules that it
// matches and that are not published, those without an anomaly included.
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
