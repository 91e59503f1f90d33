package detect

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Engine holds the entities of one partition and moves their windows on. Not
// safe for concurrent use.
type Engine struct {
	cfg      Config
	entities map[wire.Entity]*Entity
	starts   map[int64][]*Entity // entities with a window at each start, until it is dropped
	pending  map[int64][]*Entity // those of them whose window has calls not yet in a closed one
	rolls    rollups
	fresh    []fresh       // windows with new calls since the last Advance
	mark     int64         // the watermark
	hold     int64         // as far as it all engines have come; see Hold
	swept    int64         // event time of the last sweep of forgotten entities
	forgot   []wire.Entity // removed since the last Changes
	changed  []*Entity     // changed since the last Changes
	results  []Result
	// notify takes counts that belong to entities which this engine may not own:
	// the anomalies of a pair in its principal's window.
	notify func(wire.Partial)
}

type fresh struct {
	ent *Entity
	w   *Window
}

// NewEngine returns an empty Engine. notify is called during Advance with
// partials for principals; when it is nil they are merged into the engine
// itself, before the principals' windows close.
func NewEngine(cfg Config, notify func(wire.Partial)) *Engine {
	return &Engine{cfg: cfg, entities: map[wire.Entity]*Entity{}, starts: map[int64][]*Entity{},
		pending: map[int64][]*Entity{}, rolls: newRollups(), mark: eventtime.None, hold: math.MaxInt64, notify: notify}
}

// Len returns the number of entities that are remembered.
func (e *Engine) Len() int { return len(e.entities) }

// Watermark returns the event time up to which windows are closed.
func (e *Engine) Watermark() int64 { return e.mark }

