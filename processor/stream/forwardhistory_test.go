package stream

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// TestHistoryIsNotForwarded checks that a sink takes no record about a time before
// detect.seed_until, and all others: events by their time, windows and anomalies by the
// start of their window.
func TestHistoryIsNotForwarded(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	p, s := pipeline(t, brokers), &shelf{}
	p.Window.Detect.SeedUntil = "2026-03-02"
	p.Sinks = []Destination{{Name: "siem", Sink: s, Events: true, Windows: WindowsAll, Anomalies: true, From: sink.Earliest(),
		Batch: sink.Batch{Records: 10, Bytes: 1 << 20}, Retry: sink.Retry{Base: time.Millisecond, Cap: 10 * time.Millisecond}}}
	end := start(t, p, Stages{Forward: true})
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range []struct {
		key, topic, name string
		at, start        time.Time
	}{
		{"old event", p.Topics.Events, semconv.EventKeytrailWindow, day.Add(-time.Second), time.Time{}},
		{"new event", p.Topics.Events, semconv.EventKeytrailWindow, day, time.Time{}},
		{"old window", p.Topics.Windows, semconv.EventKeytrailWindow, day, day.Add(-5 * time.Minute)},
		{"new window", p.Topics.Windows, semconv.EventKeytrailWindow, day, day},
		{"old anomaly, ended now", p.Topics.Anomalies, semconv.EventKeytrailAnomaly, day.Add(time.Hour), day.Add(-time.Hour)},
		{"new anomaly", p.Topics.Anomalies, semconv.EventKeytrailAnomaly, day, day},
	} {
		rec := otellog.Record{EventName: r.name, Time: r.at.UnixNano()}
		if !r.start.IsZero() {
			rec.String(semconv.KeytrailWindowStart, r.start.Format(time.RFC3339Nano))
		}
		k := &kgo.Record{Topic: r.topic, Key: []byte(r.key), Value: otellog.AppendRequest(nil, &rec),
			Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(r.name)}}}
		if err := client.ProduceSync(t.Context(), k).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"new anomaly", "new event", "new window"}
	waitFor(t, "the sink has the new records", func() bool { return len(s.sorted()) >= len(want) })
	end()
	balanced(t, p)
	if got := s.sorted(); !slices.Equal(got, want) {
		t.Errorf("the sink has %q, want %q", got, want)
	}
}
