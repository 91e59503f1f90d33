package tap

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/report"
	"keytrail/processor/screen"
	"keytrail/processor/sink/filter"
	"keytrail/processor/state"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Decoder turns records of one topic into lines. It is not safe for concurrent use.
type Decoder struct {
	source Source
	admit  *filter.Filter
	rec    otellog.Record
}

// NewDecoder returns the Decoder of a topic's records. c chooses among log records; other
// topics ignore it.
func NewDecoder(s Source, c filter.Config) *Decoder {
	return &Decoder{source: s, admit: filter.New(c)}
}

// Admits reports whether the filter admits a record.
func (d *Decoder) Admits(r *kgo.Record) bool {
	return !d.source.Logs || d.admit.Admits(header(r, wire.HeaderEvent), r.Value)
}

// AppendJSON appends a record as one JSON object without a newline. A log record has the
// form of OTLP/JSON. All others, and those that cannot be decoded, are objects with the
// record's place, time and key, and with "value" or "error".
func (d *Decoder) AppendJSON(dst []byte, r *kgo.Record) []byte {
	if d.source.Logs {
		d.rec.Reset()
		if err := d.rec.Decode(r.Value); err == nil {
			return otellog.AppendJSON(dst, &d.rec)
		}
	}
	return append(dst, printable.JSON(encoded(d.envelope(r)))...)
}

// encoded returns the JSON of an envelope or its value: text, numbers and valid JSON.
func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: cannot encode a record: " + err.Error())
	}
	return b
}

// AppendRow appends a record as one row of a table without a newline: its place in the
// topic, and its content in short.
func (d *Decoder) AppendRow(dst []byte, r *kgo.Record) []byte {
	place := fmt.Sprintf("%d/%d", r.Partition, r.Offset)
	if d.source.Logs {
		d.rec.Reset()
		if err := d.rec.Decode(r.Value); err == nil {
			return fmt.Appendf(dst, "%-10s %s", place, d.logRow())
		}
	}
	e := d.envelope(r)
	what := ""
	switch {
	case e.Deleted:
		what = "deleted"
	case e.Error != "":
		what = "cannot be decoded: " + e.Error
	default:
		what = string(encoded(e.Value))
	}
	return fmt.Appendf(dst, "%-10s %s  %s  %s", place, e.Time, brief(e.Key), brief(what))
}

// maxBrief bounds the columns of one text in a row: a value may have a megabyte.
const maxBrief = 400

// brief returns text as one printable line, cut to maxBrief columns.
func brief(text string) string {
	text = printable.Text(text)
	if cut := screen.Fit(text, maxBrief); cut != text {
		return cut + " ..."
	}
	return text
}

// logRow returns the decoded log record in short.
func (d *Decoder) logRow() string {
	rec := &d.rec
	switch rec.EventName {
	case semconv.EventKeytrailWindow:
		return report.WindowRow(rec)
	case semconv.EventKeytrailAnomaly:
		return report.AnomalyRow(rec)
	case semconv.EventKeytrailIncident:
		return report.IncidentRow(rec)
	case semconv.EventKeytrailKeyState:
		return report.KeyRow(rec)
	}
	return report.CallRow(rec)
}

// envelope is the form of a record that is not a log record.
type envelope struct {
	Topic   string `json:"topic"`
	Place   string `json:"place"`
	Time    string `json:"time"`
	Key     string `json:"key,omitempty"`
	Deleted bool   `json:"deleted,omitempty"` // a tombstone
	Bytes   int    `json:"bytes"`             // of the value
	Value   any    `json:"value,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (d *Decoder) envelope(r *kgo.Record) *envelope {
	e := &envelope{Topic: r.Topic, Place: fmt.Sprintf("%d/%d", r.Partition, r.Offset),
		Time: moment(r.Timestamp.UnixNano()), Key: d.keyText(r.Key), Deleted: r.Value == nil, Bytes: len(r.Value)}
	var err error
	switch {
	case e.Deleted:
	case d.source.Logs:
		d.rec.Reset()
		err = d.rec.Decode(r.Value)
	default:
		e.Value, err = d.source.value(r)
	}
	if err != nil {
		e.Value, e.Error = nil, err.Error()
	}
	return e
}

// keyText returns a record key: the name of a commit in the topic of counted calls as
// SEQUENCE/PART, text as it is, and other bytes in hexadecimal digits.
func (d *Decoder) keyText(key []byte) string {
	if n, err := state.ParseCountedName(key); err == nil && d.source.Name == dedup {
		return fmt.Sprintf("%d/%d", n.Sequence, n.Part)
	}
	if utf8.Valid(key) {
		return string(key)
	}
	return fmt.Sprintf("%x", key)
}

func moment(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
