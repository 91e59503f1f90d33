package window

import (
	"cmp"
	"slices"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// A roll-up is a longer window. It sums its windows, with their anomalies, is published
// when it ends, and refined by late calls like them. No detector judges it, and no
// baseline learns from it. It accepts every call that one of its windows accepts, because
// it is dropped no earlier than the last of them.

// slot is the position of a roll-up in time.
type slot struct{ start, size int64 }

func (s slot) end() int64 { return s.start + s.size }

// rollups are an engine's roll-ups, by slot.
type rollups struct {
	held    map[slot][]uint32 // entities with a roll-up there, until it is dropped
	pending map[slot][]uint32 // those whose roll-up has changed since it was published
}

func newRollups() rollups {
	return rollups{held: map[slot][]uint32{}, pending: map[slot][]uint32{}}
}

// rollUp adds p to the roll-ups of ent that contain its window.
func (e *Engine) rollUp(ent *entity.Entity, p *wire.Partial) {
	if len(e.cfg.Rollups) == 0 {
		return
	}
	counts := *p
	counts.Binding = nil // the binding is computed when a roll-up is published
	for _, size := range e.cfg.Rollups {
		at := slot{eventtime.Start(p.Start, size), size}
		w := e.rollup(ent, at)
		count.Merge(&w.Partial, &counts)
		if !w.Changed {
			w.Changed = true
			e.rolls.pending[at] = append(e.rolls.pending[at], ent.Slot)
		}
	}
}

// rollup returns the entity's roll-up at a slot, new or not.
func (e *Engine) rollup(ent *entity.Entity, at slot) *entity.Window {
	if w := ent.FindRollup(at.start, at.size); w != nil {
		return w
	}
	w := &entity.Window{Partial: wire.Partial{Entity: ent.Entity, Start: at.start}, Size: at.size}
	ent.Rollups = append(ent.Rollups, w)
	e.rolls.held[at] = append(e.rolls.held[at], ent.Slot)
	return w
}

// due reports whether a roll-up has ended with unpublished changes.
func (r *rollups) due(mark int64) bool {
	for at := range r.pending {
		if at.end() <= mark {
			return true
		}
	}
	return false
}

// closeRollups publishes the roll-ups that ended or changed since, and drops those that
// can no longer change. It reports whether it stopped before the end.
func (e *Engine) closeRollups(most *int, emit func(Result)) (more bool) {
	for _, at := range slots(e.rolls.pending) {
		if at.end() > e.quiet {
			continue
		}
		for _, scope := range scopes {
			list, rest := e.store.OfScope(e.rolls.pending[at], scope)
			for k, i := range list {
				if *most <= 0 {
					e.rolls.pending[at] = append(rest, list[k:]...)
					return true
				}
				e.store.Trim()
				ent := e.store.Get(i)
				e.closeRollup(ent, ent.FindRollup(at.start, at.size), emit)
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

// dropRollups forgets the roll-ups at one slot. Like drop, it writes nothing to the
// changelog.
func (e *Engine) dropRollups(at slot) {
	for _, i := range e.rolls.held[at] {
		e.store.Trim()
		ent := e.store.Get(i)
		ent.Rollups = slices.DeleteFunc(ent.Rollups, func(w *entity.Window) bool {
			return w.Start == at.start && w.Size == at.size
		})
		ent.Stale = true
	}
	delete(e.rolls.held, at)
}

func (e *Engine) closeRollup(ent *entity.Entity, w *entity.Window, emit func(Result)) {
	if !w.Closed && len(w.Counters) == 0 { // its only call was taken back: see closeOne
		w.Changed = false
		e.touch(ent)
		return
	}
	w.Closed = true
	e.publish(ent, w, nil, "", emit)
}

// slots returns the slots of roll-ups by start, shorter ones first.
func slots(m map[slot][]uint32) []slot {
	list := make([]slot, 0, len(m)) // a few for each size
	for at := range m {
		list = append(list, at)
	}
	slices.SortFunc(list, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.size, b.size))
	})
	return list
}

// placeRollups registers the roll-ups of a restored entity. Those of a size that is no
// longer configured are published and dropped like the others.
func (e *Engine) placeRollups(ent *entity.Entity) {
	kept := ent.Rollups[:0]
	for _, w := range ent.Rollups {
		at := slot{w.Start, w.Size}
		if e.gone(at.end()) && !w.Changed {
			ent.Stale = true
			continue
		}
		kept = append(kept, w)
		e.rolls.held[at] = append(e.rolls.held[at], ent.Slot)
		if w.Changed {
			e.rolls.pending[at] = append(e.rolls.pending[at], ent.Slot)
		}
	}
	ent.Rollups = kept
}
