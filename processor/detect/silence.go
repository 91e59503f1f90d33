package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"keytrail/processor/eventtime"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// silence asks: has a KMS key that is in steady use no calls any more?
//
// Method: silences are measured in the calls that the baseline expects in them rather
// than in hours, because an hour at night is not one at noon (time rescaling: Brown and
// others 2002, "The time-rescaling theorem and its application to neural spike train data
// analysis"). SilenceFactor times as many must be missing as in any silence of the last
// weeks, and SilenceCalls at the least; it must last for four windows at the least; and
// by the lower tails of the negative binomials, one for each window, it must be less
// likely than Threshold. When that will be so is known as soon as the last call is
// counted, so each key waits for one moment, and none is looked at in between.
//
// When everything is silent, something else is the matter than a key: trails that are
// cut off, a collector that stands still. That is said once, of the key that was the
// first to be missed, and silences begin anew when calls come again.
//
// State: the baseline, the most calls missed in a silence, the moment. Warm-up: a week. Known false
// positives: services that are turned off.
var silence = detector{"silence", 12, KindSilence, []string{"T1562.008", "T1489"}, 0, nil}

// Traffic is what an engine remembers of all its calls, for the judgement of silence and
// for forgetting.
type Traffic struct {
	Latest  int64 // start of the last window with calls that closed; 0: none
	Resumed int64 // start of the first such window after the last time that everything was silent
	Told    bool  // that everything is silent has been told
	// Listened is the event time up to which silences have been judged: what was due
	// before is not judged again.
	Listened int64
	// Swept is the event time of the last sweep of forgotten entities: which entities are
	// known decides what counts for others, so it may not depend on restarts.
	Swept int64
}

// Traffic returns what SetTraffic has to be given when the engine is restored.
func (e *Engine) Traffic() Traffic { return e.traffic }

// SetTraffic is for restoring: before Restored.
func (e *Engine) SetTraffic(t Traffic) { e.traffic = t }

// shortest is how many windows a silence lasts at the least.
const shortest = 4

// lull is how many windows without any call are everything being silent.
const lull = 3

// heard notes that a window with calls closed.
func (e *Engine) heard(start int64) {
	t := &e.traffic
	if t.Latest == 0 || start-t.Latest > lull*e.cfg.Size {
		t.Resumed, e.resumed = start, true
	}
	if start > t.Latest {
		t.Latest, t.Told = start, false
	}
}

// watch has the silence of an entity judged when the time has come, if it is a KMS key
// whose silence has not been told.
func (e *Engine) watch(key *Entity) {
	at := &e.store.slots[key.slot]
	if at.watched || key.Scope != wire.ScopeKey || key.KeyARN == kms.NoEntity || key.Since == 0 || key.silenceTold() {
		return
	}
	if due, _, ok := e.silenceDue(key); ok && due > e.traffic.Listened {
		e.watchAt(key, due)
	}
}

// watchAt has the silence of a KMS key judged at a time. That stays the time whatever the
// key learns until then, when it is computed anew; so it is state, or what is said of a
// silence would depend on restarts. It need not be written to the changelog by itself: of a
// key that has not changed since, it is computed to the same.
func (e *Engine) watchAt(key *Entity, due int64) {
	e.store.slots[key.slot].watched = true
	e.watches[due] = append(e.watches[due], key.slot)
	key.Due, key.stale = due, true
}

// watchAgain is watch for a KMS key that was restored.
func (e *Engine) watchAgain(key *Entity) {
	if key.Due > e.traffic.Listened {
		e.watchAt(key, key.Due)
		return
	}
	e.watch(key)
}

// listenAnew has the silence of all KMS keys begin with the calls that came after
// everything was silent.
func (e *Engine) listenAnew() {
	if !e.resumed {
		return
	}
	e.resumed = false
	for i := range e.store.slots {
		if at := &e.store.slots[i]; at.slab != noSlab && !at.watched && e.store.at(uint32(i)).scope == wire.ScopeKey {
			e.store.trim()
			e.watch(e.store.get(uint32(i)))
		}
	}
}

// missing is what a silence lacks.
type missing struct {
	since int64   // when it began
	calls float64 // expected in it
	logP  float64 // the natural logarithm of its probability
}

