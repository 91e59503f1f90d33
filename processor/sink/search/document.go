package search

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/ids"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// The actions of a bulk request that the sink uses.
const (
	opIndex  = "index"
	opCreate = "create"
)

// maxID is how long the id of a document may be, in bytes.
const maxID = 512

// The kinds of documents: each has its own indices.
const (
	kindEvents    = "events"
	kindWindows   = "windows"
	kindAnomalies = "anomalies"
	kindIncidents = "incidents"
)

// identity is what the receiver knows a record by.
type identity struct {
	kind     string
	id       string
	revision int64 // -1 of a record that has none, and is never written again
	at       int64 // the time that names the index, in ns since 1970
}

// identify returns the identity of a record: nothing in it depends on when it is sent.
func identify(r *otellog.Record, at *sink.Record) identity {
	id := ids.Of(r)
	i := identity{kind: kindEvents, id: id.Value, revision: -1, at: r.Time}
	switch id.Name {
	case ids.Window:
		i.kind, i.revision, i.at = kindWindows, max(id.Revision, 0), timeOf(r, semconv.KeytrailWindowStart)
	case ids.Anomaly:
		i.kind, i.revision, i.at = kindAnomalies, max(id.Revision, 0), timeOf(r, semconv.KeytrailAnomalyBegan)
	case ids.Incident:
		i.kind, i.revision, i.at = kindIncidents, max(id.Revision, 0), timeOf(r, semconv.KeytrailIncidentBegan)
	}
	switch {
	case i.id == "":
		// Its place in Kafka is the same whenever the record is sent.
		i.id = fmt.Sprintf("%s/%d/%d", at.Topic, at.Partition, at.Offset)
	case len(i.id) > maxID:
		sum := sha256.Sum256([]byte(i.id))
		i.id = "sha256:" + hex.EncodeToString(sum[:])
	}
	return i
}

// timeOf returns the time in an attribute, else that of the record.
func timeOf(r *otellog.Record, name string) int64 {
	if at, err := time.Parse(time.RFC3339Nano, r.Str(name)); err == nil {
		return at.UnixNano()
	}
	return r.Time
}

// add encodes a record as two lines of a bulk request, the action and the document, and
// returns the action's name. After an error buf may hold a part of them.
func (w *work) add(index *Index, record *sink.Record) (op string, err error) {
	if err := w.rec.Decode(record.Value); err != nil {
		return "", fmt.Errorf("cannot decode the log record: %w", err)
	}
	i := identify(&w.rec, record)
	op = opCreate
	if i.revision >= 0 {
		op = opIndex
	}
	w.buf = append(append(append(w.buf, `{"`...), op...), `":{"_index":`...)
	w.buf = otellog.AppendString(w.buf, index.name(i.kind, i.at))
	w.buf = otellog.AppendString(append(w.buf, `,"_id":`...), i.id)
	if i.revision >= 0 {
		w.buf = strconv.AppendInt(append(w.buf, `,"version":`...), i.revision, 10)
		w.buf = append(w.buf, `,"version_type":"external_gte"`...)
	}
	w.buf = append(w.buf, "}}\n"...)
	if w.buf, err = w.encoder.Append(w.buf, &w.rec); err != nil {
		return "", fmt.Errorf("cannot encode the log record: %w", err)
	}
	w.buf = append(w.buf, '\n')
	return op, nil
}

// Period says how long the time is that one index holds.
type Period string

// The periods. Stream is for events only: a data stream, whose indices follow the time of
// arrival.
const (
	Day    Period = "day"
	Month  Period = "month"
	Stream Period = "data_stream"
)

// Index says where documents are stored: events of 30 November 2026 in the index
// keytrail-events-2026.11.30, for example. It is plain data: safe for concurrent use.
type Index struct {
	// Prefix begins the name of every index (default "keytrail").
	Prefix string `yaml:"prefix"`
	// Events, Windows, Anomalies and Incidents are the periods of one index of each kind
	// (defaults: day, and month for the others).
	Events    Period `yaml:"events"`
	Windows   Period `yaml:"windows"`
	Anomalies Period `yaml:"anomalies"`
	Incidents Period `yaml:"incidents"`
}

// stream returns the name of the data stream of events.
func (x *Index) stream() string { return x.Prefix + "-" + kindEvents }

// period returns the period of a kind.
func (x *Index) period(kind string) Period {
	switch kind {
	case kindWindows:
		return x.Windows
	case kindAnomalies:
		return x.Anomalies
	case kindIncidents:
		return x.Incidents
	}
	return x.Events
}

// name returns the name of the index for a kind and a time in ns since 1970. It is made of
// the configured prefix, a constant and digits.
func (x *Index) name(kind string, at int64) string {
	name, layout := x.Prefix+"-"+kind, "-2006.01.02"
	switch x.period(kind) {
	case Stream:
		return name
	case Month:
		layout = "-2006.01"
	}
	return name + time.Unix(0, at).UTC().Format(layout)
}
