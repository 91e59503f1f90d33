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
	Event    = "event_id"    // log.record.uid of an API call or an event of a service
	Window   = "window_id"   // keytrail.window.id of a window
	Anomaly  = "anomaly_id"  // keytrail.anomaly.id of an anomaly
	Incident = "incident_id" // keytrail.incident.id of an incident
	Revision = "revision"    // of a window, an anomaly or an incident: the highest number is the newest
)

// Identity is by what a record is known however often it is sent.
type Identity struct {
	Name     string // Event, Window, Anomaly or Incident
	Value    string // "" of a record without an id; may be a view into the memory of the record
	Revision int64  // of a window, an anomaly or an incident; -1 of a record without one
}

// Of returns the identity of a record.
func Of(r *otellog.Record) Identity {
	id := Identity{Name: Event, Revision: -1}
	attribute, revision := semconv.LogRecordUID, ""
	switch r.EventName {
	case semconv.EventKeytrailWindow:
		id.Name, attribute, revision = Window, semconv.KeytrailWindowID, semconv.KeytrailWindowRevision
	case semconv.EventKeytrailAnomaly:
		id.Name, attribute, revision = Anomaly, semconv.KeytrailAnomalyID, semconv.KeytrailAnomalyRevision
	case semconv.EventKeytrailIncident:
		id.Name, attribute, revision = Incident, semconv.KeytrailIncidentID, semconv.KeytrailIncidentRevision
	}
	id.Value = r.Str(attribute)
	if revision != "" {
		if a := r.Get(revision); a != nil && a.Kind == otellog.KindInt {
			id.Revision = max(a.Int, 0)
		}
	}
	return id
}

// ID is one name with its value.
type ID struct{ Name, Value string }

// Append appends the ids of r to dst. Their values may be views into the memory of r.
func Append(dst []ID, r *otellog.Record) []ID {
	id := Of(r)
	if id.Value != "" {
		dst = append(dst, ID{id.Name, id.Value})
	}
	if id.Revision >= 0 {
		dst = append(dst, ID{Revision, strconv.FormatInt(id.Revision, 10)})
	}
	return dst
}
