package window

import (
	"bytes"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// This file is about names that stand for others: an alias for a KMS key, and a
// multi-Region key for its primary. Calls count under the name. A window is published with
// what the name stood for at the window's end: the newest binding with an event time before
// that.
//
// When a window closes, everything on time that belongs before its end is there. So the
// result does not depend on the order of arrival. A late binding, like a late call,
// publishes the windows that it changes again.

// bound returns what the KMS key of an entity stood for at the end of the window
// at start, or nil.
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

// bindable reports whether the KMS key of an entity can stand for another one.
func bindable(of wire.Entity) bool {
	form := cloud.Form(of.Key) // of a principal it is FormOther
	return form == kms.FormAlias || form == kms.FormMultiRegion
}

// revise merges p into w, which has closed or is about to. The closed windows that stand for
// something else now are published again.
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

// again has the closed windows at start of a KMS key and its pairs published once more.
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
