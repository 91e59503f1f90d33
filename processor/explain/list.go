package explain

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// MaxListed bounds the anomalies of a List, of a kilobyte each.
const MaxListed = 50_000

// List collects the anomalies of a period. Of several records of the same anomaly it
// keeps the one that a Finder would.
type List struct {
	More int // records beyond MaxListed, which are omitted

	since, until int64
	found        map[string]listed
}

type listed struct {
	start, revision, made int64
	record                []byte // as protobuf
}

// NewList returns a List of the anomalies whose windows start in [since, until), in ns since
// 1970.
func NewList(since, until int64) *List {
	return &List{since: since, until: until, found: map[string]listed{}}
}

// Add takes a record of any kind. An error is about the record of an anomaly.
func (l *List) Add(rec *otellog.Record) error {
	if rec.EventName != semconv.EventKeytrailAnomaly {
		return nil
	}
	start, _, err := span(rec)
	if err != nil {
		return fmt.Errorf("anomaly %q: %w", rec.Str(semconv.KeytrailAnomalyID), err)
	}
	if start < l.since || start >= l.until {
		return nil
	}
	id, revision := rec.Str(semconv.KeytrailAnomalyID), revisionOf(rec)
	switch known, had := l.found[id]; {
	case had && older(revision, rec.Observed, known.revision, known.made):
	case !had && len(l.found) >= MaxListed:
		l.More++
	default:
		l.found[strings.Clone(id)] = listed{start, revision, rec.Observed, otellog.AppendRequest(nil, rec)}
	}
	return nil
}

// Records returns the records of the anomalies in order of their windows. Each is valid
// until the next.
func (l *List) Records() iter.Seq[*otellog.Record] {
	return func(yield func(*otellog.Record) bool) {
		ids := slices.SortedFunc(maps.Keys(l.found), func(a, b string) int {
			return cmp.Or(cmp.Compare(l.found[a].start, l.found[b].start), cmp.Compare(a, b))
		})
		var rec otellog.Record
		for _, id := range ids {
			if err := rec.Decode(l.found[id].record); err != nil {
				panic("BUG: cannot decode what AppendRequest wrote: " + err.Error())
			}
			if !yield(&rec) {
				return
			}
		}
	}
}