// Merge adds p to its window. late is true, and p is not counted, when the
// window's end is more than the allowed lateness behind the watermark. Memory of p
// is not kept, its strings are.
func (e *Engine) Merge(p *wire.Partial) (late bool) {
	if e.mark != eventtime.None && p.Start+e.cfg.Size+e.cfg.Lateness <= e.mark {
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

// Hold keeps windows from being dropped whose lateness ends behind mark: other
// engines may still take late calls for them, and notify of what they find. It never
// moves back. Before the first call nothing is held.
func (e *Engine) Hold(mark int64) {
	if e.hold == math.MaxInt64 || mark > e.hold {
		e.hold = mark
	}
}

// gone tells whether windows with this end are dropped.
func (e *Engine) gone(end int64) bool {
	return e.mark != eventtime.None && end+e.cfg.Lateness <= min(e.mark, e.hold)
}

func (e *Engine) merge(p *wire.Partial) {
	ent := e.entities[p.Entity]
	if ent == nil {
		ent = &Entity{Entity: p.Entity, Last: p.Start}
		e.entities[p.Entity] = ent
	}
	ent.Last = max(ent.Last, p.Start)
	w := e.window(ent, p.Start)
	nothing := count.NoCounts(p)
	if nothing && !p.Binding.Newer(w.Binding) {
		return // it was learned before
	}
	if p.Start+e.cfg.Size <= e.mark && ent.Scope == wire.ScopeKey && bindable(ent.Entity) {
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
	e.fresh = append(e.fresh, fresh{ent, w})
}

// change has w published when it closes, or again when it is closed.
func (e *Engine) change(ent *Entity, w *Window) {
	if !w.Changed {
		w.Changed = true
		e.pending[w.Start] = append(e.pending[w.Start], ent)
	}
}

func (e *Engine) touch(ent *Entity) {
	if !ent.dirty {
		ent.dirty = true
		e.changed = append(e.changed, ent)
	}
}

// window returns the entity's window at start, new or not.
func (e *Engine) window(ent *Entity, start int64) *Window {
	i, found := slices.BinarySearchFunc(ent.Windows, start, func(w *Window, at int64) int { return cmp.Compare(w.Start, at) })
	if !found {
		w := &Window{Partial: wire.Partial{Entity: ent.Entity, Start: start}}
		ent.Windows = slices.Insert(ent.Windows, i, w)
		e.starts[start] = append(e.starts[start], ent)
		return w
	}
	return ent.Windows[i]
}

// find returns the entity's window at start, or nil.
func (ent *Entity) find(start int64) *Window {
	i, found := slices.BinarySearchFunc(ent.Windows, start, func(w *Window, at int64) int { return cmp.Compare(w.Start, at) })
	if !found {
		return nil
	}
	return ent.Windows[i]
}

// Advance moves the watermark to mark, never back, and returns the windows to
// publish: those that closed, those that late calls refined, and open ones
// whose anomalies grew. They are valid until the next call.
func (e *Engine) Advance(mark int64) []Result {
	e.results = e.results[:0]
	e.mark = max(e.mark, mark)
	for _, f := range e.fresh {
		e.preview(f.ent, f.w)
	}
	clear(e.fresh)
	e.fresh = e.fresh[:0]
	if e.mark != eventtime.None {
		for _, s := range sorted(e.pending) {
			if s+e.cfg.Size <= e.mark {
				e.closeAll(s)
			}
		}
		e.closeRollups()
		for _, s := range sorted(e.starts) {
			if e.gone(s + e.cfg.Size) {
				e.drop(s)
			}
		}
		e.sweep()
	}
	return e.results
}

func sorted(m map[int64][]*Entity) []int64 {
	keys := make([]int64, 0, len(m)) // the windows of the disorder and the lateness: a few dozen
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// closeAll closes or refines the windows at start: pairs first, because their
// anomalies count in the windows of their KMS key and their principal too.
func (e *Engine) closeAll(start int64) {
	for _, scope := range scopes {
		for _, ent := range ofScope(e.pending[start], scope) {
			w := ent.find(start)
			switch {
			case w == nil:
			case !w.Closed && len(w.Counters) == 0 && w.Published == 0:
				// Its only call was taken back before anybody saw it: it is as if it had
				// never been, until another call comes.
				w.Changed = false
				e.touch(ent)
			case !w.Closed:
				anomalies := e.judge(ent, w)
				w.Closed = true
				e.publish(ent, w, anomalies)
			default:
				e.publish(ent, w, nil)
			}
		}
	}
	delete(e.pending, start)
}

// scopes are the scopes in the order in which their windows close.
var scopes = [...]wire.Scope{wire.ScopePair, wire.ScopeKey, wire.ScopePrincipal}

// publish adds the next revision of a closed window to the results.
func (e *Engine) publish(ent *Entity, w *Window, anomalies []Anomaly) {
	last := w.Start + w.Length(e.cfg.Size) - e.cfg.Size // of a roll-up, the last window in it
	w.Changed, w.Revision, w.Bound = false, w.Revision+1, e.bound(ent.Entity, last)
	e.touch(ent)
	e.results = append(e.results, Result{w, anomalies})
}

// ofScope returns the entities of one scope in the order of their names, so that
// results come in the same order everywhere.
func ofScope(all []*Entity, scope wire.Scope) []*Entity {
	var list []*Entity
	for _, ent := range all {
		if ent.Scope == scope {
			list = append(list, ent)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(cmp.Compare(a.KeyARN, b.KeyARN), cmp.Compare(a.Principal, b.Principal)) < 0
	})
	return list
}

// judge runs the detectors over a window that closes, writes their counts into
// it, and lets the entity learn from it. A window without calls, or with none
// but the collector's own, is neither judged nor learned: it is silence.
func (e *Engine) judge(ent *Entity, w *Window) []Anomaly {
	if toJudge(&w.Partial) <= 0 {
		return nil
	}
	ent.fade(w.Start, e.cfg.Retention)
	var found []Anomaly
	for _, d := range detectors {
		if a, ok := d.judge(e, ent, w); ok {
			found = append(found, e.finish(a, d, ent, w))
		}
	}
	for i := range found {
		id := found[i].counter()
		count.Put(&w.Partial, id, count.Get(&w.Partial, id)+1)
		e.rollUp(ent, &wire.Partial{Start: w.Start, Counters: []wire.Counter{{ID: id, N: 1}}})
		if ent.Scope == wire.ScopePair {
			e.share(ent, w.Start, id)
		}
	}
	e.learn(ent, w, found)
	return found
}

// share counts a pair's anomaly in the windows of its KMS key and principal.
func (e *Engine) share(ent *Entity, start int64, id wire.CounterID) {
	one := []wire.Counter{{ID: id, N: 1}}
	e.merge(&wire.Partial{Entity: wire.Entity{Scope: wire.ScopeKey, KeyARN: ent.KeyARN}, Start: start, Counters: one})
	p := wire.Partial{Entity: wire.Entity{Scope: wire.ScopePrincipal, Principal: ent.Principal}, Start: start, Counters: one}
	if e.notify == nil {
		e.merge(&p)
		return
	}
	e.notify(p)
}

// preview publishes an open window whose rules or counts are anomalous already,
// each time that more are.
func (e *Engine) preview(ent *Entity, w *Window) {
	if w.Closed || w.Start+e.cfg.Size <= e.mark { // closed, or about to be
		return
	}
	n := AnomalyCount(&w.Partial)
	var found []Anomaly
	if ent.known(w.Start, e.cfg.Retention) {
		if a, ok := rate.judge(e, ent, w); ok {
			found = append(found, e.finish(a, rate, ent, w))
			n++
		}
	}
	if n <= w.Published {
		return
	}
	w.Published, w.Bound = n, e.bound(ent.Entity, w.Start)
	shown := *w
	shown.Counters = slices.Clone(w.Counters)
	for i := range found {
		count.Put(&shown.Partial, found[i].counter(), 1)
	}
	e.results = append(e.results, Result{&shown, found})
}

// drop forgets the windows at start; later calls for them are late.
func (e *Engine) drop(start int64) {
	for _, ent := range e.starts[start] {
		ent.Windows = slices.DeleteFunc(ent.Windows, func(w *Window) bool {
			if w.Start != start {
				return false
			}
			ent.settle(w, e.cfg.Retention)
			return true
		})
		e.touch(ent)
	}
	delete(e.starts, start)
}

// sweep forgets, once an hour of event time, the entities that have had no calls
// and no bindings for so long that any window that may still come is beyond the
// retention.
func (e *Engine) sweep() {
	const hour = int64(3600e9)
	if e.mark == eventtime.None || e.mark-e.swept < hour {
		return
	}
	e.swept = e.mark
	for name, ent := range e.entities {
		if len(ent.Windows)+len(ent.Rollups) == 0 && e.mark-ent.Last >= e.cfg.Retention+e.cfg.Lateness+e.cfg.Size {
			delete(e.entities, name)
			e.forgot = append(e.forgot, name)
		}
	}
}

// Changes calls put for every entity that changed since the last call, and
// remove for every one that was forgotten: what a changelog has to hold.
func (e *Engine) Changes(put func(*Entity), remove func(wire.Entity)) {
	for _, ent := range e.changed {
		ent.dirty = false
		if e.entities[ent.Entity] == ent {
			put(ent)
		}
	}
	for _, name := range e.forgot {
		if e.entities[name] == nil {
			remove(name)
		}
	}
	clear(e.changed)
	e.changed, e.forgot = e.changed[:0], e.forgot[:0]
}

// Restore puts an entity back that Changes once reported, and SetWatermark the
// watermark of that time.
func (e *Engine) Restore(ent *Entity) {
	e.entities[ent.Entity] = ent
	for _, w := range ent.Windows {
		e.starts[w.Start] = append(e.starts[w.Start], ent)
		if w.Changed {
			e.pending[w.Start] = append(e.pending[w.Start], ent)
		}
	}
	e.restoreRollups(ent)
}

// SetWatermark sets the watermark without closing windows; for restoring only.
func (e *Engine) SetWatermark(mark int64) { e.mark = mark }
