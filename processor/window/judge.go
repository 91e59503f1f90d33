package window

import (
	"math"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/detector"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// judge runs the detectors over a closing window, adds their counts to it, and lets the
// entity learn from it. A window without calls, or with only the collector's own, is
// silence: it is neither judged nor learned.
func (e *Engine) judge(ent *entity.Entity, w *entity.Window) []anomaly.Anomaly {
	if w.ToJudge() <= 0 {
		return nil
	}
	if cloud.IsOthers(ent.Entity) {
		return e.judgeOthers(ent, w)
	}
	ent.Fade(w.Start, int64(e.cfg.Retention))
	var found []anomaly.Anomaly
	adopted := false
	for _, d := range detector.All {
		if d.Judge == nil {
			continue
		}
		f, ok := d.Judge(view{e}, ent, w)
		if !ok {
			continue
		}
		if a, ok := e.report(&f, d, ent, w); ok {
			found = append(found, a)
		}
		if began, again := ent.Habits.Began(d.Code, d.Lasts, w.Start); again && d == &detector.Rate {
			adopted = w.Start-began >= detector.Adopt
		}
	}
	e.learn(ent, w, adopted)
	return found
}

// report counts a detector's finding in the window, unless it continues from an earlier window,
// and returns the anomaly. Allowed anomalies are counted separately and not published (false).
// Withheld ones, those of a storm of pairs, are counted twice and not published. A late
// window before the anomaly's last one is not published, as its revision would be lower;
// nor is one that says nothing new.
func (e *Engine) report(f *detector.Finding, d *detector.Detector, ent *entity.Entity, w *entity.Window) (
	anomaly.Anomaly, bool,
) {
	a := anomaly.Anomaly{Kind: d.Kind, Detector: d.Name, Entity: ent.Entity}
	began, again, passed := ent.Habits.Continue(d.Code, d.Lasts, w.Start)
	id, allowed := d.Kind.Counter(), e.cfg.Allow.Allows(&a, w.Start)
	if allowed {
		id = wire.CounterSuppressed
	}
	if !again {
		e.tally(ent, w, id)
	}
	if allowed || passed {
		return a, false
	}
	if ent.Scope == wire.ScopePair && !again && !e.storm.Admit(w.Start, d.Name, ent.Entity) {
		e.tally(ent, w, wire.CounterWithheld)
		return a, false
	}
	if !ent.Habits.News(d.Code, d.Lasts, w.Start, f.Observed, f.Score) {
		return a, false
	}
	found := e.finish(f, d, ent, w, began)
	found.Revision = 2 * (1 + (w.Start-began)/e.cfg.Size)
	found.Until = eventtime.Add(found.End, max(d.Lasts, anomaly.Repeat))
	if d == &detector.Silence { // it ends when calls return
		found.Until = eventtime.Add(found.End, int64(e.cfg.Retention))
	}
	return found, true
}

// finish makes the anomaly of a detector's finding in w; began is the start of the first
// window with it. Its revision is that of an open window, with which it ends.
func (e *Engine) finish(f *detector.Finding, d *detector.Detector, ent *entity.Entity, w *entity.Window, began int64,
) anomaly.Anomaly {
	calls := make([]string, len(w.Samples))
	for i, s := range w.Samples {
		calls[i] = s.String()
	}
	return anomaly.Anomaly{
		ID: anomaly.ID(ent.Entity, began, d.Name), Kind: d.Kind, Detector: d.Name,
		Score: f.Score, Reason: f.Reason, Observed: f.Observed, Expected: f.Expected,
		Since: ent.Since, Contributors: e.contributors(ent, w), Calls: calls, Techniques: d.Techniques,
		Entity: ent.Entity, Bound: e.bound(ent.Entity, w.Start), Start: w.Start, End: w.Start + e.cfg.Size,
		At: w.Start + e.cfg.Size, Began: began, Until: w.Start + e.cfg.Size,
	}
}

// tally counts an anomaly in a window, and one of a pair in the windows of its KMS key and
// its principal too, unless it is allowed.
func (e *Engine) tally(ent *entity.Entity, w *entity.Window, id wire.CounterID) {
	count.Put(&w.Partial, id, count.Get(&w.Partial, id)+1)
	e.rollUp(ent, &wire.Partial{Start: w.Start, Counters: []wire.Counter{{ID: id, N: 1}}})
	if ent.Scope == wire.ScopePair && id != wire.CounterSuppressed {
		e.share(ent, w.Start, id)
	}
}

// share counts a pair's anomaly in the windows of its KMS key and principal.
func (e *Engine) share(ent *entity.Entity, start int64, id wire.CounterID) {
	one := []wire.Counter{{ID: id, N: 1}}
	key := wire.Entity{Scope: wire.ScopeKey, Key: ent.Key}
	e.mergeInto(&wire.Partial{Entity: key, Account: cloud.Account(ent.Principal), Start: start, Counters: one})
	who := wire.Entity{Scope: wire.ScopePrincipal, Principal: ent.Principal}
	p := wire.Partial{Entity: who, Start: start, Counters: one}
	if e.notify == nil || cloud.IsOthers(ent.Entity) { // those of the principal are in this engine
		e.mergeInto(&p)
		return
	}
	e.notify(p)
}

// learn lets the entity learn from a closed window; adopted reports that the window has a
// rate anomaly that has become the new normal. A KMS key learns only from its uses.
func (e *Engine) learn(ent *entity.Entity, w *entity.Window, adopted bool) {
	uses := w.Uses()
	if uses <= 0 && ent.Scope == wire.ScopeKey {
		ent.Top(w)
		return
	}
	teaches := e.teaches(ent, w, uses, adopted)
	e.habits(ent, w)
	if ent.Since == 0 {
		ent.Since = w.Start
	}
	ent.Seen = max(ent.Seen, w.Start)
	ent.Top(w)
	if ent.Scope == wire.ScopePair {
		return
	}
	if uses > 0 || ent.Baseline.Since == 0 { // a window without uses is silence, which the next one teaches
		ent.Baseline.Learn(w.Start, e.cfg.Size, teaches)
	}
	e.watch(ent)
}

// teaches returns how many uses of a window its entity learns. Beyond the warm-up they are
// at most PeakFactor times those of its busiest windows, or four standard deviations above
// the expected number: neither an attack nor its beginning becomes normal, but a lasting
// change does.
func (e *Engine) teaches(ent *entity.Entity, w *entity.Window, uses int64, adopted bool) int64 {
	if ent.Scope == wire.ScopePair || adopted || uses < 4 || !ent.Baseline.Ready(w.Start, int64(e.cfg.WarmUp)) {
		return uses
	}
	top, _ := ent.Habits.Tops.Of(entity.OneWindow)
	most := e.cfg.PeakFactor * top.Level()
	if float64(uses) <= most {
		return uses
	}
	mu, a := ent.Baseline.Before(w.Start, w.Start, e.cfg.Size)
	return min(uses, int64(max(most, mu+4*math.Sqrt(mu+a*mu*mu))))
}

// habits lets the habits of an entity learn from a closed window.
func (e *Engine) habits(ent *entity.Entity, w *entity.Window) {
	h := &ent.Habits
	switch ent.Scope {
	case wire.ScopePair:
		e.user(ent, w)
		return
	case wire.ScopePrincipal:
		h.Learn(w)
	}
	if ent.Since != 0 && w.Start < ent.Seen {
		return // a late first call of a window: the time in between was learned already
	}
	age := w.Start - ent.Seen
	if ent.Since == 0 {
		age = 0
	}
	one := float64(w.Uses())
	if one <= 0 {
		return
	}
	two := one
	if before := ent.Find(w.Start - e.cfg.Size); before != nil {
		two += float64(before.Uses())
	}
	h.Tops.Add(w.Start, one, two)
	// A reported silence does not become a habit, unless it has lasted for a day.
	if ent.Since != 0 && ent.Scope == wire.ScopeKey && (age >= eventtime.Day || !detector.SilenceTold(ent)) {
		h.Gap = float32(max(entity.Faded(h.Gap, age), ent.Missed(w.Start, e.cfg.Size)))
	}
}

// user counts a pair that closes its first window with uses among the users of its KMS
// key.
func (e *Engine) user(pair *entity.Entity, w *entity.Window) {
	start, h := w.Start, &pair.Habits
	if h.Used || pair.Key == kms.NoEntity {
		return
	}
	if w.Uses() <= 0 {
		h.Tried = h.Tried || detector.Tries(w) > 0
		return
	}
	h.Used, h.Tried = true, false
	key := e.key(pair.Key)
	if key == nil {
		return
	}
	key.Fade(start, int64(e.cfg.Retention)) // its own window closes after those of its pairs
	key.Habits.AddUser(e.accountHash(pair.Principal), entity.FamilyOf(pair.Principal), start)
	e.touch(key)
}
