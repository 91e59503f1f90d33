package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// opened returns the Sink of a Config.
func opened(t *testing.T, c sink.Config) *Sink {
	t.Helper()
	to, err := c.Open(sink.Identity{Name: "x", Group: "x"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := to.Close(); err != nil {
			t.Error(err)
		}
	})
	return to.(*Sink)
}

// receiver is one type of sinks with its stand-in.
type receiver struct {
	name  string
	took  string
	check func([]byte) error
	at    func(url string, timeout time.Duration) sink.Config
}

// receivers are the types for anomalies.
func receivers() []receiver {
	return []receiver{
		{"slack", "200 ok", slackTaken, func(url string, limit time.Duration) sink.Config {
			c := DefaultSlack()
			c.URL, c.Timeout = setting.NewSecret(url), limit
			return &c
		}},
		{"teams", "202 ", teamsTaken, func(url string, limit time.Duration) sink.Config {
			c := DefaultTeams()
			c.URL, c.Timeout = setting.NewSecret(url), limit
			return &c
		}},
		{"pagerduty", pagerDutyTook, pagerDutyTaken, func(url string, limit time.Duration) sink.Config {
			c := DefaultPagerDuty()
			c.Endpoint, c.RoutingKey, c.Timeout = url, setting.NewSecret(testKey), limit
			return &c
		}},
		{"alertmanager", "200 ", alertmanagerTaken, func(url string, limit time.Duration) sink.Config {
			c := DefaultAlertmanager()
			c.Endpoint, c.Timeout = url, limit
			return &c
		}},
	}
}

// one returns the named type with a sink that has no pauses.
func one(t *testing.T, name string) (*standIn, *Sink) {
	t.Helper()
	for _, r := range receivers() {
		if r.name == name {
			h := newStandIn(t, r.took, r.check)
			s := opened(t, r.at(h.url, 10*time.Second))
			s.pace = nil
			return h, s
		}
	}
	t.Fatalf("no type %q", name)
	return nil, nil
}

// finding is what a test says of an anomaly.
type finding struct {
	id, severity, reason string
	revision             int64
	ended                bool
	more                 func(r *otellog.Record)
}

const began = 1_795_000_000_000_000_000

// record returns the log record of an anomaly.
func (f finding) record() sink.Record {
	r := &otellog.Record{EventName: semconv.EventKeytrailAnomaly, Time: began + 300e9 + f.revision*300e9}
	r.Where(semconv.CloudAccountID, "111122223333")
	r.Where(semconv.CloudRegion, "eu-central-1")
	r.String(semconv.KeytrailAnomalyID, f.id)
	r.String(semconv.LogRecordUID, fmt.Sprintf("%s-%d", f.id, f.revision))
	r.Int(semconv.KeytrailAnomalyRevision, f.revision)
	r.String(semconv.KeytrailAnomalyKind, "rate")
	r.String(semconv.KeytrailAnomalyDetector, "rate")
	r.String(semconv.KeytrailAnomalySeverity, f.severity)
	r.String(semconv.KeytrailAnomalyReason, f.reason)
	r.String(semconv.KeytrailAnomalyBegan, time.Unix(0, began).UTC().Format(time.RFC3339))
	r.String(semconv.KeytrailWindowStart, time.Unix(0, began+f.revision*300e9).UTC().Format(time.RFC3339))
	r.String(semconv.AWSKMSKeyARN, "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
	r.String(semconv.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/app")
	r.Double(semconv.KeytrailAnomalyObserved, 41)
	if f.ended {
		r.String(semconv.KeytrailAnomalyState, stateEnded)
	}
	if f.more != nil {
		f.more(r)
	}
	return sink.Record{Value: otellog.AppendRequest(nil, r), EventName: r.EventName, Key: []byte(f.id), Ref: f.id}
}

// tell delivers findings in one batch and returns what arrived since the last call.
func (h *standIn) tell(t *testing.T, s *Sink, list ...finding) []string {
	t.Helper()
	var batch []sink.Record
	for _, f := range list {
		batch = append(batch, f.record())
	}
	h.mu.Lock()
	before := len(h.taken)
	h.mu.Unlock()
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts []string
	for _, m := range h.taken[before:] {
		texts = append(texts, string(m))
	}
	return texts
}

// bring brings records through a Runner and returns the dead letters with the reasons.
func bring(t *testing.T, s sink.Sink, batch []sink.Record) (dead []string) {
	t.Helper()
	r, err := sink.NewRunner(sink.Options{
		Name: "x", Sink: s, Batch: sink.DefaultBatch(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond}, Random: func() float64 { return 0 },
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, err error) error {
			dead = append(dead, fmt.Sprint(rec.Ref, " ", reason, " ", err))
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	return dead
}
