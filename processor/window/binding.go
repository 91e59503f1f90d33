package window

import (
	"bytes"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// This file resolves names: an alias to a KMS key, and a multi-Region key to its primary.
// Calls count under the name. A window is published with the name's binding at the
// window's end: the newest one with an event time before that.
//
// When a window closes, all records on time from before its end have arrived, so the
// result does not depend on the order of arrival. A late binding, like a late call,
// publishes the windows that it changes again.

// bound returns the binding of an entity's KMS key at the end of the window at start, or
// nil.
func (e *Engine) bound(of wire.Entity, start int64) *wire.Binding {
	if !bindable(of) {
		return nil
	}
	key := e.key(of.Key)
	if key == nil {
		return nil
	}
	return key.BoundAt(start, int64(e.cfg.Retention))
}

// bindable reports whether the KMS key of an entity may be bound to another one.
func bindable(of wire.Entity) bool {
	form := cloud.Form(of.Key) // of a principal it is FormOther
	return form == kms.FormAlias || form == kms.FormMultiRegion
}

// revise merges p into w, which has closed or is about to. It publishes the closed
// windows whose binding changes again.
func (e *Engine) revise(ent *entity.Entity, w *entity.Window, p *wire.Partial) {
	var starts []int64
	var before []string
	for _, s := range sorted(e.starts) {
		if s >= p.Start && s+e.cfg.Size <= e.ended {
			starts, before = append(starts, s), append(before, entity.Target(ent.BoundAt(s, int64(e.cfg.Retention))))
		}
	}
	count.Merge(&w.Partial, p)
	for i, s := range starts {
		if entity.Target(ent.BoundAt(s, int64(e.cfg.Retention))) != before[i] {
			e.again(ent.Key, s)
		}
	}
}

// again marks the closed windows at start of a KMS key and its pairs for another publication.
func (e *Engine) again(keyARN string, start int64) {
	key := e.store.Short(keyARN)
	for _, i := range e.starts[start] {
		if of := e.store.At(i); of.Scope == wire.ScopePrincipal || !bytes.Equal(of.Key, key) {
			continue
		}
		ent := e.store.Get(i)
		if w := ent.Find(start); w != nil && w.Closed {
			e.change(ent, w)
			e.touch(ent)
		}
	}
}
