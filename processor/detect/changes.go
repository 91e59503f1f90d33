package detect

import (
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Changes calls put for every entity that changed since the last call, with its packed
// form, and remove for every one that was forgotten: what a changelog has to hold. The
// bytes are never changed.
func (e *Engine) Changes(put func(name string, value []byte), remove func(name string)) {
	for _, i := range e.changed {
		if at := &e.store.slots[i]; at.dirty {
			at.dirty = false
			p := e.store.pack(i)
			put(e.store.name(i).StateKey(), p.state)
		}
	}
	for _, name := range e.forgot {
		if _, again := e.store.find(name); !again {
			remove(name.StateKey())
		}
	}
	clear(e.forgot)
	e.changed, e.forgot = e.changed[:0], e.forgot[:0]
	e.store.trim()
}

// Packed returns how many bytes the packed entities take, those included that are out
// of date, a third at the most.
func (e *Engine) Packed() int {
	n := 0
	for i := range e.store.slabs { // some more than one for each MiB
		n += cap(e.store.slabs[i].b)
	}
	return n
}

// Restore puts back what Changes once reported of one entity, the newest last; a nil
// value is a removal. The name and the value are copied. After all of them Restored
// has to be called.
func (e *Engine) Restore(name string, value []byte) error {
	entity, err := parseStateKey(name)
	if err != nil {
		return err
	}
	i, known := e.store.find(entity)
	switch {
	case value == nil && known:
		e.store.remove(i)
	case value != nil:
		if !known {
			i = e.store.add(entity)
		}
		e.store.rewrite(i, value)
	}
	e.store.trim()
	return nil
}

// Restored puts the windows of what was restored into their places, as of a mark and a
// Hold of that time; the mark's Quiet is the largest that there has been. It returns the
// first state that cannot be read.
func (e *Engine) Restored(mark eventtime.Mark, hold int64) error {
	e.mark, e.late, e.quiet, e.ended = mark.Watermark, mark.Late, mark.Watermark, mark.Quiet
	e.Hold(hold)
	for i := range e.store.slots {
		if !e.store.used(uint32(i)) {
			continue
		}
		ent, err := e.store.load(uint32(i))
		if err != nil {
			return err
		}
		e.charge(ent, 1)
		e.place(ent)
		e.watchAgain(ent)
		if ent.stale {
			e.store.save(ent)
		}
		e.store.trim()
	}
	return nil
}

// place notes where the windows of a restored entity belong, and drops those that the
// watermark has dropped since they were written. What is still to be published is
// dropped after that.
func (e *Engine) place(ent *Entity) {
	kept := ent.Windows[:0]
	for _, w := range ent.Windows {
		if e.gone(w.Start+e.cfg.Size) && !w.Changed {
			ent.settle(w, e.cfg.Retention)
			ent.stale = true
			continue
		}
		kept = append(kept, w)
		e.starts[w.Start] = append(e.starts[w.Start], ent.slot)
		if w.Changed {
			e.pending[w.Start] = append(e.pending[w.Start], ent.slot)
		}
	}
	ent.Windows = kept
	e.placeRollups(ent)
}

// used tells whether a slot holds an entity.
func (s *store) used(i uint32) bool { return s.slots[i].slab != noSlab }

// age returns when an entity was last named by a call or a binding, and how many
// windows and roll-ups it has, without unpacking it.
func (s *store) age(i uint32) (last int64, windows int) {
	if k := s.slots[i].hot; k != 0 {
		ent := s.hot[k-1]
		return ent.Last, len(ent.Windows) + len(ent.Rollups)
	}
	return packedAge(wire.NewDecoder(s.at(i).state))
}
