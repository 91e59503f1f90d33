package window

import (
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
)

// Changes calls put for every entity that changed since the last call, with its packed
// form, and remove for every one that was forgotten: the updates of a changelog. The
// bytes never change.
func (e *Engine) Changes(put func(name string, value []byte), remove func(name string)) {
	for _, i := range e.changed {
		if at := e.store.Marks(i); at.Dirty {
			at.Dirty = false
			p := e.store.Pack(i)
			put(e.store.Name(i).StateKey(), p.State)
		}
	}
	for _, name := range e.forgot {
		if _, again := e.store.Find(name); !again {
			remove(name.StateKey())
		}
	}
	clear(e.forgot)
	e.changed, e.forgot = e.changed[:0], e.forgot[:0]
	e.store.Trim()
}

// Packed returns how many bytes the packed entities take. At most a third of them is out of
// date.
func (e *Engine) Packed() int { return e.store.Size() }

// Restore restores one entity from Changes, newest last; a nil value is a removal. It
// copies name and value. After all of them, the caller calls Restored. A name that is not
// a state key is an error.
func (e *Engine) Restore(name string, value []byte) error {
	of, err := entity.ParseStateKey(name)
	if err != nil {
		return err
	}
	i, known := e.store.Find(of)
	switch {
	case value == nil && known:
		e.store.Remove(i)
	case value != nil:
		if !known {
			i = e.store.Add(of)
		}
		e.store.Rewrite(i, value)
	}
	e.store.Trim()
	return nil
}

// Restored puts the windows of the restored entities into their places, as of a mark and
// a Hold of that time; the mark's Quiet is the largest so far. It returns the error of
// the first unreadable state.
func (e *Engine) Restored(mark eventtime.Mark, hold int64) error {
	e.mark, e.late, e.quiet, e.ended = mark.Watermark, mark.Late, mark.Watermark, mark.Quiet
	e.Hold(hold)
	for i := range uint32(e.store.Slots()) {
		if !e.store.Used(i) {
			continue
		}
		ent, err := e.store.Load(i)
		if err != nil {
			return err
		}
		e.charge(ent, 1)
		e.place(ent)
		e.watchAgain(ent)
		if ent.Stale {
			e.store.Save(ent)
		}
		e.store.Trim()
	}
	return nil
}

// place registers the windows of a restored entity, and drops those that the watermark
// has dropped since they were written. Unpublished windows are dropped after their
// publication.
func (e *Engine) place(ent *entity.Entity) {
	kept := ent.Windows[:0]
	for _, w := range ent.Windows {
		if e.gone(w.Start+e.cfg.Size) && !w.Changed {
			ent.Settle(w, int64(e.cfg.Retention))
			ent.Stale = true
			continue
		}
		kept = append(kept, w)
		e.starts[w.Start] = append(e.starts[w.Start], ent.Slot)
		if w.Changed {
			e.pending[w.Start] = append(e.pending[w.Start], ent.Slot)
		}
	}
	ent.Windows = kept
	e.placeRollups(ent)
}
