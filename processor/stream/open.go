package stream

import (
	"fmt"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// This file contains the life of anomalies in stage detect, which ends them all: those that
// it finds, and those of rules, which stage count publishes and sends in its frames.

// found publishes an anomaly, and holds it until it ends.
func (d *detector) found(t *detectTask, a *anomaly.Anomaly, now int64) {
	a.Rules, a.URL = d.judging.Digest, d.p.link(a.ID)
	anomaly.AnomalyRecord(&d.rec, a, now)
	d.emitAnomaly(a.ID, &d.rec)
	t.open.Put(&d.rec, a.Until)
	d.signal(t, &d.rec, a.Until)
	d.stats.anomalies = append(d.stats.anomalies, a.Kind)
}

// link returns the address of an anomaly in the page, or "" without a public address.
func (p *Pipeline) link(id string) string {
	if p.PageURL == "" {
		return ""
	}
	return p.PageURL + "/anomaly?id=" + id
}

// hits holds the anomalies of rules in a frame until they end.
func (d *detector) hits(t *detectTask, f *wire.Frame) error {
	for _, hit := range f.Hits {
		if err := d.rec.Decode([]byte(hit)); err != nil {
			return fmt.Errorf("source %d: frame %d has a damaged anomaly: %w", f.Source, f.Sequence, err)
		}
		t.open.Put(&d.rec, anomaly.UntilOf(&d.rec))
		d.signal(t, &d.rec, anomaly.UntilOf(&d.rec))
	}
	return nil
}

// end publishes the ends of anomalies. While windows up to the mark are still closing, one of
// them might continue an anomaly, so only those beyond the bound on memory end. It reports
// whether it stopped before the last one.
func (d *detector) end(t *detectTask, closing bool, now int64, left *int) (more bool) {
	mark := t.engine.Mark().Quiet
	if closing {
		mark = eventtime.None
	}
	return t.open.Advance(mark, now, left, func(id string, rec *otellog.Record) {
		d.emitAnomaly(id, rec)
		d.signal(t, rec, rec.Time)
	})
}

func (d *detector) emitAnomaly(id string, rec *otellog.Record) {
	d.emit(d.p.keyed(d.p.Topics.Anomalies, id, otellog.AppendRequest(nil, rec), semconv.EventKeytrailAnomaly))
}
