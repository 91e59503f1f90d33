package anomaly

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// The values of keytrail.anomaly.state.
const (
	StateOpen  = "open"
	StateEnded = "ended"
)

// maxOpen bounds the memory of an OpenSet: 64 MiB are about 50,000 anomalies.
const maxOpen = 64 << 20

// openCost is the memory that an open anomaly takes besides its record, about.
const openCost = 250

// openKind begins the state keys of open anomalies; those of entities and panes begin with
// other letters.
const openKind = "a\n"

// OpenSet holds the open anomalies of one partition and ends them. Each anomaly has a time;
// if no stage finds it again by then, it is published once more, as ended.
//
// A late call may show an ended anomaly again. Then it is put again, with a higher
// revision, and ends again, so the last record of an anomaly is that of its end. A set
// without open anomalies takes no memory. It is bounded: when it is full, the anomaly that
// is due first ends early. It is not safe for concurrent use.
type OpenSet struct {
	byID    map[string]*opened
	due     dueHeap
	bytes   int
	packed  int // of bytes, those of records
	most    int // bounds bytes
	changed []*opened
	gone    []string // state keys of ended anomalies since the last Changes
}

// opened is one open anomaly.
type opened struct {
	id       string
	until    int64
	revision int64
	record   []byte // the last one published, as OTLP
	at       int    // its place in the heap
	dirty    bool   // it is in OpenSet.changed
	stored   bool   // the changelog has it
	ended    bool
}

func (o *opened) size() int { return openCost + 2*len(o.id) + len(o.record) }

// NewOpenSet returns an empty OpenSet.
func NewOpenSet() *OpenSet { return &OpenSet{byID: map[string]*opened{}, most: maxOpen} }

// Len returns the number of open anomalies.
func (s *OpenSet) Len() int { return len(s.due) }

// Packed returns how many bytes the records take, which have no pointers.
func (s *OpenSet) Packed() int { return s.packed }

// Put takes the record of an open anomaly that is published, and the event time at which it
// ends unless it is put again, in ns since 1970. A record with a lower revision than the
// last one changes nothing. Put copies the record.
func (s *OpenSet) Put(rec *otellog.Record, until int64) {
	id, revision := rec.Str(semconv.KeytrailAnomalyID), revisionOf(rec)
	o := s.byID[id]
	switch {
	case o == nil:
		o = &opened{id: strings.Clone(id), until: until}
		s.byID[o.id] = o
		heap.Push(&s.due, o)
	case revision < o.revision:
		return
	default:
		s.account(o, -1)
		o.until = max(o.until, until)
		heap.Fix(&s.due, o.at)
	}
	o.revision, o.record = revision, otellog.AppendRequest(nil, rec)
	s.account(o, 1)
	s.touch(o)
}

// End lets an anomaly end at an event time, if it is open.
func (s *OpenSet) End(id string, at int64) {
	if o := s.byID[id]; o != nil {
		o.until = at
		heap.Fix(&s.due, o.at)
		s.touch(o)
	}
}

// account adds the memory of an anomaly, or with -1 takes it away.
func (s *OpenSet) account(o *opened, sign int) {
	s.bytes += sign * o.size()
	s.packed += sign * len(o.record)
}

func (s *OpenSet) touch(o *opened) {
	if !o.dirty {
		o.dirty = true
		s.changed = append(s.changed, o)
	}
}

// Due reports whether an anomaly ends by mark.
func (s *OpenSet) Due(mark int64) bool { return len(s.due) > 0 && s.due[0].until <= mark }

