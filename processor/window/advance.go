package window

import (
	"slices"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Advance moves event time to mark and calls emit with the windows to publish: closed
// ones, ones refined by late calls, and open ones with more anomalies. It stops after
// about most of them; more reports that others remain. The caller then calls Advance
// again with the same mark, and merges nothing in between.
func (e *Engine) Advance(mark eventtime.Mark, most int, emit func(Result)) (more bool) {
	e.mark, e.late = max(e.mark, mark.Watermark), max(e.late, mark.Late)
	e.quiet = max(e.mark, mark.Quiet)
	e.ended = max(e.ended, e.quiet)
	out := func(r Result) {
		most--
		emit(r)
	}
	for _, f := range e.fresh { // bounded by the merged calls
		e.store.Trim()
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

// Closing reports whether the last Advance did not reach the end of its step.
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

// closeDue closes or refines the windows that end by now, oldest first. At each start it
// begins with pairs, because their anomalies also count in the windows of their KMS key
// and principal. It reports whether it stopped before the end.
func (e *Engine) closeDue(most *int, emit func(Result)) (more bool) {
	for {
		for ; e.step.done < len(e.step.list); e.step.done++ {
			if *most <= 0 {
				return true
			}
			e.store.Trim()
			e.closeOne(e.store.Get(e.step.list[e.step.done]), e.step.start, emit)
		}
		e.step = step{}
		next, ok := e.oldest()
		if !ok {
			return false
		}
		if e.listen(next, most, emit) { // in order of time: the silences until then
			return true
		}
		for _, scope := range scopes {
			list, rest := e.store.OfScope(e.pending[next], scope)
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
func (e *Engine) closeOne(ent *entity.Entity, start int64, emit func(Result)) {
	w := ent.Find(start)
	switch {
	case w == nil:
	case !w.Closed && len(w.Counters) == 0 && w.Published == 0:
		// Its only call was taken back before the window was published. It counts as
		// never made, until another call comes.
		w.Changed = false
		e.touch(ent)
	case !w.Closed:
		if w.ToJudge() > 0 {
			e.heard(start)
		}
		ended := e.spoke(ent, w)
		anomalies := e.judge(ent, w)
		w.Closed = true
		e.publish(ent, w, anomalies, ended, emit)
	default:
		e.publish(ent, w, nil, "", emit)
	}
}

// scopes are the scopes in the order in which their windows close.
var scopes = [...]wire.Scope{wire.ScopePair, wire.ScopeKey, wire.ScopePrincipal}

// publish emits the next revision of a closed window; ended is as in Result.
func (e *Engine) publish(ent *entity.Entity, w *entity.Window, anomalies []anomaly.Anomaly, ended string,
	emit func(Result),
) {
	last := w.Start + w.Length(e.cfg.Size) - e.cfg.Size // of a roll-up, the last window in it
	w.Changed, w.Revision, w.Bound = false, w.Revision+1, e.bound(ent.Entity, last)
	e.touch(ent)
	emit(Result{w, anomalies, ended})
}

// preview publishes an open window each time it has more anomalies of rules or of the
// rate.
func (e *Engine) preview(entity uint32, start int64, emit func(Result)) {
	if start+e.cfg.Size <= e.quiet { // about to be closed
		return
	}
	ent := e.store.Get(entity)
	w := ent.Find(start)
	if w == nil || w.Closed {
		return
	}
	n := anomaly.Count(&w.Partial)
	found := e.previewRate(ent, w)
	n += int64(len(found))
	if n <= w.Published {
		return
	}
	w.Published, w.Bound = n, e.bound(ent.Entity, w.Start)
	e.touch(ent)
	shown := *w
	shown.Counters = slices.Clone(w.Counters)
	for i := range found {
		found[i].Preview = n
		count.Put(&shown.Partial, found[i].Kind.Counter(), 1)
	}
	emit(Result{&shown, found, ""})
}

// previewRate returns the rate anomaly of an open window, if no earlier window has
// published it.
func (e *Engine) previewRate(ent *entity.Entity, w *entity.Window) []anomaly.Anomaly {
	d := &detector.Rate
	if !ent.Known(w.Start, int64(e.cfg.Retention)) {
		return nil
	}
	f, ok := d.Judge(view{e}, ent, w)
	if !ok || e.cfg.Allow.Allows(&anomaly.Anomaly{Kind: d.Kind, Detector: d.Name, Entity: ent.Entity}, w.Start) {
		return nil
	}
	began, again := ent.Habits.Began(d.Code, d.Lasts, w.Start)
	if again || e.shows(ent, w) {
		return nil
	}
	return []anomaly.Anomaly{e.finish(&f, d, ent, w, began)}
}

// shows reports whether an earlier open window of the entity has the rate anomaly that w
// would begin. When they close, the two become one.
func (e *Engine) shows(ent *entity.Entity, w *entity.Window) bool {
	d := &detector.Rate
	for _, before := range ent.Windows {
		if before.Start >= w.Start {
			return false
		}
		if !before.Closed && w.Start-before.Start <= d.Lasts {
			if _, ok := d.Judge(view{e}, ent, before); ok {
				return true
			}
		}
	}
	return false
}

// drop forgets the windows at start; later calls for them are late. It writes nothing to
// the changelog, because the same watermark drops them again after a restart.
func (e *Engine) drop(start int64) {
	for _, i := range e.starts[start] {
		e.store.Trim()
		ent := e.store.Get(i)
		ent.Windows = slices.DeleteFunc(ent.Windows, func(w *entity.Window) bool {
			if w.Start != start {
				return false
			}
			ent.Settle(w, int64(e.cfg.Retention))
			return true
		})
		ent.Stale = true
	}
	delete(e.starts, start)
}

// sweep forgets, once per hour of event time, the entities without calls and bindings for
// so long that any window that may still come is beyond the retention.
func (e *Engine) sweep() {
	if e.mark-e.traffic.Swept < eventtime.Hour {
		return
	}
	e.traffic.Swept = e.mark
	for i := range uint32(e.store.Slots()) {
		if !e.store.Used(i) {
			continue
		}
		last, windows := e.store.Age(i)
		if windows == 0 && e.mark-last >= int64(e.cfg.Retention)+e.cfg.Lateness+e.cfg.Size {
			if ent, err := e.store.Load(i); err == nil {
				e.charge(ent, -1)
			}
			e.forgot = append(e.forgot, e.store.Name(i))
			e.store.Remove(i)
		}
	}
	e.store.Trim()
}
