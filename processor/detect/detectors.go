package detect

import (
	"math"

	"keytrail/processor/baseline"
	"keytrail/processor/count"
	"keytrail/schemas/wire"
)

// detector asks one question of a window that closes.
type detector struct {
	name       string
	code       uint8 // in stored state; never used for another one
	kind       Kind
	techniques []string
	// lasts is how long after its last window an anomaly goes on: what is found within
	// that time is the same one, which is published again and not counted again.
	lasts int64
	judge func(e *Engine, ent *Entity, w *Window) (Anomaly, bool)
}

const (
	hour = int64(3600e9)
	day  = 24 * hour
)

// detectors are all that judge windows with calls, in the order in which they do; silence
// judges those without.
var detectors = []*detector{&rate, &firstUse, &newOrigin, &secretSweep, &objectSweep, &objectDrip, &callDrip, &fanOut, &newPeers, &massDestruction, &refusals, &probing, &unusableKey}

// known tells whether the entity had calls in another window that closed, and
// not longer before start than the retention: one that was silent for longer is
// new again, whether or not it has been forgotten yet. That other window may be
// a later one: a late call is no second first use.
func (ent *Entity) known(start, retention int64) bool {
	return ent.Since != 0 && start-ent.Seen <= retention
}

// watchedFor tells whether the entity has been watched for so long before start.
func (ent *Entity) watchedFor(start, time int64) bool {
	return ent.Since != 0 && start-ent.Since >= time
}

// fade forgets what the entity has learned when it was silent for longer than
// the retention before start: whether the sweep found it in between or not.
func (ent *Entity) fade(start, retention int64) {
	if ent.Since != 0 && start-ent.Seen > retention {
		ent.Since, ent.Baseline, ent.High, ent.Habits = 0, baseline.State{}, [wire.NumSets]int{}, Habits{}
	}
}

// judge runs the detectors over a window that closes, writes their counts into
// it, and lets the entity learn from it. A window without calls, or with none
// but the collector's own, is neither judged nor learned: it is silence.
func (e *Engine) judge(ent *Entity, w *Window) []Anomaly {
	if toJudge(&w.Partial) <= 0 {
		return nil
	}
	if IsOthers(ent.Entity) {
		return e.judgeOthers(ent, w)
	}
	ent.fade(w.Start, e.cfg.Retention)
	var found []Anomaly
	for _, d := range detectors {
		a, ok := d.judge(e, ent, w)
		if !ok {
			continue
		}
		if a, ok = e.report(a, d, ent, w); ok {
			found = append(found, a)
		}
	}
	e.learn(ent, w, found)
	return found
}

// report completes what a detector found and counts it in the window, unless it goes on
// from an earlier one. What the configuration allows is counted apart, and false; so is
// what a storm of pairs has too much of, which is counted twice.
func (e *Engine) report(a Anomaly, d *detector, ent *Entity, w *Window) (Anomaly, bool) {
	a.Kind, a.Detector, a.Entity = d.kind, d.name, ent.Entity
	began, again := ent.Habits.ongoing(d, w.Start)
	id, allowed := a.counter(), e.cfg.Allow.Allows(&a, w.Start)
	if allowed {
		id = wire.CounterSuppressed
	}
	if !again {
		e.tally(ent, w, id)
	}
	if allowed {
		return a, false
	}
	if ent.Scope == wire.ScopePair && !again && !e.storm.Admit(w.Start, d.name, ent.Entity) {
		e.tally(ent, w, wire.CounterWithheld)
		return a, false
	}
	return e.finish(a, d, ent, w, began), true
}

// tally counts an anomaly in a window, and one of a pair in those of its KMS key and
// principal too, unless it is allowed.
func (e *Engine) tally(ent *Entity, w *Window, id wire.CounterID) {
	count.Put(&w.Partial, id, count.Get(&w.Partial, id)+1)
	e.rollUp(ent, &wire.Partial{Start: w.Start, Counters: []wire.Counter{{ID: id, N: 1}}})
	if ent.Scope == wire.ScopePair && id != wire.CounterSuppressed {
		e.share(ent, w.Start, id)
	}
}

// learn lets the entity learn from a window that closed. A window with an
// anomaly teaches at most four standard deviations above what was expected, so
// that an attack does not become normal, but a lasting change does.
func (e *Engine) learn(ent *Entity, w *Window, found []Anomaly) {
	calls := toJudge(&w.Partial)
	for i := range found {
		if found[i].Detector != rate.name || w.Start-found[i].Began >= adoptAfter {
			continue
		}
		mu, a := found[i].Expected, ent.Baseline.Dispersion()
		calls = min(calls, int64(mu+4*math.Sqrt(mu+a*mu*mu)))
	}
	e.habits(ent, w)
	if ent.Since == 0 {
		ent.Since = w.Start
	}
	ent.Seen = max(ent.Seen, w.Start)
	for i := range w.Sets {
		ent.High[i] = max(ent.High[i], len(w.Sets[i].Values))
	}
	if ent.Scope == wire.ScopePair {
		return
	}
	ent.Baseline.Learn(w.Start, e.cfg.Size, calls)
	e.watch(ent)
}
