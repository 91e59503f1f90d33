// Package entity represents the knowledge of one KMS key, principal or pair: its open
// windows, its baseline, and its habits by day. A Store keeps a million of them packed.
// The package knows neither the ends of windows nor detectors; see packages window and
// detector.
//
// Everything in an Entity is bounded. The packed form is also the value in the changelog.
package entity

import (
	"cmp"
	"slices"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Entity is the knowledge of one KMS key, principal or pair. Times are nanoseconds since
// 1970. It is not safe for concurrent use.
type Entity struct {
	wire.Entity
	Account  uint64         // the account that it is charged to; 0: none
	Due      int64          // latest time at which its silence is judged; 0: not watched. Scope key
	Baseline baseline.State // scopes key and principal
	Habits   Habits
	Since    int64             // start of the first closed window with calls to judge; 0: none yet
	Seen     int64             // start of the last such window
	Last     int64             // start of the last window, closed or not
	High     [wire.NumSets]int // most distinct values in any window since Since
	Windows  []*Window         // open, or closed and still taking late calls, by start
	Rollups  []*Window         // the same, of longer windows, in the order of their first calls
	Bound    *wire.Binding     // its binding at the end of the last window before those; nil: unknown
	Used     int64             // start of the last earlier window that named it; 0 without Bound
	Slot     uint32            // its place in the Store; not packed
	Stale    bool              // set by the caller that changes it: it has to be packed again
}

// Window is one window of one entity: the merged partials and the results.
type Window struct {
	wire.Partial
	Size      int64 // ns, of a roll-up; 0 in a window of the configured size
	Published int64 // anomalies at the last publication of the open window
	Revision  int32 // 0 while open; 1 at the close; one more for every refinement
	Closed    bool
	Changed   bool // calls or anomalies came since the last publication
	// Bound is the binding of the KMS key at the window's end, as known at the
	// publication: the key of an alias, or the primary of a multi-Region key. nil:
	// unknown. Each publication computes it; it is not packed.
	Bound *wire.Binding

	// from and to are the position of the window in its entity's packed form; to is 0
	// once the window was handed out for changes.
	from, to int
}

// Open marks w as handed out, so that packing its entity encodes it again, and returns
// it.
func (w *Window) Open() *Window {
	w.to = 0
	return w
}

// Length returns the length of w in ns; size is that of windows that are not roll-ups.
func (w *Window) Length(size int64) int64 { return cmp.Or(w.Size, size) }

// ToJudge returns the number of calls of w that are judged and learned: all except the
// collector's own.
func (w *Window) ToJudge() int64 {
	return count.Get(&w.Partial, wire.CounterCalls) - count.Get(&w.Partial, wire.CounterSelf)
}

// Place returns the entity's window at start, open to changes, and whether it is new.
func (ent *Entity) Place(start int64) (w *Window, made bool) {
	i, found := slices.BinarySearchFunc(ent.Windows, start, byStart)
	if found {
		return ent.Windows[i].Open(), false
	}
	w = &Window{Partial: wire.Partial{Entity: ent.Entity, Start: start}}
	ent.Windows = slices.Insert(ent.Windows, i, w)
	ent.Stale = true
	return w, true
}

// Find returns the entity's window at start, open to changes, or nil.
func (ent *Entity) Find(start int64) *Window {
	i, found := slices.BinarySearchFunc(ent.Windows, start, byStart)
	if !found {
		return nil
	}
	return ent.Windows[i].Open()
}

func byStart(w *Window, start int64) int { return cmp.Compare(w.Start, start) }

// FindRollup returns the entity's roll-up of a start and a size, open to changes, or nil.
func (ent *Entity) FindRollup(start, size int64) *Window {
	for _, w := range ent.Rollups { // two or three
		if w.Start == start && w.Size == size {
			return w.Open()
		}
	}
	return nil
}

// Known reports whether the entity had calls in another window that closed, at most the
// retention before start. An entity that was silent for longer is new again, whether or
// not it has been forgotten. The other window may be later: a late call is not a first use.
func (ent *Entity) Known(start, retention int64) bool {
	return ent.Since != 0 && start-ent.Seen <= retention
}

// WatchedFor reports whether the entity was first seen at least d before start.
func (ent *Entity) WatchedFor(start, d int64) bool {
	return ent.Since != 0 && start-ent.Since >= d
}

// Fade drops what the entity has learned if it was silent for longer than the retention
// before start, whether or not a sweep has removed it in between.
func (ent *Entity) Fade(start, retention int64) {
	if ent.Since != 0 && start-ent.Seen > retention {
		ent.Since, ent.Baseline, ent.High, ent.Habits = 0, baseline.State{}, [wire.NumSets]int{}, Habits{}
	}
}

// Missed returns how many calls the baseline expects between the last window with calls
// and the one at start.
func (ent *Entity) Missed(start, size int64) (calls float64) {
	for at := ent.Seen + size; at < start; { // hour by hour: the windows of an hour expect the same
		next := min((at/eventtime.Hour+1)*eventtime.Hour, start)
		n := (next - at + size - 1) / size
		calls += float64(n) * ent.Baseline.Expected(at, size)
		at += n * size
	}
	return calls
}
