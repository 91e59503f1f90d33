package detect

import (
	"cmp"
	"slices"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// step is how far an Advance has come with the windows at one start, when it was
// left in the middle: the entities of one scope that are still to close.
type step struct {
	list  []uint32
	start int64
	done  int
}

// Advance moves event time to mark and calls emit with the windows to
// publish: those that closed, those that late calls refined, and open ones whose
// anomalies grew. After most of them it stops, and more tells to call it again, with
// nothing merged in between.
func (e *Engine) Advance(mark eventtime.Mark, most int, emit func(Result)) (more bool) {
	e.mark, e.late = max(e.mark, mark.Watermark), max(e.late, mark.Late)
	e.quiet = max(e.mark, mark.Quiet)
	e.ended = max(e.ended, e.quiet)
	out := func(r Result) {
		most--
		emit(r)
	}
	for _, f := range e.fresh { // bounded by what was merged
		e.store.trim()
		e.preview(f.entity, f.start, out)
	}
	e.fresh = e.fresh[:0]
	if e.mark == eventtime.None {
		return false
	}
	if e.closeDue(&most, out) || e.listen(e.quiet, &most, out) || e.closeRollups(&most, out) {
		return true
	}
	for _, s := range sorted(e.starts) {
		if e.gone(s + e.cfg.Size) {
			e.drop(s)
		}
	}
	e.sweep()
	return false
}

// Closing tells whether the last Advance was not the last one of its step.
func (e *Engine) Closing() bool {
	if e.mark == eventtime.None {
		return false
	}
	for s := range e.pending {
		if s+e.cfg.Size <= e.quiet {
			return true
		}
	}
	for at := range e.watches {
		if at <= e.quiet {
			return true
		}
	}
	return e.step.done < len(e.step.list) || e.rolls.due(e.quiet)
}

func sorted(m map[int64][]uint32) []int64 {
	keys := make([]int64, 0, len(m)) // the windows of the disorder and the lateness: a few dozen
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// closeDue closes or refines the windows that end by now, the oldest first:
// of each start pairs first, because their anomalies count in the windows of their KMS
// key and their principal too. It tells whether it stopped before the end.
func (e *Engine) closeDue(most *int, emit func(Result)) (more bool) {
	for {
		for ; e.step.done < len(e.step.list); e.step.done++ {
			if *most <= 0 {
				return true
			}
			e.store.trim()
			e.closeOne(e.store.get(e.step.list[e.step.done]), e.step.start, emit)
		}
		e.step = step{}
		next, ok := e.oldest()
		if !ok {
			return false
		}
		if e.listen(next, most, emit) { // in order of time: what is silent until then
			return true
		}
		for _, scope := range scopes {
			list, rest := e.store.ofScope(e.pending[next], scope)
			if len(list) == 0 {
				continue
			}
			e.step = step{list: list, start: next}
			if e.pending[next] = rest; len(rest) == 0 {
				delete(e.pending, next)
			}
			break
		}
	}
}

// oldest returns the first start with windows to close.
func (e *Engine) oldest() (start int64, ok bool) {
	for s := range e.pending {
		if s+e.cfg.Size <= e.quiet && (!ok || s < start) {
			start, ok = s, true
		}
	}
	return start, ok
}

// closeOne closes or refines an entity's window at start.
func (e *Engine) closeOne(ent *Entity, start int64, emit func(Result)) {
	w := ent.find(start)
	switch {
	case w == nil:
	case !w.Closed && len(w.Counters) == 0 && w.Published == 0:
		// Its only call was taken back before anybody saw it: it is as if it had
		// never been, until another call comes.
		w.Changed = false
		e.touch(ent)
	case !w.Closed:
		if toJudge(&w.Partial) > 0 {
			e.heard(start)
		}
		anomalies := e.judge(ent, w)
		w.Closed = true
		e.publish(ent, w, anomalies, emit)
	default:
		e.publish(ent, w, nil, emit)
	}
}

// scopes are the scopes in the order in which their windows close.
var scopes = [...]wire.Scope{wire.ScopePair, wire.ScopeKey, wire.ScopePrincipal}

// publish hands out the next revision of a closed window.
func (e *Engine) publish(ent *Entity, w *Window, anomalies []Anomaly, emit func(Result)) {
	last := w.Start + w.Length(e.cfg.Size) - e.cfg.Size // of a roll-up, the last window in it
	w.Changed, w.Revision, w.Bound = false, w.Revision+1, e.bound(ent.Entity, last)
	e.touch(ent)
	emit(Result{w, anomalies})
}

// ofScope returns those of one scope, in the order of their names, so that results
// come in the same order everywhere, and the others.
func (s *store) ofScope(all []uint32, scope wire.Scope) (list, rest []uint32) {
	for _, i := range all {
		if s.at(i).scope == scope {
			list = append(list, i)
		} else {
			rest = append(rest, i)
		}
	}
	slices.SortFunc(list, func(i, j uint32) int {
		a, b := s.at(i), s.at(j)
		return cmp.Or(s.names.compare(a.key, b.key), s.names.compare(a.principal, b.principal))
	})
	return list, rest
}

// preview publishes an open window whose rules or counts are anomalous already,
// each time that more are.
func (e *Engine) preview(entity uint32, start int64, emit func(Result)) {
	if start+e.cfg.Size <= e.quiet { // about to be closed
		return
	}
	ent := e.store.get(entity)
	w := ent.find(start)
	if w == nil || w.Closed {
		return
	}
	n := AnomalyCount(&w.Partial)
	var found []Anomaly
	if ent.known(w.Start, e.cfg.Retention) {
		if a, ok := rate.judge(e, ent, w); ok {
			a.Kind, a.Entity, a.Detector = rate.kind, ent.Entity, rate.name
			if !e.cfg.Allow.Allows(&a, w.Start) {
				if began, again := ent.Habits.began(&rate, w.Start); !again && !e.shows(ent, w) { // else it is published already
					found = append(found, e.finish(a, &rate, ent, w, began))
					n++
				}
			}
		}
	}
	if n <= w.Published {
		return
	}
	w.Published, w.Bound = n, e.bound(ent.Entity, w.Start)
	e.touch(ent)
	shown := *w
	shown.Counters = slices.Clone(w.Counters)
	for i := range found {
		count.Put(&shown.Partial, found[i].counter(), 1)
	}
	emit(Result{&shown, found})
}

// drop forgets the windows at start; later calls for them are late. The changelog
// need not know: what is restored is dropped again by the same watermark.
func (e *Engine) drop(start int64) {
	for _, i := range e.starts[start] {
		e.store.trim()
		ent := e.store.get(i)
		ent.Windows = slices.DeleteFunc(ent.Windows, func(w *Window) bool {
			if w.Start != start {
				return false
			}
			ent.settle(w, e.cfg.Retention)
			return true
		})
		ent.stale = true
	}
	delete(e.starts, start)
}

// sweep forgets, once an hour of event time, the entities that have had no calls
// and no bindings for so long that any window that may still come is beyond the
// retention.
func (e *Engine) sweep() {
	const hour = int64(3600e9)
	if e.mark-e.traffic.Swept < hour {
		return
	}
	e.traffic.Swept = e.mark
	for i := range e.store.slots {
		if !e.store.used(uint32(i)) {
			continue
		}
		last, windows := e.store.age(uint32(i))
		if windows == 0 && e.mark-last >= e.cfg.Retention+e.cfg.Lateness+e.cfg.Size {
			if ent, err := e.store.load(uint32(i)); err == nil {
				e.charge(ent, -1)
			}
			e.forgot = append(e.forgot, e.store.name(uint32(i)))
			e.store.remove(uint32(i))
		}
	}
	e.store.trim()
}
