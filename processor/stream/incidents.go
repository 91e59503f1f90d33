package stream

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/processor/incident"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// This file contains the incidents of stage detect. An account's anomalies are found in
// several partitions; the one that owns the account groups them. The others send it each
// record of an anomaly, as a signal in the frames of notify. Those frames also say which
// windows are settled everywhere: an incident that has ended by then cannot change.

// A signal is the event time at which an anomaly ends, in 8 bytes, and its OTLP record.
const signalHead = 8

// signal sends the record of an anomaly in d.rec, which ends at until, to the owner of its
// account. Alarms of the ledger are about a key's upkeep, not about an act.
func (d *detector) signal(t *detectTask, rec *otellog.Record, until int64) {
	if strings.HasPrefix(rec.Str(semconv.KeytrailAnomalyDetector), anomaly.LedgerDetector) {
		return
	}
	_, account, err := incident.FromRecord(rec, until)
	if err != nil {
		panic("BUG: stage detect made an anomaly without a time: " + err.Error())
	}
	signal := otellog.AppendRequest(binary.BigEndian.AppendUint64(nil, uint64(until)), rec)
	q := wire.Owner(account, int(d.p.Partitions[d.p.Topics.Partials]))
	if t.signals == nil {
		t.signals = map[int32][]string{}
	}
	t.signals[q] = append(t.signals[q], string(signal))
}

// signalled takes the signals of a frame.
func (d *detector) signalled(t *detectTask, f *wire.Frame) error {
	for _, signal := range f.Hits {
		if len(signal) < signalHead {
			return fmt.Errorf("source %d: frame %d has a damaged signal", f.Source, f.Sequence)
		}
		head := []byte(signal[:signalHead])
		err := d.rec.Decode([]byte(signal[signalHead:]))
		part, account, perr := incident.FromRecord(&d.rec, int64(binary.BigEndian.Uint64(head)))
		if err == nil {
			err = perr
		}
		if err != nil {
			return fmt.Errorf("source %d: frame %d has a damaged signal: %w", f.Source, f.Sequence, err)
		}
		t.incidents.Put(account, part)
	}
	return nil
}

// frameSignals bounds the signals of one frame: 32, of at most 20 kB, stay below Kafka's
// record limit.
const frameSignals = 32

// sendSignals sends the signals of this step. Frames that declare windows settled follow
// them: no signal may be later than what has been declared.
func (d *detector) sendSignals(t *detectTask) {
	for q := range d.p.Partitions[d.p.Topics.Partials] {
		for part := range slices.Chunk(t.signals[q], frameSignals) {
			d.notice(t, q, t.meta.Told, &wire.Frame{Hits: part})
		}
	}
	clear(t.signals)
}

// settled returns the event time before which no anomaly is found any more, anywhere. The
// calls of rules are in windows that end later, by up to a window.
func (p *Pipeline) settled(t *detectTask) int64 {
	return eventtime.Sub(t.slowest(p.Partitions[p.Topics.Partials]), p.Window.Detect.Size)
}

// incidents publishes the incidents that have begun, changed or ended.
func (d *detector) incidents(t *detectTask, now int64) {
	unkept := t.incidents.Unkept
	t.incidents.Advance(d.p.settled(t), func(p *incident.Publication) {
		incident.Record(&d.rec, p, now)
		d.emit(d.p.keyed(d.p.Topics.Incidents, p.ID, otellog.AppendRequest(nil, &d.rec), semconv.EventKeytrailIncident))
	})
	if n := t.incidents.Unkept - unkept; n > 0 {
		d.p.Log.Warn("detect: an account has more anomalies than incidents can group: those with the lowest scores "+
			"belong to none", "anomalies", n, "partition", t.partition)
	}
}
