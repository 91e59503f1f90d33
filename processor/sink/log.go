package sink

import "time"

// waits notes that the sink takes nothing now and is asked again after the pause, and
// writes it to the log at most once a minute. asked is the pause that the sink asked
// for.
func (r *Runner) waits(paused *Paused, said error, attempts int, pause, asked time.Duration) {
	now := time.Now()
	next := Status{State: StateFailing, Err: said, Since: now, Next: now.Add(pause)}
	if paused != nil {
		next.State, next.Cause = StatePaused, paused.Cause
	}
	if r.status.State == next.State && r.status.Cause == next.Cause {
		next.Since = r.status.Since
	}
	r.tell(next)
	if r.since.IsZero() {
		r.since = now
	}
	args := []any{"error", said, "attempts", attempts, "next_attempt_in", pause.Round(time.Millisecond), "since", r.since}
	if asked > 0 {
		args = append(args, "asked_for", asked)
	}
	if expires, ok := r.o.Expires(); ok {
		args = append(args, "oldest_record_expires", expires)
	}
	gate, text := &r.failing, "the sink takes no records now; trying again"
	if paused != nil {
		gate, text = &r.pausing, "the sink is paused until somebody mends this; Kafka keeps the records meanwhile"
		args = append(args, "cause", paused.Cause)
	}
	if _, due := gate.Open(now, 1); due {
		r.o.Log.Warn(text, args...)
	}
}

// recovered notes that the sink takes records again, if it did not before.
func (r *Runner) recovered() {
	if r.since.IsZero() {
		return
	}
	r.o.Log.Info("the sink takes records again", "after", time.Since(r.since))
	r.since = time.Time{}
	r.failing.Reset()
	r.pausing.Reset()
	r.tell(Status{State: StateTaking, Since: time.Now()})
}

func (r *Runner) tell(s Status) {
	r.status = s
	r.o.Watch(s)
}

// logRefusal writes that the sink refused or lost records.
func (r *Runner) logRefusal(what string, why error, records int) {
	if held, due := r.refused.Open(time.Now(), records); due {
		r.o.Log.Error(what, "error", why, "records", records, "records_not_logged_before", held)
	}
}
