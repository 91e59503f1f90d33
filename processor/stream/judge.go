package stream

import (
	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/intake"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// newCounter returns stage count.
func newCounter(p *Pipeline) *counter {
	c := &counter{p: p, tasks: map[int32]*countTask{}}
	c.taker = intake.Taker{Publish: c.publish, Unmatched: c.unmatched}
	c.judge(p.Judging())
	return c
}

// judge sets the rules for all calls from now on.
func (c *counter) judge(j *Judging) {
	c.judging = j
	c.taker.Judge = intake.NewJudge(c.p.Window.Detect.Size, j.Allow, j.Rules)
	c.headers = c.maker()
}

// checkRules warns if the user's rules can find nothing in this pipeline.
func (p *Pipeline) checkRules(stages Stages) {
	if p.Rules == nil {
		return
	}
	if stages.Normalize && p.Read.OmitBody && len(p.Rules.List) > 0 {
		p.Log.Warn("THE RULES FIND NOTHING in the events that this process normalizes: rules read the events' bodies, "+
			"which it omits; set decode.body to keep", "rules", len(p.Rules.List))
	}
}

// unmatched handles a call that the user's rules could not read.
func (c *counter) unmatched(call *count.Call, err error) {
	if c.stats.unmatched++; !c.told { // once: there may be millions
		c.told = true
		c.p.Log.Warn("count: the rules cannot read a call, which is counted without them; "+
			"keytrail_stage_unmatched_total has the number of such calls", "call", call.IDText, "error", err)
	}
}

// hit is an anomaly of a rule, which goes to the partition of stage detect that ends it.
type hit struct {
	id     string
	record []byte // the value of the published record, which must not change
}

// publish publishes an anomaly of a rule at once.
func (c *counter) publish(a *anomaly.Anomaly) {
	var rec otellog.Record
	a.Rules, a.URL = c.judging.Digest, c.p.link(a.ID)
	anomaly.AnomalyRecord(&rec, a, c.now)
	value := otellog.AppendRequest(nil, &rec)
	c.out = append(c.out, c.p.keyed(c.p.Topics.Anomalies, a.ID, value, semconv.EventKeytrailAnomaly))
	c.taking.hits = append(c.taking.hits, hit{a.ID, value})
	c.stats.anomalies = append(c.stats.anomalies, a.Kind)
}
