package stream

import (
	"cmp"
	"context"

	"keytrail/processor/kafka"
	"keytrail/processor/lograte"
	"keytrail/processor/telemetry"
)

// access returns the access that the stages need to each topic; without stages, a
// publisher's.
func (p *Pipeline) access(stages Stages) map[string]kafka.Access {
	t, all := p.Topics, map[string]kafka.Access{}
	add := func(on bool, access kafka.Access, topics ...string) {
		for _, name := range topics {
			if on {
				all[name] |= access
			}
		}
	}
	add(stages == Stages{}, kafka.Write, t.Events, t.DeadLetter)
	add(stages != Stages{}, kafka.Read|kafka.Write, t.Status)
	add(stages.Collect && len(p.Sources) > 0, kafka.Write, t.Events, t.DeadLetter)
	add(stages.Normalize, kafka.Read, t.Raw)
	add(stages.Normalize, kafka.Write, t.Events, t.DeadLetter)
	add(stages.Count, kafka.Read, t.Events, t.Dedup)
	add(stages.Count, kafka.Write, t.Dedup, t.Partials, t.Anomalies, t.DeadLetter)
	add(stages.Detect, kafka.Read, t.Partials, t.State)
	add(stages.Detect, kafka.Write, t.Partials, t.State, t.Windows, t.Anomalies, t.Incidents, t.Keys,
		t.DeadLetter)
	add(stages.Web, kafka.Read, t.Events, t.Windows, t.Anomalies)
	for _, d := range p.Sinks {
		add(stages.Forward, kafka.Read, d.topics(t)...)
		add(stages.Forward, kafka.Write, t.DeadLetter)
	}
	return all
}

// makeParts creates the metrics, the health and the dead-letter log of the stages, sources
// and sinks of this process.
func (p *Pipeline) makeParts(stages Stages) error {
	p.Telemetry.Health().Part("kafka") // shown first
	p.flows, p.letters = map[string]*telemetry.Flow{}, map[string]*lograte.Letters{}
	for _, one := range []struct {
		on           bool
		stage, topic string
		reasons      []string
	}{
		{stages.Normalize, "normalize", p.Topics.Raw, collectReasons()},
		{stages.Count, "count", p.Topics.Events, countReasons},
		{stages.Detect, "detect", p.Topics.Partials, detectReasons},
	} {
		p.flows[one.stage] = p.Telemetry.Flow(one.stage, "")
		p.letters[one.stage] = lograte.NewLetters(lograte.ToLog(p.Log.With("stage", one.stage)))
		if !one.on {
			continue
		}
		if err := p.addPart(&part{stage: one.stage, group: p.group(one.stage), topics: []string{one.topic}},
			one.reasons...); err != nil {
			return err
		}
	}
	p.letters[stageCollect] = lograte.NewLetters(lograte.ToLog(p.Log.With("stage", stageCollect)))
	for _, s := range p.Sources {
		if stages.Collect {
			if err := p.addPart(&part{stage: stageCollect, source: s.Name}, collectReasons()...); err != nil {
				return err
			}
		}
	}
	for _, d := range p.Sinks {
		if stages.Forward {
			if err := p.addSink(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// group returns the consumer group of a stage.
func (p *Pipeline) group(stage string) string { return p.TransactionID + "-" + stage }

// SinkGroup returns the consumer group of a sink with an id, or else a name.
func (p *Pipeline) SinkGroup(id, name string) string { return p.group("forward-" + cmp.Or(id, name)) }

// checkAccess checks that the brokers let the stages join their groups and write
// transactions.
func (p *Pipeline) checkAccess(ctx context.Context) error {
	var groups, ids []string
	for _, one := range p.allParts() {
		if one.source != "" {
			continue // it has no group, and no transactions
		}
		groups = append(groups, one.group)
		if one.sink == "" {
			ids = append(ids, p.TransactionID+"-"+one.stage+"-")
		}
	}
	return kafka.CheckAccess(ctx, p.Kafka, groups, ids)
}