// silenceDue returns when the silence of a KMS key, from the last of its calls on, will
// be an anomaly; ok is false when that is not within a day, or the key is too young.
func (e *Engine) silenceDue(key *Entity) (due int64, m missing, ok bool) {
	size := e.cfg.Size
	m.since = max(key.Seen+size, e.traffic.Resumed)
	if !key.watchedFor(key.Seen, longWarmUp*e.cfg.WarmUp) || key.Baseline.Mean(size)*float64(day/size) < e.cfg.SilenceCalls {
		return 0, m, false
	}
	least := max(e.cfg.SilenceCalls, e.cfg.SilenceFactor*float64(key.Habits.Gap))
	a, limit := key.Baseline.Dispersion(), math.Log(e.cfg.Threshold)
	mu, of := 0.0, int64(-1)
	for k := range int(day / size) {
		at := m.since + int64(k)*size
		if h := at / hour; h != of {
			mu, of = key.Baseline.Expected(at, size), h
		}
		m.calls += mu
		m.logP -= math.Log1p(a*mu) / a
		if k+1 >= shortest && m.calls >= least && m.logP <= limit {
			return eventtime.Start(at, size) + size, m, true
		}
	}
	return 0, m, false
}

// listen judges the silences whose time has come by mark: all windows that end by then
// have closed.
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
		list := slices.DeleteFunc(e.watches[due], func(i uint32) bool { return !e.store.used(i) || !e.store.slots[i].watched })
		slices.SortFunc(list, func(i, j uint32) int {
			return cmp.Or(e.store.names.compare(e.store.at(i).key, e.store.at(j).key), cmp.Compare(i, j))
		})
		for k, i := range list {
			if *most <= 0 {
				e.watches[due] = list[k:]
				return true
			}
			e.store.trim()
			e.listenTo(e.store.get(i), due, emit)
		}
		delete(e.watches, due)
	}
}

// listenTo judges the silence of one KMS key at a time that was due for it.
func (e *Engine) listenTo(key *Entity, now int64, emit func(Result)) {
	e.store.slots[key.slot].watched = false
	key.Due, key.stale = 0, true
	due, m, ok := e.silenceDue(key)
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

// tell publishes the silence of a KMS key with the window at start, its last one.
func (e *Engine) tell(key *Entity, start int64, m missing, emit func(Result)) {
	w := e.window(key, start)
	p := math.Exp(m.logP)
	a := Anomaly{Score: min(max(surprise(p), 6), 9), Observed: 0, Expected: m.calls, Reason: fmt.Sprintf(
		"%s: no calls since %s, where %s are expected by %s (probability %s); %s; learned since %s.",
		subject(e, key, w), date(m.since), expected(m.calls), date(start+e.cfg.Size), likelihood(p), key.longest(), date(key.Since))}
	a, ok := e.report(a, &silence, key, w)
	key.keepSilence(start)
	e.touch(key)
	if !ok {
		return
	}
	w.Closed = true
	e.publish(key, w, []Anomaly{a}, emit)
}

// longest says what the longest silence of the last weeks missed.
func (key *Entity) longest() string {
	if key.Habits.Gap < 1 {
		return "the last weeks had no silence"
	}
	return "the longest silence of the last weeks missed " + expected(float64(key.Habits.Gap))
}

// missed returns how many calls were expected between the last window with calls and the
// one at start.
func (key *Entity) missed(start, size int64) (calls float64) {
	for at := key.Seen + size; at < start; { // hour by hour: the windows of an hour expect the same
		next := min((at/hour+1)*hour, start)
		n := (next - at + size - 1) / size
		calls += float64(n) * key.Baseline.Expected(at, size)
		at += n * size
	}
	return calls
}

// silenceTold tells whether the silence of a KMS key has been told that began with the
// end of its last calls.
func (key *Entity) silenceTold() bool {
	for _, o := range key.Habits.Ongoing {
		if o.Code == silence.code {
			return o.Last > key.Seen
		}
	}
	return false
}

// keepSilence remembers that it has.
func (key *Entity) keepSilence(start int64) {
	h := &key.Habits
	for i := range h.Ongoing {
		if h.Ongoing[i].Code == silence.code {
			h.Ongoing[i].Start, h.Ongoing[i].Last = start, start
			return
		}
	}
	h.Ongoing = append(h.Ongoing, Ongoing{silence.code, start, start})
}
