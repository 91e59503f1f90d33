package window

import (
	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// Merge adds p to its window. late reports that the window accepts no more calls, and
// that p does not count: the stage that counts the calls must decide that, by the same
// mark or a later one. Merge keeps strings of p, and no other memory.
func (e *Engine) Merge(p *wire.Partial) (late bool) {
	if p.Start+e.cfg.Size <= e.late {
		return true
	}
	e.merge(p)
	return false
}

// Notice is Merge for a partial of another engine's notify. That engine has judged its
// windows before, so a notice is late only if its window has been dropped.
func (e *Engine) Notice(p *wire.Partial) (late bool) {
	if e.gone(p.Start + e.cfg.Size) {
		return true
	}
	e.merge(p)
	return false
}

func (e *Engine) merge(p *wire.Partial) {
	e.store.Trim()
	e.mergeInto(p)
}

// mergeInto is merge during an Advance, when unpacked entities must stay unpacked.
func (e *Engine) mergeInto(p *wire.Partial) {
	ent, known, p := e.home(p)
	if p == nil {
		return // a binding of an unknown name
	}
	if !known || p.Start > ent.Last {
		ent.Last = p.Start
	}
	w := e.window(ent, p.Start)
	nothing := count.NoCounts(p)
	if nothing && !p.Binding.Newer(w.Binding) {
		return // a repeated binding
	}
	if p.Start+e.cfg.Size <= e.ended && ent.Scope == wire.ScopeKey && bindable(ent.Entity) {
		e.revise(ent, w, p)
	} else {
		count.Merge(&w.Partial, p)
	}
	e.touch(ent)
	if nothing {
		return // a binding alone is not published
	}
	e.rollUp(ent, p)
	e.change(ent, w)
	e.fresh = append(e.fresh, fresh{ent.Slot, p.Start})
}
