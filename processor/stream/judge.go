package stream

import (
	"keytrail/processor/count"
	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// newCounter returns stage count.
func newCounter(p *Pipeline) *counter {
	return &counter{p: p, tasks: map[int32]*countTask{}, match: count.NewMatcher(p.Rules)}
}

// checkRules tells when the user's rules can find nothing in this pipeline.
func (p *Pipeline) checkRules(stages Stages) {
	if p.Rules == nil {
		return
	}
	if stages.Normalize && p.Read.OmitBody && len(p.Rules.List) > 0 {
		p.Log.Warn("THE RULES FIND NOTHING in the events that this process normalizes: it leaves the events' bodies out, which rules are about; set decode.body to keep", "rules", len(p.Rules.List))
	}
}

// judge asks the user's rules about the call in c.call. They could be many, and
// they read the whole event, so only a call that is credited is judged.
func (c *counter) judge(t *countTask) []*sigma.Rule {
	found, err := c.match.Match(&c.rec, &c.call)
	if err != nil {
		if c.stats.unmatched++; !c.told { // once: there may be millions
			c.told = true
			c.p.Log.Warn("count: the rules can not be tried on a call; it is counted without them, and keytrail_stage_unmatched_total tells how many are", "call", c.call.IDText, "error", err)
		}
	}
	t.observed.observe(&c.call, found.Observations)
	c.stats.unexplained += int(c.call.Matched) - len(found.Rules)
	return c.p.Window.Detect.Allow.Rules(&c.call, found.Rules, c.p.Window.Detect.Size)
}

// explain publishes the anomalies of the rules that the call in c.call matches, at once,
// and counts in the call those that it withholds: of a storm, and those of the user's
// rules beyond what one call explains. When those of a worse copy were published, which
// have the same ids, these are as well.
func (c *counter) explain(t *countTask, matched []*sigma.Rule, published bool) {
	if c.call.Rules == 0 && c.call.Matched == 0 {
		return
	}
	own := c.call.Clone()
	e := wire.Entity{Scope: wire.ScopePair, KeyARN: own.KeyARN, Principal: own.Principal}
	size := c.p.Window.Detect.Size
	start := eventtime.Start(own.Time, size)
	list := append(detect.FromRules(&c.rec, own.Rules, e, start, size), detect.FromSigma(&c.rec, matched, e, start, size)...)
	rules, blindSpots := own.Rules.Kinds()
	c.call.Withheld = uint16(rules + blindSpots + int(own.Matched))
	var rec otellog.Record
	for i := range list {
		if !t.storm.Admit(start, list[i].Detector, e) && !published {
			continue
		}
		c.call.Withheld--
		detect.AnomalyRecord(&rec, &list[i], c.now)
		c.out = append(c.out, c.p.keyed(c.p.Topics.Anomalies, list[i].ID, otellog.AppendRequest(nil, &rec), semconv.EventKeytrailAnomaly))
		c.stats.anomalies = append(c.stats.anomalies, list[i].Kind)
	}
}
