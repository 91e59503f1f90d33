package explain

import (
	"bytes"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Series is the windows of an anomaly's entity around it, of the same length as its own.
type Series struct {
	a       *Anomaly
	size    int64
	keep    int64 // windows that start further from the anomaly's are dropped
	topic   bool
	partial bool
	needle  []byte
	windows map[int64]*Window // by start

	quiet       bool // a window without an anomaly exists, of any entity
	seen        bool // first and last are known
	first, last int64
}

// NewSeries returns the Series of an anomaly. It keeps windows that start at most keep
// before or after the anomaly's, so at most twice keep divided by the window's length.
// topic means that the records come from Keytrail's topic, which has all windows, and in
// which the later of two records of one window is newer. Otherwise their revisions
// decide, and completeness must be inferred: see Whole.
func NewSeries(a *Anomaly, keep time.Duration, topic bool) *Series {
	return &Series{a: a, size: a.End - a.Start, keep: int64(keep), topic: topic, needle: needle(&a.Entity),
		windows: map[int64]*Window{}}
}

// needle returns a part of an entity's name that every encoding of a record writes
// verbatim: from the end of the name, where names differ, without characters that JSON
// may escape.
func needle(e *Entity) []byte {
	best := ""
	for _, name := range []string{e.Alias, e.Key, e.Principal} {
		if e.Alias != "" && name == e.Key {
			continue // it changes
		}
		if parts := strings.FieldsFunc(name, escapable); len(parts) > 0 && len(parts[len(parts)-1]) > len(best) {
			best = parts[len(parts)-1]
		}
	}
	return []byte(best)
}

func escapable(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-' && r != '_' && r != ':' &&
		r != '.'
}

// Mentions reports whether an encoded record may be of the entity, faster than
// decoding it does.
func (s *Series) Mentions(record []byte) bool { return bytes.Contains(record, s.needle) }

// Add takes a record of any kind. An error is about a window's record.
func (s *Series) Add(rec *otellog.Record) error {
	if rec.EventName != semconv.EventKeytrailWindow {
		return nil
	}
	start, end, err := span(rec)
	if err != nil {
		return err
	}
	if end-start != s.size {
		return nil // a roll-up, or a window from before a change of the configuration
	}
	final := rec.Str(semconv.KeytrailWindowState) == "final"
	if final {
		s.Covers(start)
	}
	if a := rec.Get(semconv.KeytrailWindowAnomaliesTotal); a == nil || a.Int == 0 {
		s.quiet = true
	}
	e := entityOf(rec)
	if start < s.a.Start-s.keep || start > s.a.Start+s.keep || !e.same(&s.a.Entity) {
		return nil
	}
	w := &Window{Start: start, End: end, Final: final, Counts: map[string]int64{}}
	for i := range rec.Attrs {
		if a := &rec.Attrs[i]; a.Kind == otellog.KindInt {
			w.Counts[strings.Clone(a.Key)] = a.Int
		}
	}
	w.Revision = w.Counts[semconv.KeytrailWindowRevision]
	if known := s.windows[start]; known == nil || s.topic || w.Revision >= known.Revision {
		s.windows[start] = w
	}
	return nil
}

// Covers records that the input has a final window, of any entity, with that start:
// everything between two of them has been counted.
func (s *Series) Covers(start int64) {
	if !s.seen {
		s.seen, s.first, s.last = true, start, start
	}
	s.first, s.last = min(s.first, start), max(s.last, start)
}

// Partial records that the input was not read to its end.
func (s *Series) Partial() { s.partial = true }

// Whole reports whether the input has all windows, so that a missing one counted nothing.
// Input other than a topic has all if it has a window without an anomaly: writers that
// omit windows omit all of these.
func (s *Series) Whole() bool { return !s.partial && (s.topic || s.quiet) }

// Window returns the entity's window that starts at start; nil if missing.
func (s *Series) Window(start int64) *Window { return s.windows[start] }

// Len returns the number of windows of the entity.
func (s *Series) Len() int { return len(s.windows) }

// Value returns a count of the window that starts at start: 0 if the input has all
// windows but not this one. ok is false if it is unknown, or dropped.
func (s *Series) Value(start int64, name string) (n int64, ok bool) {
	if w := s.windows[start]; w != nil {
		return w.Counts[name], true
	}
	return 0, s.Whole() && s.seen && start >= max(s.first, s.a.Start-s.keep) && start <= min(s.last, s.a.Start+s.keep)
}

// Mean returns the mean of a count over the known windows that start up to span before
// the anomaly's, and their number.
func (s *Series) Mean(name string, span time.Duration) (mean float64, n int) {
	sum := int64(0)
	for start := s.a.Start - s.size; start >= s.a.Start-int64(span); start -= s.size {
		if v, ok := s.Value(start, name); ok {
			sum, n = sum+v, n+1
		}
	}
	if n == 0 {
		return 0, 0
	}
	return float64(sum) / float64(n), n
}

// Range is the part of a series in a picture with columns.
type Range struct {
	From    int64 // the start of the first window
	Size    int64 // of a window
	Group   int   // windows of a column, at least 1
	Columns int
}

// Range selects the windows for a picture of at most columns columns, at least 1: up to
// before and after the anomaly's window, or, if these are 0, as many as there are
// columns, three quarters of them before; and only within the input's period.
func (s *Series) Range(columns int, before, after time.Duration) Range {
	columns = max(columns, 1)
	first, last := s.a.Start, s.a.Start
	if s.seen {
		first, last = min(first, s.first), max(last, s.last)
	}
	first, last = max(first, s.a.Start-s.keep), min(last, s.a.Start+s.keep)
	most := func(span time.Duration, there int64, room int64) int64 {
		if span > 0 {
			room = (int64(span) + s.size - 1) / s.size
		}
		return max(min(there/s.size, room), 0)
	}
	right := most(after, last-s.a.Start, int64(columns/4))
	left := most(before, s.a.Start-first, int64(columns)-1-right)
	if after == 0 {
		right = most(0, last-s.a.Start, max(int64(columns)-1-left, right))
	}
	n := left + 1 + right
	group := (n + int64(columns) - 1) / int64(columns)
	return Range{s.a.Start - left*s.size, s.size, int(group), int((n + group - 1) / group)}
}

// Column returns the column of the window that starts at start.
func (r Range) Column(start int64) int { return int((start - r.From) / r.Size / int64(r.Group)) }

// Start returns when the first window of a column starts.
func (r Range) Start(column int) int64 { return r.From + int64(column)*int64(r.Group)*r.Size }
