package window

import (
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// watch schedules the judgment of an entity's silence, if it is a KMS key whose silence
// has not been reported.
func (e *Engine) watch(key *entity.Entity) {
	if key.Scope != wire.ScopeKey || e.store.Marks(key.Slot).Watched || key.Key == kms.NoEntity ||
		key.Since == 0 || detector.SilenceTold(key) {
		return
	}
	if due, _, ok := detector.SilenceDue(view{e}, key, e.traffic.Resumed); ok && due > e.traffic.Listened {
		e.watchAt(key, due)
	}
}

// watchAt schedules the judgment of a KMS key's silence at due. Whatever the key learns
// until then, due stays, and is computed again only then. So it is state; otherwise the
// anomaly would depend on restarts. It is not written to the changelog by itself, because
// an unchanged key gives the same due again.
func (e *Engine) watchAt(key *entity.Entity, due int64) {
	e.store.Marks(key.Slot).Watched = true
	e.watches[due] = append(e.watches[due], key.Slot)
	key.Due, key.Stale = due, true
}

// watchAgain is watch for a restored KMS key.
func (e *Engine) watchAgain(key *entity.Entity) {
	if key.Due > e.traffic.Listened {
		e.watchAt(key, key.Due)
		return
	}
	e.watch(key)
}

// listenAnew restarts the silences of all KMS keys with the first calls after everything
// was silent.
func (e *Engine) listenAnew() {
	if !e.resumed {
		return
	}
	e.resumed = false
	for i := range uint32(e.store.Slots()) {
		if e.store.Used(i) && !e.store.Marks(i).Watched && e.store.At(i).Scope == wire.ScopeKey {
			e.store.Trim()
			e.watch(e.store.Get(i))
		}
	}
}

// listen judges the silences due by mark. All windows that end by then have closed. It
// reports whether it stopped before the end.
func (e *Engine) listen(mark int64, most *int, emit func(Result)) (more bool) {
	e.listenAnew()
	for {
		due, ok := int64(0), false
		for at := range e.watches {
			if at <= mark && (!ok || at < due) {
				due, ok = at, true
			}
		}
		if !ok {
			e.traffic.Listened = max(e.traffic.Listened, mark)
			return false
		}
		list := slices.DeleteFunc(e.watches[due], func(i uint32) bool {
			return !e.store.Used(i) || !e.store.Marks(i).Watched
		})
		slices.SortFunc(list, e.store.CompareKeys)
		for k, i := range list {
			if *most <= 0 {
				e.watches[due] = list[k:]
				return true
			}
			e.store.Trim()
			e.listenTo(e.store.Get(i), due, emit)
		}
		delete(e.watches, due)
	}
}

// listenTo judges the silence of one KMS key at its due time.
func (e *Engine) listenTo(key *entity.Entity, now int64, emit func(Result)) {
	e.store.Marks(key.Slot).Watched = false
	key.Due, key.Stale = 0, true
	due, m, ok := detector.SilenceDue(view{e}, key, e.traffic.Resumed)
	switch {
	case !ok:
		return
	case due > now: // it has had calls since
		e.watchAt(key, due)
		return
	}
	if quiet := e.traffic.Latest < now-(lull+1)*e.cfg.Size; quiet {
		if e.traffic.Told {
			return // see listenAnew
		}
		e.traffic.Told = true
	}
	e.tell(key, now-e.cfg.Size, m, emit)
}

// spoke returns the id of the silence of a KMS key that ends with the calls of w, or "".
func (e *Engine) spoke(key *entity.Entity, w *entity.Window) string {
	last, told := key.Habits.Told(detector.Silence.Code)
	if !told || w.Start <= last || last <= key.Seen || w.Uses() <= 0 {
		return ""
	}
	return anomaly.ID(key.Entity, last, detector.Silence.Name)
}

// tell publishes the silence of a KMS key with the window at start, its last one.
func (e *Engine) tell(key *entity.Entity, start int64, m detector.Missing, emit func(Result)) {
	w := e.window(key, start)
	f := detector.Silent(view{e}, key, w, m)
	a, ok := e.report(&f, &detector.Silence, key, w)
	key.Habits.Tell(detector.Silence.Code, start)
	e.touch(key)
	if !ok {
		return
	}
	w.Closed = true
	e.publish(key, w, []anomaly.Anomaly{a}, "", emit)
}
