package sink

import "time"

// waits notes that the sink takes nothing from a worker now and is asked again after the
// pause, and logs it at most once a minute. asked is the pause that the sink asked for.
func (r *Runner) waits(worker int, paused *Paused, said error, attempts int, pause, asked time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next := Status{State: StateFailing, Err: said, Since: now, Next: now.Add(pause)}
	if paused != nil {
		next.State, next.Cause = StatePaused, paused.Cause
		if r.probing == nil {
			r.probing, r.prober = make(chan struct{}), worker
		}
	}
	if before := r.states[worker]; before.State == next.State && before.Cause == next.Cause {
		next.Since = before.Since
	}
	r.states[worker] = next
	r.o.Watch(r.worst())
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

// recovered notes that the sink takes records of a worker, and with them, as far as anybody
// knows, those of workers that have none at the moment.
func (r *Runner) recovered(worker int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for i := range r.states {
		if (i == worker || r.busy[i] == 0) && r.states[i].State != StateTaking {
			r.states[i] = Status{State: StateTaking, Since: time.Now()}
			changed = true
		}
	}
	if !changed {
		return
	}
	worst := r.worst()
	if worst.State == StateTaking {
		r.o.Log.Info("the sink takes records again", "after", time.Since(r.since))
		r.since = time.Time{}
		r.failing.Reset()
		r.pausing.Reset()
	}
	r.o.Watch(worst)
}

// worst returns the state of the worker with the most trouble; with the lock held.
func (r *Runner) worst() Status {
	rank := map[State]int{StateTaking: 0, StateFailing: 1, StatePaused: 2}
	worst := r.states[0]
	for _, s := range r.states[1:] {
		if rank[s.State] > rank[worst.State] ||
			s.State == worst.State && s.State != StateTaking && s.Since.Before(worst.Since) {
			worst = s
		}
	}
	return worst
}

// logRefusal logs that the sink refused or lost records.
func (r *Runner) logRefusal(what string, why error, records int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if held, due := r.refused.Open(time.Now(), records); due {
		r.o.Log.Error(what, "error", why, "records", records, "records_not_logged_before", held)
	}
}
