package output

import (
	"slices"
	"sync"
	"time"

	"keytrail/plugins/internal/ack"
)

// ledger acknowledges numbers. It knows all chunks that were handed over and are not
// delivered. Several chunks may have records of one number, as after a filter that gives some
// of them another tag; the last of them to be in Kafka acknowledges it. A number that a
// forgotten chunk had open is never acknowledged. Safe for concurrent use.
type ledger struct {
	tell      func(ack.Run, []ack.Range) // nil where nobody waits for acknowledgements
	connected func(ack.Run) bool         // reports whether the in_kms of a run listens
	patience  time.Duration              // for a first flush to end; 0 is endless

	mu        sync.Mutex // guards the following; taken before that of an attempt
	open      []*attempt
	ended     time.Time   // when a chunk of a run that has ended was open last
	forgotten []forgotten // at most maxForgottenRuns, the one that was used last at the end
}

// forgotten are numbers of a run that were open in a chunk when it was forgotten: at most
// ack.MaxRunRanges ranges. The chunk may come again or be lost, so no other chunk can
// complete them. in_kms hands their records over again under new numbers.
type forgotten struct {
	run     ack.Run
	numbers ack.Ranges
}

// maxForgottenRuns bounds the runs with forgotten numbers. At most ack.MaxPaths runs have
// an in_kms that listens, and these move to the end with each acknowledgement.
const maxForgottenRuns = 2 * ack.MaxPaths

// enter adds an attempt.
func (l *ledger) enter(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, a)
	if slices.ContainsFunc(a.slots.runs, func(r ack.Run) bool { return !l.connected(r) }) {
		l.ended = a.since
	}
}

// leave removes an attempt: it is delivered, or what is open of it comes as another one.
func (l *ledger) leave(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(a)
}

func (l *ledger) remove(a *attempt) {
	if i := slices.Index(l.open, a); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
}

// forget removes an attempt that is neither delivered nor continued, and withholds the
// numbers that are open in it for good.
func (l *ledger) forget(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.slots.list {
		if e := &a.slots.list[i]; e.missing() {
			set := l.withheld(a.slots.runs[e.run], true)
			set.Add(ack.Range{From: e.number, To: e.number + 1})
			set.Limit(ack.MaxRunRanges) // withholds the numbers between the highest, too
		}
	}
}

// withheld returns the forgotten numbers of a run. Without create it is nil when there are
// none.
func (l *ledger) withheld(run ack.Run, create bool) *ack.Ranges {
	last := len(l.forgotten) - 1
	i := slices.IndexFunc(l.forgotten, func(f forgotten) bool { return f.run == run })
	switch {
	case i >= 0 && i < last:
		f := l.forgotten[i]
		l.forgotten = append(slices.Delete(l.forgotten, i, i+1), f)
	case i < 0 && !create:
		return nil
	case i < 0:
		if len(l.forgotten) >= maxForgottenRuns {
			l.forgotten = slices.Delete(l.forgotten, 0, 1)
		}
		l.forgotten = append(l.forgotten, forgotten{run: run})
	}
	return &l.forgotten[len(l.forgotten)-1].numbers
}

// backlog is how long after a chunk of a run that has ended another one may come.
const backlog = 30 * time.Second

// health returns how the chunks fare for the in_kms of a run. Chunks of tail or of another
// in_kms that listens say nothing about it. The caller holds the mutex of the attempts.
func (l *ledger) health(run ack.Run, now time.Time) (h ack.Health) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var held ack.Ranges
	for _, a := range l.open {
		a.mu.Lock()
		mine := slices.Index(a.slots.runs, run)
		switch {
		case a.held != nil && mine >= 0:
			for _, r := range a.held[mine].List() {
				held.Add(r)
			}
		case a.held != nil: // it goes on only when Kafka takes what it refuses
		case mine >= 0 && (a.again || l.patience > 0 && now.Sub(a.since) > l.patience):
			h.Unfinished++
		case mine < 0 && slices.ContainsFunc(a.slots.runs, func(r ack.Run) bool { return !l.connected(r) }):
			l.ended = now
		}
		a.mu.Unlock()
	}
	held.Limit(ack.MaxHeldRanges)
	h.Held, h.Backlog = held.List(), !l.ended.IsZero() && now.Sub(l.ended) < backlog
	return h
}

// report passes on the numbers of an attempt that are acknowledged.
func (l *ledger) report(a *attempt) {
	if l.tell == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	runs, sets := a.take()
	for i, run := range runs {
		for _, other := range l.open {
			if other != a {
				other.withhold(run, &sets[i])
			}
		}
		if never := l.withheld(run, false); never != nil {
			sets[i].Subtract(never)
		}
		if sets[i].Len() > 0 {
			l.tell(run, sets[i].List())
		}
	}
}
