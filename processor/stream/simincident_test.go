package stream

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/incident"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// incidents checks that every published anomaly is in one incident, and that each incident
// has ended as Fold groups all anomalies at once, or is in the state of stage detect.
func (s *sim) incidents() {
	parts := s.signals()
	want := map[string]*incident.Incident{}
	for account, set := range parts {
		for _, i := range incident.Fold(account, slices.Collect(maps.Values(set))) {
			want[i.ID] = i
		}
	}
	waiting := incident.NewSet()
	s.read(s.p.Topics.State, func(r *kgo.Record) {
		if incident.IsStateKey(string(r.Key)) {
			if err := waiting.Restore(string(r.Key), r.Value); err != nil {
				s.fault("%v", err)
			}
		}
	})
	open := map[string]bool{}
	waiting.Rest(func(p *incident.Publication) {
		open[p.ID] = true
		if w := want[p.ID]; w == nil || incidentText(w) != incidentText(p.Incident) {
			s.fault("the open incident %s is not as all anomalies make it", incidentText(p.Incident))
		}
	})
	last := s.lastIncidents()
	for id, w := range want {
		switch rec := last[id]; {
		case rec == nil:
			s.fault("the incident %s was never published", incidentText(w))
		case rec.Str(semconv.KeytrailIncidentState) == incident.Ended:
			s.stats["incidents that ended"]++
			var r otellog.Record
			incident.Record(&r, &incident.Publication{Incident: w, State: incident.Ended, Severity: rec.Str(semconv.KeytrailIncidentSeverity), At: w.Until}, 0)
			if a, b := recordText(rec), recordText(&r); a != b {
				s.fault("an incident ended as\n%s\nwant\n%s", a, b)
			}
		case !open[id]:
			s.fault("the incident %s was published as open, and is not in the state", incidentText(w))
		}
	}
	for id, rec := range last {
		if want[id] == nil && (rec.Str(semconv.KeytrailIncidentState) != incident.Ended || rec.Str(semconv.KeytrailIncidentMergedInto) == "") {
			s.fault("the incident %s was published and is none: %s", id, rec.Body)
		} else if want[id] == nil {
			s.stats["incidents taken in"]++
		}
	}
}

// signals are the anomalies that owners of accounts have been sent, by account, as sets join
// them. They are those of kms.anomalies.
func (s *sim) signals() map[string]map[string]*incident.Part {
	found, joined := map[string]bool{}, map[string]map[string]*incident.Part{}
	var rec otellog.Record
	s.read(s.p.Topics.Partials, func(r *kgo.Record) {
		f, err := wire.NewDecoder(r.Value).Frame()
		if err != nil || f.Source >= 0 {
			return
		}
		for _, hit := range f.Hits {
			if err := rec.Decode([]byte(hit[signalHead:])); err != nil {
				s.fault("a signal: %v", err)
			}
			p, account, err := incident.FromRecord(&rec, int64(binary.BigEndian.Uint64([]byte(hit[:signalHead]))))
			if err != nil {
				s.fault("a signal: %v", err)
			}
			found[p.ID] = true
			if joined[account] == nil {
				joined[account] = map[string]*incident.Part{}
			}
			joined[account][p.ID] = incident.Join(joined[account][p.ID], &p)
		}
	})
	s.read(s.p.Topics.Anomalies, func(r *kgo.Record) {
		err := rec.Decode(r.Value)
		ledger := strings.HasPrefix(rec.Str(semconv.KeytrailAnomalyDetector), anomaly.LedgerDetector)
		if err != nil || found[rec.Str(semconv.KeytrailAnomalyID)] == ledger {
			s.fault("the anomaly %s: signal %v, ledger %v (%v)", rec.Str(semconv.KeytrailAnomalyID), !ledger, ledger, err)
		}
	})
	return joined
}

// lastIncidents returns the last record of each incident.
func (s *sim) lastIncidents() map[string]*otellog.Record {
	last, published := map[string]*otellog.Record{}, map[string]int{}
	s.read(s.p.Topics.Incidents, func(r *kgo.Record) {
		rec := &otellog.Record{}
		if err := rec.Decode(slices.Clone(r.Value)); err != nil {
			s.fault("an incident: %v", err)
		}
		id := rec.Str(semconv.KeytrailIncidentID)
		if before := last[id]; before != nil && before.Get(semconv.KeytrailIncidentRevision).Int >= rec.Get(semconv.KeytrailIncidentRevision).Int {
			s.fault("the incident %s has a revision twice", id)
		}
		published[id]++
		last[id] = rec
	})
	for id, n := range published {
		if s.stats["publications of incidents"] += n; n > 5 {
			s.fault("the incident %s was published %d times", id, n)
		}
	}
	return last
}

func incidentText(i *incident.Incident) string {
	var parts []string
	for _, p := range i.Parts {
		parts = append(parts, fmt.Sprint(p.ID, "/", p.Revision, "/", p.At, "/", p.Until))
	}
	return fmt.Sprint(i.ID, " ", i.Began, " ", i.Until, " ", i.Risk, " ", parts)
}

// recordText is a record without the attributes that count publications.
func recordText(rec *otellog.Record) string {
	var b strings.Builder
	fmt.Fprintln(&b, rec.EventName, rec.Time, rec.Severity, rec.Body)
	for i := range rec.Attrs {
		if a := &rec.Attrs[i]; a.Key != semconv.KeytrailIncidentRevision && a.Key != semconv.LogRecordUID {
			fmt.Fprintln(&b, a.Key, a.Str, a.Int, a.Num, a.Strs)
		}
	}
	return b.String()
}

// One partition, four and sixteen have the same incidents: those that Fold makes of all
// anomalies.
func TestIncidentsOfPartitions(t *testing.T) {
	tools := newTools(t)
	for _, tools.partitions = range []int32{1, 4, 16} {
		published, ended := 0, 0
		for seed := uint64(1); seed <= 30 || ended < 3 && seed < 1000; seed++ {
			v, s := verdict(seed, sound, tools)
			if v != "" {
				t.Fatalf("%d partitions, seed %d: %s", tools.partitions, seed, v)
			}
			published, ended = published+s.stats["publications of incidents"], ended+s.stats["incidents that ended"]
		}
		t.Logf("%d partitions: %d publications, %d incidents have ended", tools.partitions, published, ended)
		if ended == 0 {
			t.Errorf("%d partitions: no incident has ended: this tests too little", tools.partitions)
		}
	}
}
