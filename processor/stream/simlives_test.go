package stream

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// simLife is what was published of an anomaly.
type simLife struct {
	highest, last int64 // revisions
	opened, ended int
	rule, ledger  bool
}

// lives checks that each anomaly ends, exactly once for each time that it opened, with its
// highest revision, and that no revision of a detector's or a correlation's is lower than
// the one before.
func (s *sim) lives() {
	for range 4 { // silences end with the retention, and a restart needs two to notice silent sources
		s.now += int64(s.p.Window.Detect.Retention) + int64(48*time.Hour)
		s.drain()
	}
	lives := map[string]*simLife{}
	var rec otellog.Record
	s.read(s.p.Topics.Anomalies, func(r *kgo.Record) {
		if err := rec.Decode(r.Value); err != nil {
			s.fault("an anomaly record: %v", err)
			return
		}
		id, revision := strings.Clone(rec.Str(semconv.KeytrailAnomalyID)), rec.Get(semconv.KeytrailAnomalyRevision).Int
		l := lives[id]
		if l == nil {
			l = &simLife{last: -1}
			lives[id] = l
		}
		state, detector := rec.Str(semconv.KeytrailAnomalyState), rec.Str(semconv.KeytrailAnomalyDetector)
		l.rule = rec.Str(semconv.KeytrailAnomalyKind) == string(anomaly.KindRule) || rec.Str(semconv.KeytrailAnomalyKind) == string(anomaly.KindBlindSpot)
		l.ledger = strings.HasPrefix(detector, anomaly.LedgerDetector)
		switch ended := state == anomaly.StateEnded; {
		case ended != (revision%2 == 1) || !ended && state != anomaly.StateOpen:
			s.fault("%s %s: revision %d is %q", detector, id, revision, state)
		case ended:
			l.ended++
		case l.last < 0 || l.last%2 == 1:
			l.opened++
		}
		// Stage count publishes the anomaly of a better copy while stage detect ends that of the copy before.
		if single := l.rule && !isCorrelated(&rec); !single && (revision < l.last || revision == l.last && revision != 0) {
			s.fault("%s %s: revision %d after %d", detector, id, revision, l.last)
		}
		l.highest, l.last = max(l.highest, revision), revision
		if l.opened > 1 && revision%2 == 1 {
			s.stats["opened again"]++
		}
	})
	s.alarms(lives)
	for id, l := range lives {
		if l.ledger {
			continue
		}
		if l.last != l.highest || l.last%2 == 0 || l.ended != l.opened && !l.rule {
			s.fault("anomaly %s opened %d times and ended %d times, last with revision %d of at most %d", id, l.opened, l.ended, l.last, l.highest)
		}
	}
	s.stats["anomalies that ended"] += len(lives)
}
