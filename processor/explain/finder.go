package explain

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// MinPrefix is the shortest prefix that may identify an anomaly: of a million ids about
// 120 share their first 8 digits with another.
const MinPrefix = 8

// ErrNotFound means that no anomaly has the id.
var ErrNotFound = errors.New("no anomaly has this id")

// Finder finds an anomaly or an incident by its id, or by a unique prefix of it. Of several
// records of the same anomaly the one with the highest revision counts, of those the last computed one,
// and of those the last one read.
type Finder struct {
	prefix string
	found  map[string]*Anomaly
	more   bool // there are more than found
	// incidents are the newest records of incidents, as protobuf, by id.
	incidents map[string]listed
}

var digits = regexp.MustCompile(`^[0-9a-f]{8,32}$`)

// NewFinder returns a Finder of an id of 8 to 32 hexadecimal digits.
func NewFinder(id string) (*Finder, error) {
	id = strings.ToLower(id)
	if !digits.MatchString(id) {
		return nil, fmt.Errorf("%q is not an anomaly's id: want %d to 32 hexadecimal digits, as %s has them", id, MinPrefix,
			semconv.KeytrailAnomalyID)
	}
	return &Finder{prefix: id, found: map[string]*Anomaly{}, incidents: map[string]listed{}}, nil
}

// Prefix returns the searched digits, in lower case.
func (f *Finder) Prefix() string { return f.prefix }

// maxFound bounds the kept anomalies: more than one is an error, which lists a few.
const maxFound = 5

// Add takes a record of any kind. An error is about the record of an anomaly with the id.
func (f *Finder) Add(rec *otellog.Record) error {
	if rec.EventName == semconv.EventKeytrailIncident {
		f.addIncident(rec)
		return nil
	}
	id := rec.Str(semconv.KeytrailAnomalyID)
	if rec.EventName != semconv.EventKeytrailAnomaly || !strings.HasPrefix(id, f.prefix) {
		return nil
	}
	a, err := newAnomaly(rec)
	if err != nil {
		return err
	}
	switch known := f.found[a.ID]; {
	case known != nil && older(a.revision, a.made, known.revision, known.made):
	case known == nil && len(f.found) >= maxFound:
		f.more = true
	default:
		f.found[a.ID] = a
	}
	return nil
}

// addIncident keeps the record of an incident with the id, if it is the newest.
func (f *Finder) addIncident(rec *otellog.Record) {
	id, revision := rec.Str(semconv.KeytrailIncidentID), int64(0)
	if a := rec.Get(semconv.KeytrailIncidentRevision); a != nil {
		revision = a.Int
	}
	known, had := f.incidents[id]
	if !strings.HasPrefix(id, f.prefix) || had && older(revision, rec.Observed, known.revision, known.made) ||
		!had && len(f.incidents) >= maxFound {
		return
	}
	f.incidents[strings.Clone(id)] = listed{rec.Time, revision, rec.Observed, otellog.AppendRequest(nil, rec)}
}

// Incident returns the newest record of the incident, or nil where none, or more than one, has
// an id that begins with the prefix.
func (f *Finder) Incident() *otellog.Record {
	if len(f.incidents) != 1 {
		return nil
	}
	var rec otellog.Record
	for _, one := range f.incidents {
		if err := rec.Decode(one.record); err != nil {
			panic("BUG: cannot decode an encoded incident: " + err.Error())
		}
	}
	return &rec
}

// Anomaly returns the anomaly, or ErrNotFound, or an error that lists the ids which
// begin with the prefix.
func (f *Finder) Anomaly() (*Anomaly, error) {
	ids := slices.Sorted(maps.Keys(f.found))
	switch {
	case len(ids) == 0:
		return nil, ErrNotFound
	case len(ids) == 1:
		return f.found[ids[0]], nil
	case f.more:
		ids = append(ids, "others")
	}
	return nil, fmt.Errorf("the ids of several anomalies begin with %s: %s; give more digits", f.prefix,
		strings.Join(ids, ", "))
}
