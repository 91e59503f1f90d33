package window

import (
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Engine has the entities of one partition and advances their windows. It is not safe for
// concurrent use.
type Engine struct {
	cfg     Config
	store   entity.Store
	starts  map[int64][]uint32 // entities with a window at each start, until it is dropped
	pending map[int64][]uint32 // those of them whose window has calls not yet in a closed one
	rolls   rollups
	fresh   []fresh       // windows with new calls since the last Advance
	mark    int64         // the watermark
	late    int64         // windows that end by it take no more calls
	quiet   int64         // windows close by it; see eventtime.Mark
	ended   int64         // the largest that quiet has been: some windows have closed by it
	hold    int64         // windows that end by it get no more notices; see Hold
	forgot  []wire.Entity // removed since the last Changes
	changed []uint32      // changed since the last Changes
	step    step
	storm   anomaly.Storm      // of the anomalies of pairs
	watches map[int64][]uint32 // KMS keys, by the time at which their silence is judged
	traffic Traffic
	resumed bool   // traffic has, since KMS keys were listened to
	others  others // what is charged to accounts
	// notify takes counts for entities that this engine may not own: the anomalies of a
	// pair in its principal's window.
	notify func(wire.Partial)
}

// fresh is a window with new calls.
type fresh struct {
	entity uint32
	start  int64
}

// step is the progress of an Advance that stopped within the windows at one start: the
// entities of one scope still to close.
type step struct {
	list  []uint32
	start int64
	done  int
}

// NewEngine returns an empty Engine. cfg must be valid. Advance calls notify with
// partials for principals that other engines may own. If notify is nil, the Engine merges
// them into itself, before the principals' windows close.
func NewEngine(cfg Config, notify func(wire.Partial)) *Engine {
	return &Engine{
		cfg: cfg, store: entity.NewStore(entity.Hot), notify: notify,
		starts: map[int64][]uint32{}, pending: map[int64][]uint32{}, watches: map[int64][]uint32{},
		rolls: newRollups(), others: others{accounts: map[uint64]charged{}},
		mark: eventtime.None, late: eventtime.None, quiet: eventtime.None, ended: eventtime.None, hold: math.MaxInt64,
	}
}

// Len returns the number of known entities.
func (e *Engine) Len() int { return e.store.Len() }

// Allow replaces the list of expected anomalies, for all windows that close from now on.
func (e *Engine) Allow(list anomaly.Allow) { e.cfg.Allow = list }

// Mark returns the progress of event time.
func (e *Engine) Mark() eventtime.Mark {
	return eventtime.Mark{Watermark: e.mark, Late: e.late, Quiet: e.quiet}
}

// Hold keeps windows that end after an event time from being dropped, although they
// accept no more calls: other engines may still accept late calls for them, and send
// notices. It never moves back. Before the first call nothing is held.
func (e *Engine) Hold(end int64) {
	if e.hold == math.MaxInt64 || end > e.hold {
		e.hold = end
	}
}

// gone reports whether windows with this end are dropped.
func (e *Engine) gone(end int64) bool { return end <= min(e.late, e.hold) }

// change marks w for publication when it closes, or again if it has closed.
func (e *Engine) change(ent *entity.Entity, w *entity.Window) {
	if !w.Changed {
		w.Changed = true
		e.pending[w.Start] = append(e.pending[w.Start], ent.Slot)
	}
}

// touch marks ent for the changelog.
func (e *Engine) touch(ent *entity.Entity) {
	ent.Stale = true
	if at := e.store.Marks(ent.Slot); !at.Dirty {
		at.Dirty = true
		e.changed = append(e.changed, ent.Slot)
	}
}

// window returns the entity's window at start, new or not.
func (e *Engine) window(ent *entity.Entity, start int64) *entity.Window {
	w, made := ent.Place(start)
	if made {
		e.starts[start] = append(e.starts[start], ent.Slot)
	}
	return w
}
