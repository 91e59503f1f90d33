package detect

import (
	"cmp"
	"slices"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// A roll-up is a longer window: it adds up the windows within it, their anomalies
// included, and is published when it ends and refined by late calls as they are.
// No detector judges it and no baseline learns from it. It takes every call that a
// window within it takes, because it is dropped no sooner than the last of them.

// slot is the place of a roll-up in time.
type slot struct{ start, size int64 }

func (s slot) end() int64 { return s.start + s.size }

// rollups are an engine's, by their places.
type rollups struct {
	held    map[slot][]uint32 // entities with a roll-up there, until it is dropped
	pending map[slot][]uint32 // those whose roll-up has changed since it was published
}

func newRollups() rollups {
	return rollups{held: map[slot][]uint32{}, pending: map[slot][]uint32{}}
}

// rollUp adds p to the roll-ups of ent that its window is in.
func (e *Engine) rollUp(ent *Entity, p *wire.Partial) {
	if len(e.cfg.Rollups) == 0 {
		return
	}
	counts := *p
	counts.Binding = nil // what a name stands for is looked up when a roll-up is published
	for _, size := range e.cfg.Rollups {
		at := slot{eventtime.Start(p.Start, size), size}
		w := e.rollup(ent, at)
		count.Merge(&w.Partial, &counts)
		if !w.Changed {
			w.Changed = true
			e.rolls.pending[at] = append(e.rolls.pending[at], ent.slot)
		}
	}
}

// rollup returns the entity's roll-up at a place, new or not.
func (e *Engine) rollup(ent *Entity, at slot) *Window {
	if w := ent.rollup(at); w != nil {
		return w
	}
	w := &Window{Partial: wire.Partial{Entity: ent.Entity, Start: at.start}, Size: at.size}
	ent.Rollups = append(ent.Rollups, w)
	e.rolls.held[at] = append(e.rolls.held[at], ent.slot)
	return w
}

// rollup returns the roll-up at a place, or nil. There are two or three.
func (ent *Entity) rollup(at slot) *Window {
	for _, w := range ent.Rollups {
		if w.Start == at.start && w.Size == at.size {
			return w.open()
		}
	}
	return nil
}

// due tells whether a roll-up ended that has changed since it was published.
func (r *rollups) due(mark int64) bool {
	for at := range r.pending {
		if at.end() <= mark {
			return true
		}
	}
	return false
}

// closeRollups publishes the roll-ups that ended, or that changed since, and drops
// those that nothing can change any more. It tells whether it stopped before the end.
func (e *Engine) closeRollups(most *int, emit func(Result)) (more bool) {
	for _, at := range slots(e.rolls.pending) {
		if at.end() > e.quiet {
			continue
		}
		for _, scope := range scopes {
			list, rest := e.store.ofScope(e.rolls.pending[at], scope)
			for k, i := range list {
				if *most <= 0 {
					e.rolls.pending[at] = append(rest, list[k:]...)
					return true
				}
				e.store.trim()
				ent := e.store.get(i)
				e.closeRollup(ent, ent.rollup(at), emit)
			}
			e.rolls.pending[at] = rest
		}
		delete(e.rolls.pending, at)
	}
	for _, at := range slots(e.rolls.held) {
		if e.gone(at.end()) { // the last window in it has the same end
			e.dropRollups(at)
		}
	}
	return false
}

// dropRollups forgets the roll-ups at one place; as with drop, the changelog need not
// know.
func (e *Engine) dropRollups(at slot) {
	for _, i := range e.rolls.held[at] {
		e.store.trim()
		ent := e.store.get(i)
		ent.Rollups = slices.DeleteFunc(ent.Rollups, func(w *Window) bool { return w.Start == at.start && w.Size == at.size })
		ent.stale = true
	}
	delete(e.rolls.held, at)
}

func (e *Engine) closeRollup(ent *Entity, w *Window, emit func(Result)) {
	if !w.Closed && len(w.Counters) == 0 { // its only call was taken back: see closeOne
		w.Changed = false
		e.touch(ent)
		return
	}
	w.Closed = true
	e.publish(ent, w, nil, emit)
}

// slots returns the places of roll-ups by their starts, the shorter ones first.
func slots(m map[slot][]uint32) []slot {
	list := make([]slot, 0, len(m)) // a few for each size
	for at := range m {
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b slot) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.size, b.size)) })
	return list
}

// placeRollups notes where the roll-ups of a restored entity belong. Those of a size
// that the configuration no longer has are published and dropped like the others.
func (e *Engine) placeRollups(ent *Entity) {
	kept := ent.Rollups[:0]
	for _, w := range ent.Rollups {
		at := slot{w.Start, w.Size}
		if e.gone(at.end()) && !w.Changed {
			ent.stale = true
			continue
		}
		kept = append(kept, w)
		e.rolls.held[at] = append(e.rolls.held[at], ent.slot)
		if w.Changed {
			e.rolls.pending[at] = append(e.rolls.pending[at], ent.slot)
		}
	}
	ent.Rollups = kept
}
