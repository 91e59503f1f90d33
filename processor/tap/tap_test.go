package tap

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/sink/filter"
	"keytrail/processor/state"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

func of(t testing.TB, name string) Source {
	t.Helper()
	for _, s := range Sources(wire.DefaultTopics()) {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no topic %s", name)
	return Source{}
}

// shown returns both forms of a record, and checks that each is one printable line.
func shown(t testing.TB, topic string, r *kgo.Record) (line, row string) {
	t.Helper()
	d := NewDecoder(of(t, topic), filter.Default())
	r.Topic, r.Partition, r.Offset = d.source.Topic, 3, 77
	line, row = string(d.AppendJSON(nil, r)), string(d.AppendRow(nil, r))
	if !json.Valid([]byte(line)) || strings.ContainsFunc(line+row, printable.Unsafe) {
		t.Errorf("topic %s: %q and %q are not printable lines of JSON and text", topic, line, row)
	}
	if !strings.HasPrefix(row, "3/77 ") {
		t.Errorf("topic %s: the row %q does not begin with its place", topic, row)
	}
	return line, row
}

// anomaly returns an encoded anomaly with a severity.
func anomaly(severity string) *kgo.Record {
	var rec otellog.Record
	rec.EventName, rec.Time = semconv.EventKeytrailAnomaly, time.Hour.Nanoseconds()
	rec.String(semconv.KeytrailAnomalyKind, "rate")
	rec.String(semconv.KeytrailAnomalySeverity, severity)
	rec.String(semconv.AWSKMSKeyARN, "arn:aws:kms:eu-central-1:111122223333:key/k1")
	rec.String(semconv.KeytrailAnomalyReason, "many \x1b[31mcalls")
	return &kgo.Record{Value: otellog.AppendRequest(nil, &rec),
		Headers: []kgo.RecordHeader{{Key: wire.HeaderEvent, Value: []byte(rec.EventName)}}}
}

func TestForms(t *testing.T) {
	f := func(topic string, r *kgo.Record, wants ...string) {
		t.Helper()
		line, row := shown(t, topic, r)
		for _, want := range wants {
			if !strings.Contains(line, want) {
				t.Errorf("topic %s prints %s, want %s", topic, line, want)
			}
		}
		if strings.Contains(row, "cannot be decoded") != strings.Contains(line, `"error":`) {
			t.Errorf("topic %s: the forms disagree about an error: %s and %s", topic, line, row)
		}
	}
	var e wire.Encoder
	part := wire.Partial{Entity: wire.Entity{Scope: wire.ScopePair, Key: "k1", Principal: "p1"},
		Counters: []wire.Counter{{ID: wire.CounterCalls, N: 5}}}
	fr := wire.Frame{Source: 2, Sequence: 9, From: 10, To: 20, Partials: []wire.Partial{part}}
	framed := wire.AppendFrame(nil, &e, &fr)
	head := (&state.Head{At: state.Position{Offset: 12}, Sequence: 4}).Append(nil, &e)
	calls := (&state.Counted{}).Append(nil, &e)
	meta := (&state.Meta{At: state.Position{Offset: 13}}).Append(nil, &e)
	e.Reset()
	e.Version()
	entity := e.B

	f("anomalies", anomaly("high"), `{"resourceLogs":`, `"keytrail.anomaly.severity"`, `many \u001b[31mcalls`)
	f("events", &kgo.Record{Value: []byte("\xff\xff")}, `"topic":"kms.events","place":"3/77"`, `"error":`)
	f("raw", &kgo.Record{Key: []byte("a\nb"), Value: []byte("{\"a\":\n\"\u202e\"}")}, `"key":"a\nb"`, `"value":{"a":"\u202e"}`)
	f("raw", &kgo.Record{Value: []byte("text\x1b")}, `"value":"text\u001b"`)
	f("raw", &kgo.Record{Key: []byte{0x1f, 0xff}, Value: []byte{0x1f, 0x8b}}, `"key":"1fff"`, `"value":{"base64":"H4s="}`)
	f("deadletter", &kgo.Record{Value: []byte("bad"), Headers: []kgo.RecordHeader{{Key: "reason", Value: []byte("bad_json")}}},
		`"reason":"bad_json"`, `"raw":"bad"`)
	f("partials", &kgo.Record{Value: framed}, `"source":2,"sequence":9,"from":10,"to":20`,
		`"scope":"pair","key":"k1","principal":"p1"`, `"counts":{"keytrail.window.calls.total":5}`)
	f("partials", &kgo.Record{Value: framed[:len(framed)-1]}, `"error":"not a frame`)
	f("dedup", &kgo.Record{Key: []byte(state.HeadKey), Value: head}, `"offset":12,"sequence":4`)
	f("dedup", &kgo.Record{Key: state.CountedName{Sequence: 7, Part: 1}.Key(), Value: calls}, `"key":"7/1"`, `"calls":0`)
	f("dedup", &kgo.Record{Key: state.CountedName{Sequence: 7}.Key()}, `"key":"7/0","deleted":true`)
	f("state", &kgo.Record{Key: []byte(state.MetaKey), Value: meta}, `"kind":"meta","offset":13`)
	f("state", &kgo.Record{Key: []byte(part.StateKey()), Value: entity}, `"kind":"pair"`, `"key":"x\n2\nk1p1"`)
	f("state", &kgo.Record{Key: []byte("l\nuarn:aws:kms:eu-central-1:111122223333:key/k"), Value: entity}, `"kind":"ledger"`)
	f("state", &kgo.Record{Key: []byte("what"), Value: entity}, `"error":"not a frame`)

	if _, row := shown(t, "anomalies", anomaly("high")); !strings.Contains(row, `! high     rate`) || !strings.Contains(row, `many \x1b[31mcalls`) {
		t.Errorf("the row of an anomaly is %q", row)
	}
	key := otellog.Record{EventName: semconv.EventKeytrailKeyState, Attrs: []otellog.Attr{{Key: semconv.KeytrailKeyState, Kind: otellog.KindString, Str: "disabled"}}}
	if _, row := shown(t, "keys", &kgo.Record{Value: otellog.AppendRequest(nil, &key)}); !strings.Contains(row, "disabled") || !strings.Contains(row, "last use unknown") {
		t.Errorf("the row of a ledger is %q", row)
	}
	if _, row := shown(t, "raw", &kgo.Record{Value: []byte(strings.Repeat("x", 5000))}); len(row) > maxBrief+100 || !strings.HasSuffix(row, " ...") {
		t.Errorf("a long value makes a row of %d bytes", len(row))
	}
}

func TestAdmits(t *testing.T) {
	f := func(topic string, set func(*filter.Config), r *kgo.Record, want bool) {
		t.Helper()
		c := filter.Default()
		set(&c)
		if got := NewDecoder(of(t, topic), c).Admits(r); got != want {
			t.Errorf("topic %s: %+v admits the record: %v, want %v", topic, c, got, want)
		}
	}
	high := func(c *filter.Config) { c.Severities = []string{"high"} }
	f("anomalies", high, anomaly("high"), true)
	f("anomalies", high, anomaly("low"), false)
	f("anomalies", func(c *filter.Config) { c.Keys = []string{"*:key/k1"} }, anomaly("low"), true)
	f("anomalies", func(c *filter.Config) { c.Keys = []string{"*:key/k2"} }, anomaly("low"), false)
	f("anomalies", func(c *filter.Config) { c.EventNames = []string{semconv.EventKeytrailWindow} }, anomaly("low"), false)
	f("raw", high, anomaly("low"), true)
}

// FuzzLines: both forms of any record are one printable line.
func FuzzLines(f *testing.F) {
	for i := range Sources(wire.DefaultTopics()) {
		f.Add(uint8(i), []byte("key"), anomaly("high").Value, "stage", []byte("forward"))
		f.Add(uint8(i), []byte("k\n\x1b"), []byte("{\"a\":\"\u2028\"}\n"), "reason", []byte("\xff\u202e"))
		f.Add(uint8(i), state.CountedName{Sequence: 1}.Key(), []byte{wire.FormatVersion, 0, 0, 0}, "event", []byte("x"))
	}
	f.Fuzz(func(t *testing.T, topic uint8, key, value []byte, header string, text []byte) {
		all := Sources(wire.DefaultTopics())
		shown(t, all[int(topic)%len(all)].Name, &kgo.Record{Key: key, Value: value,
			Headers: []kgo.RecordHeader{{Key: header, Value: text}}})
	})
}