// Advance calls emit with the record of each anomaly that ends by mark, in order of time
// and of ids; observed is when it is computed. The record is valid during the call. After
// most anomalies it stops, and more reports that others remain. A full set ends anomalies
// whatever mark and most are.
func (s *OpenSet) Advance(mark, observed int64, most *int, emit func(id string, rec *otellog.Record)) (more bool) {
	var rec otellog.Record
	for s.Due(mark) || s.bytes > s.most {
		if *most <= 0 && s.bytes <= s.most {
			return true
		}
		*most--
		o := heap.Pop(&s.due).(*opened)
		delete(s.byID, o.id)
		s.account(o, -1)
		if o.ended = true; o.stored {
			s.gone = append(s.gone, openKind+o.id)
		}
		if err := rec.Decode(o.record); err != nil {
			panic("BUG: cannot decode what AppendRequest wrote: " + err.Error()) // restored ones were decoded before
		}
		end(&rec, min(o.until, mark), observed)
		emit(o.id, &rec)
	}
	return false
}

// end turns the record of an open anomaly into that of its end. An anomaly of a full set may
// end before the watermark has reached it, but never before its own time.
func end(rec *otellog.Record, at, observed int64) {
	rec.Time, rec.Observed, rec.Severity = max(rec.Time, at), observed, otellog.SeverityInfo
	revision := revisionOf(rec) + 1
	for i := range rec.Attrs {
		switch a := &rec.Attrs[i]; a.Key {
		case semconv.KeytrailAnomalyState:
			a.Str = StateEnded
		case semconv.KeytrailAnomalyRevision:
			a.Int = revision
		case semconv.LogRecordUID:
			a.Str = uid(rec.Str(semconv.KeytrailAnomalyID), revision, 0)
		}
	}
}

func revisionOf(rec *otellog.Record) int64 {
	if a := rec.Get(semconv.KeytrailAnomalyRevision); a != nil {
		return a.Int
	}
	return 0
}

// IsOpenKey reports whether a state key is that of an open anomaly.
func IsOpenKey(key string) bool { return strings.HasPrefix(key, openKind) }

// Changes calls put for each anomaly that changed since the last call, with a nil value for
// one that has ended: the updates of a changelog. It uses enc and leaves it empty.
func (s *OpenSet) Changes(enc *wire.Encoder, put func(key string, value []byte)) {
	for _, key := range s.gone {
		put(key, nil)
	}
	for _, o := range s.changed {
		if o.dirty = false; o.ended {
			continue
		}
		enc.Reset()
		enc.Version()
		enc.Int(o.until)
		enc.B = append(enc.B, o.record...)
		o.stored = true
		put(openKind+o.id, slices.Clone(enc.B))
	}
	clear(s.changed)
	s.gone, s.changed = s.gone[:0], s.changed[:0]
}

// Restore takes what Changes once reported, the newest last. It copies the value. A damaged
// one is an error.
func (s *OpenSet) Restore(key string, value []byte) error {
	id := strings.TrimPrefix(key, openKind)
	if o := s.byID[id]; o != nil {
		heap.Remove(&s.due, o.at)
		delete(s.byID, id)
		s.account(o, -1)
	}
	if value == nil {
		return nil
	}
	d := wire.NewDecoder(value)
	if err := d.Version(); err != nil {
		return fmt.Errorf("cannot restore the open anomaly %q: %w", id, err)
	}
	o := &opened{id: strings.Clone(id), until: d.Int(), record: slices.Clone(d.Rest()), stored: true}
	var rec otellog.Record
	if d.Err() != nil || rec.Decode(o.record) != nil || rec.Str(semconv.KeytrailAnomalyID) != id {
		return fmt.Errorf("cannot restore the open anomaly %q: %w", id, wire.ErrFrame)
	}
	o.revision = revisionOf(&rec)
	s.byID[o.id] = o
	s.account(o, 1)
	heap.Push(&s.due, o)
	return nil
}

// dueHeap has the anomaly that ends first at its top.
type dueHeap []*opened

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].until, h[j].until), strings.Compare(h[i].id, h[j].id)) < 0
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *dueHeap) Push(x any) {
	o := x.(*opened)
	o.at = len(*h)
	*h = append(*h, o)
}
func (h *dueHeap) Pop() any {
	old := *h
	o := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return o
}
