package entity

import (
	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// Calls count under the name that they use. This file resolves such a name: an alias to
// its KMS key, and a multi-Region key to its primary. The newest binding with an event
// time before the end of a window applies to the window.

// BoundAt returns the binding of the entity at the end of the window at start, or nil.
func (ent *Entity) BoundAt(start, retention int64) *wire.Binding {
	bound, used := ent.Bound, ent.Used
	for _, w := range ent.Windows {
		if w.Start > start {
			break
		}
		bound, used = w.carry(bound, used, retention)
	}
	return bound
}

// carry returns the binding of the entity at the end of w, and when it was last named,
// given both for the time before w. A name without a mention for longer than the
// retention is forgotten, whether or not a sweep has removed it in between.
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
	if bound == nil || bound.Key == "" {
		return nil, 0
	}
	return bound, w.Start
}

// Settle keeps the data of w, the oldest window, that later windows need, because w is
// about to be dropped.
func (ent *Entity) Settle(w *Window, retention int64) {
	if ent.Bound != nil || w.Binding != nil {
		ent.Bound, ent.Used = w.carry(ent.Bound, ent.Used, retention)
	}
}

// Target returns the ARN of a binding, or "" when it is nil.
func Target(b *wire.Binding) string {
	if b == nil {
		return ""
	}
	return b.Key
}
