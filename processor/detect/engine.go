package detect

import (
	"cmp"
	"math"
	"slices"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/wire"
)

// Engine holds the entities of one partition and moves their windows on. Not
// safe for concurrent use.
type Engine struct {
	cfg     Config
	store   store
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
	storm   Storm              // of the anomalies of pairs
	watches map[int64][]uint32 // KMS keys, by the time at which their silence is judged
	traffic Traffic
	resumed bool   // traffic has, since KMS keys were listened to
	others  others // what is charged to accounts
	// notify takes counts that belong to entities which this engine may not own:
	// the anomalies of a pair in its principal's window.
	notify func(wire.Partial)
}

type fresh struct {
	entity uint32
	start  int64
}

// NewEngine returns an empty Engine. notify is called during Advance with
// partials for principals; when it is nil they are merged into the engine
// itself, before the principals' windows close.
func NewEngine(cfg Config, notify func(wire.Partial)) *Engine {
	return &Engine{cfg: cfg, store: newStore(), starts: map[int64][]uint32{},
		pending: map[int64][]uint32{}, watches: map[int64][]uint32{}, rolls: newRollups(), others: others{accounts: map[uint64]charged{}},
		mark: eventtime.None, late: eventtime.None, quiet: eventtime.None, ended: eventtime.None, hold: math.MaxInt64, notify: notify}
}

// Len returns the number of entities that are remembered.
func (e *Engine) Len() int { return e.store.len() }

// Mark returns how far event time has come.
func (e *Engine) Mark() eventtime.Mark {
	return eventtime.Mark{Watermark: e.mark, Late: e.late, Quiet: e.quiet}
}

// Merge adds p to its window. late reports that the window takes no more calls, and that
// p is not counted: what counts the calls has to decide that, by the same mark or a later
// one. Memory of p is not kept, its strings are.
func (e *Engine) Merge(p *wire.Partial) (late bool) {
	if p.Start+e.cfg.Size <= e.late {
		return true
	}
	e.merge(p)
	return false
}

// Notice is Merge for what another engine notifies of, which comes after it has
// judged its own windows: it is late only when its window has been dropped.
func (e *Engine) Notice(p *wire.Partial) (late bool) {
	if e.gone(p.Start + e.cfg.Size) {
		return true
	}
	e.merge(p)
	return false
}

// Hold keeps windows that end after an event time from being dropped, although they take
// no more calls: other engines may still take late calls for them, and notify of what
// they find. It never moves back. Before the first call nothing is held.
func (e *Engine) Hold(end int64) {
	if e.hold == math.MaxInt64 || end > e.hold {
		e.hold = end
	}
}

// gone reports whether windows with this end are dropped.
func (e *Engine) gone(end int64) bool { return end <= min(e.late, e.hold) }

func (e *Engine) merge(p *wire.Partial) {
	e.store.trim()
	e.mergeInto(p)
}

// mergeInto is merge during an Advance: entities that are at hand stay so.
func (e *Engine) mergeInto(p *wire.Partial) {
	ent, known, p := e.home(p)
	if p == nil {
		return // it tells what a name stands for that is not remembered
	}
	if !known || p.Start > ent.Last {
		ent.Last = p.Start
	}
	w := e.window(ent, p.Start)
	nothing := count.NoCounts(p)
	if nothing && !p.Binding.Newer(w.Binding) {
		return // it was learned before
	}
	if p.Start+e.cfg.Size <= e.ended && ent.Scope == wire.ScopeKey && bindable(ent.Entity) {
		e.revise(ent, w, p)
	} else {
		count.Merge(&w.Partial, p)
	}
	e.touch(ent)
	if nothing {
		return // a binding alone is nothing to publish
	}
	e.rollUp(ent, p)
	e.change(ent, w)
	e.fresh = append(e.fresh, fresh{ent.slot, p.Start})
}

// change has w published when it closes, or again when it is closed.
func (e *Engine) change(ent *Entity, w *Window) {
	if !w.Changed {
		w.Changed = true
		e.pending[w.Start] = append(e.pending[w.Start], ent.slot)
	}
}

// touch has ent written to the changelog.
func (e *Engine) touch(ent *Entity) {
	ent.stale = true
	if at := &e.store.slots[ent.slot]; !at.dirty {
		at.dirty = true
		e.changed = append(e.changed, ent.slot)
	}
}

// window returns the entity's window at start, new or not.
func (e *Engine) window(ent *Entity, start int64) *Window {
	i, found := slices.BinarySearchFunc(ent.Windows, start, func(w *Window, at int64) int { return cmp.Compare(w.Start, at) })
	if !found {
		w := &Window{Partial: wire.Partial{Entity: ent.Entity, Start: start}}
		ent.Windows = slices.Insert(ent.Windows, i, w)
		ent.stale = true
		e.starts[start] = append(e.starts[start], ent.slot)
		return w
	}
	return ent.Windows[i].open()
}

// find returns the entity's window at start, or nil.
func (ent *Entity) find(start int64) *Window {
	i, found := slices.BinarySearchFunc(ent.Windows, start, func(w *Window, at int64) int { return cmp.Compare(w.Start, at) })
	if !found {
		return nil
	}
	return ent.Windows[i].open()
}

// share counts a pair's anomaly in the windows of its KMS key and principal.
func (e *Engine) share(ent *Entity, start int64, id wire.CounterID) {
	one := []wire.Counter{{ID: id, N: 1}}
	e.mergeInto(&wire.Partial{Entity: wire.Entity{Scope: wire.ScopeKey, KeyARN: ent.KeyARN}, Account: normalize.PrincipalAccount(ent.Principal), Start: start, Counters: one})
	p := wire.Partial{Entity: wire.Entity{Scope: wire.ScopePrincipal, Principal: ent.Principal}, Start: start, Counters: one}
	if e.notify == nil || IsOthers(ent.Entity) { // those of the principal live here
		e.mergeInto(&p)
		return
	}
	e.notify(p)
}
