package sink

import "time"

// logEvery is the shortest time between two lines about the same trouble.
const logEvery = time.Minute

// logGate lets one line a minute through and counts what it holds back.
type logGate struct {
	last time.Time // of the last line; zero before the first
	held int       // records or attempts since then
}

// open tells whether a line is due, and how much was held back before it.
func (g *logGate) open(n int) (held int, due bool) {
	now := time.Now()
	if !g.last.IsZero() && now.Sub(g.last) < logEvery {
		g.held += n
		return 0, false
	}
	held = g.held
	*g = logGate{last: now}
	return held, true
}

// logFailure writes that the sink takes nothing and is tried again.
func (r *Runner) logFailure(said error, attempts int, pause time.Duration) {
	if r.since.IsZero() {
		r.since = time.Now()
	}
	if _, due := r.failing.open(1); due {
		r.o.Log.Warn("the sink takes no records now; trying again",
			"error", said, "attempts", attempts, "pause", pause, "since", r.since)
	}
}

// recovered writes that the sink takes records again, if it did not before.
func (r *Runner) recovered() {
	if !r.since.IsZero() {
		r.o.Log.Info("the sink takes records again", "after", time.Since(r.since))
		r.since, r.failing = time.Time{}, logGate{}
	}
}

// logRefusal writes that the sink refused or lost records.
func (r *Runner) logRefusal(what string, why error, records int) {
	if held, due := r.refused.open(records); due {
		r.o.Log.Error(what, "error", why, "records", records, "records_not_logged_before", held)
	}
}
