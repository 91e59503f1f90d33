package detect

import (
	"bytes"
	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// This file is about what is learned of names: which KMS key an alias stands
// for, and which key is the primary of a multi-Region key. Windows are counted
// under the name, and published with what the name stood for at their end: the
// newest binding of an event time before it.
//
// When a window closes, everything on time that belongs before its end is there,
// so what it stands for does not depend on the order of arrival. A binding that
// comes late, like a late call, publishes the windows that it changes again.

// bound returns what the KMS key of an entity stood for at the end of the window
// at start, or nil.
func (e *Engine) bound(of wire.Entity, start int64) *wire.Binding {
	if !bindable(of) {
		return nil
	}
	i, ok := e.store.find(wire.Entity{Scope: wire.ScopeKey, KeyARN: of.KeyARN}) // a pair lives with its KMS key
	if !ok {
		return nil
	}
	return e.store.get(i).boundAt(start, e.cfg.Retention)
}

// bindable tells whether the KMS key of an entity can stand for another one.
func bindable(of wire.Entity) bool {
	return of.Scope != wire.ScopePrincipal && (wire.IsMultiRegion(of.KeyARN) || of.IsAlias())
}

// boundAt returns what ent stood for at the end of the window at start, or nil.
func (ent *Entity) boundAt(start, retention int64) *wire.Binding {
	bound, used := ent.Bound, ent.Used
	for _, w := range ent.Windows {
		if w.Start > start {
			break
		}
		bound, used = w.carry(bound, used, retention)
	}
	return bound
}

// carry returns what the entity stood for at the end of w, and when it was last
// named, given both for the time before w. What was not named for longer than
// the retention is forgotten, whether or not the sweep has found it in between.
func (w *Window) carry(bound *wire.Binding, used, retention int64) (*wire.Binding, int64) {
	if w.Binding == nil && count.Get(&w.Partial, wire.CounterCalls) <= 0 {
		return bound, used
	}
	if w.Start-used > retention {
		bound = nil
	}
	if w.Binding != nil {
		bound = w.Binding
	}
	if bound == nil || bound.ARN == "" {
		return nil, 0
	}
	return bound, w.Start
}

// settle keeps of w, the oldest window, what the later ones need.
func (ent *Entity) settle(w *Window, retention int64) {
	if ent.Bound != nil || w.Binding != nil {
		ent.Bound, ent.Used = w.carry(ent.Bound, ent.Used, retention)
	}
}

// revise merges p into w, which should have closed already, and has the closed
// windows published again that now stand for something else.
func (e *Engine) revise(ent *Entity, w *Window, p *wire.Partial) {
	var starts []int64
	var before []string
	for _, s := range sorted(e.starts) {
		if s >= p.Start && s+e.cfg.Size <= e.ended {
			starts, before = append(starts, s), append(before, target(ent.boundAt(s, e.cfg.Retention)))
		}
	}
	count.Merge(&w.Partial, p)
	for i, s := range starts {
		if target(ent.boundAt(s, e.cfg.Retention)) != before[i] {
			e.again(ent.KeyARN, s)
		}
	}
}

// again has the closed windows at start of a KMS key and its pairs published
// once more.
func (e *Engine) again(keyARN string, start int64) {
	key := e.store.names.short(nil, keyARN)
	for _, i := range e.starts[start] {
		if of := e.store.at(i); of.scope == wire.ScopePrincipal || !bytes.Equal(of.key, key) {
			continue
		}
		ent := e.store.get(i)
		if w := ent.find(start); w != nil && w.Closed {
			e.change(ent, w)
			e.touch(ent)
		}
	}
}

// target returns the ARN of a binding that may be nil.
func target(b *wire.Binding) string {
	if b == nil {
		return ""
	}
	return b.ARN
}
