// Package ids names log records for receivers that cannot upsert. A record that is sent
// twice has the same ids, so that a search can drop the copy.
//
// The names differ from those of the schema, because a receiver may hold the ids beside a
// body with the schema's names: Splunk would give one field of both two values.
package ids

import (
	"strconv"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// The names of ids.
const (
	Event    = "event_id"   // log.record.uid of an API call or an event of a service
	Window   = "window_id"  // keytrail.window.id of a window
	Anomaly  = "anomaly_id" // keytrail.anomaly.id of an anomaly
	Revision = "revision"   // of a window or an anomaly: the highest number is the newest
)

// ID is one name with its value.
type ID struct{ Name, Value string }

// Append appends the ids of r to dst. Their values may be views into the memory of r.
func Append(dst []ID, r *otellog.Record) []ID {
	name, attribute, revision := Event, semconv.LogRecordUID, ""
	switch r.EventName {
	case semconv.EventKeytrailWindow:
		name, attribute, revision = Window, semconv.KeytrailWindowID, semconv.KeytrailWindowRevision
	case semconv.EventKeytrailAnomaly:
		name, attribute, revision = Anomaly, semconv.KeytrailAnomalyID, semconv.KeytrailAnomalyRevision
	}
	if id := r.Str(attribute); id != "" {
		dst = append(dst, ID{name, id})
	}
	if revision == "" {
		return dst
	}
	if a := r.Get(revision); a != nil && a.Kind == otellog.KindInt {
		dst = append(dst, ID{Revision, strconv.FormatInt(a.Int, 10)})
	}
	return dst
}
