package input

import (
	"fmt"
	"slices"
	"time"

	"keytrail/plugins/internal/ack"
)

// counts reports whether the acknowledgements of an output of that name count.
func (w *window) counts(name string) bool {
	return len(w.cfg.AckBy) == 0 || slices.Contains(w.cfg.AckBy, name)
}

// trouble returns a reason why records that were handed over some time ago may still be
// acknowledged. It is "" when Fluent Bit takes records, the outputs that must acknowledge are
// connected, Kafka answers each of them, no chunk of this run waits in them, and they deliver
// no chunk of an earlier run.
func (w *window) trouble(now time.Time) string {
	if w.paused {
		return "Fluent Bit pauses the input"
	}
	if w.refused {
		return "Fluent Bit refuses records"
	}
	if who := w.missing(); who != "" {
		return who + " is not connected"
	}
	for _, p := range w.peers {
		if !w.counts(p.name) {
			continue
		}
		switch {
		case now.Sub(p.at) > fresh:
			return fmt.Sprintf("the output %q hangs: it has said nothing for %v", p.name, now.Sub(p.at).Round(time.Second))
		case p.health.Silent > silence:
			return fmt.Sprintf("Kafka has not answered the output %q for %v", p.name, p.health.Silent.Round(time.Second))
		case p.health.Unfinished > 0:
			return fmt.Sprintf("%d chunks wait in the output %q, which could not deliver them to Kafka; its own log says why",
				p.health.Unfinished, p.name)
		case p.health.Backlog && now.Sub(w.began) < longestBacklog:
			return fmt.Sprintf("the output %q delivers records of a run that has ended", p.name)
		}
	}
	return ""
}

// standing says, once a minute, why a full window does not move: because as many objects
// are parked as may be, or because nothing has been acknowledged for a minute.
func (w *window) standing(now time.Time, trouble string) {
	if w.bytes == 0 || w.bytes+blockBytes <= w.cfg.AckWindow {
		w.full = time.Time{}
		return
	}
	if w.full.IsZero() {
		w.full = now
	}
	since := w.full
	for _, set := range w.sets {
		if set.moved.After(since) {
			since = set.moved
		}
	}
	still := now.Sub(since) >= time.Minute
	switch {
	case now.Sub(w.full) < time.Minute || now.Before(w.sayFull):
		return
	case trouble == "" && w.losing >= w.limit:
		trouble = fmt.Sprintf("records of %d objects were lost before Kafka had them, and no further objects can be parked; "+
			"mend the filter that drops them, or set unacknowledged to done", w.losing)
	case trouble == "" && still && w.held().Len() > 0:
		trouble = "Kafka refuses records; the log of the output says why"
	case trouble == "" && still:
		trouble = fmt.Sprintf("Kafka answers and acknowledges none of them; lost records are handed over again "+
			"after ack_timeout (%v)", w.cfg.AckTimeout)
	case !still:
		return
	}
	w.sayFull = now.Add(time.Minute)
	w.say("nothing new is handed over: %d bytes, as many as ack_window allows, have not been acknowledged for %v: %s",
		w.bytes, now.Sub(w.full).Round(time.Second), trouble)
}

// missing names an output that must acknowledge and is not connected, or returns "".
func (w *window) missing() string {
	have := func(name string) bool {
		for _, p := range w.peers {
			if p.name == name {
				return true
			}
		}
		return false
	}
	for _, name := range w.cfg.AckBy {
		if !have(name) {
			return fmt.Sprintf("the out_kms with the alias %q", name)
		}
	}
	if len(w.cfg.AckBy) == 0 && len(w.peers) == 0 {
		return "any out_kms"
	}
	return ""
}

// complain logs, once, that an output that must acknowledge is not connected.
func (w *window) complain(now time.Time) {
	who := w.missing()
	if who == "" {
		if w.said != "" {
			w.say("the outputs that acknowledge are connected to %q", w.cfg.AckPath)
		}
		w.heard, w.said = now, ""
		return
	}
	if now.Sub(w.heard) >= lonely && who != w.said {
		w.said = who
		w.say("%s is not connected to %q: at most %d bytes are handed over, and no object is done, until it is; "+
			"set ack_path there to the same path", who, w.cfg.AckPath, w.cfg.AckWindow)
	}
}

// held returns the numbers of records that outputs have and Kafka refuses. They are not lost:
// Fluent Bit hands them to the output again until Kafka takes them, or until the output no
// longer reports them.
func (w *window) held() *ack.Ranges {
	var all ack.Ranges
	for _, p := range w.peers {
		if w.counts(p.name) {
			for _, r := range p.health.Held {
				all.Add(r)
			}
		}
	}
	return &all
}

// overdue reports whether the records of p that are not acknowledged are lost. A parcel with
// held records is not overdue: its object must not be done before them.
func (w *window) overdue(p *parcel, held *ack.Ranges, now time.Time) bool {
	if held.Meets(p.numbers) {
		return false
	}
	for _, set := range w.sets {
		if !set.Covers(p.numbers) && !set.overdue(p.numbers, held.Len() > 0, now, w.cfg.AckTimeout) {
			return false
		}
	}
	return true
}

// expire gives up the parcels that should have been acknowledged.
func (w *window) expire(now time.Time) {
	var lost int64
	var object string
	held := w.held()
	for _, p := range w.parcels {
		if now.Sub(p.at) < w.cfg.AckTimeout {
			break // they stand in the order of their hand-over
		}
		if p.closed {
			continue
		}
		f := p.of
		if !w.overdue(p, held, now) {
			continue
		}
		if !f.slot && !f.dropped && !w.cfg.AcceptLoss && w.losing >= w.limit {
			continue // it keeps its room
		}
		var numbers ack.Ranges
		for _, set := range w.sets {
			set.Missing(&numbers, p.numbers)
		}
		for _, r := range numbers.List() {
			lost += int64(r.Len())
		}
		object = f.object.Name
		if !f.dropped && !w.cfg.AcceptLoss {
			if !f.slot {
				f.slot = true
				w.losing++
			}
			for _, r := range numbers.List() {
				p.lose(r)
			}
			f.lost.Limit(maxLost)
		}
		w.shut(p, now)
	}
	w.trim()
	if lost == 0 {
		return
	}
	then := "they are handed over again, now and at growing intervals of up to an hour"
	if w.cfg.AcceptLoss {
		w.stats.accepted += lost
		then = "they are taken for done, because unacknowledged is done"
	}
	if now.Before(w.sayAt) {
		return
	}
	w.sayAt = now.Add(time.Minute)
	w.say("%d records, such as of %q, were handed over %v ago and are not in Kafka, though it acknowledges others: "+
		"a filter drops them, or Fluent Bit did (retry_limit, a full disk); %s", lost, object, w.cfg.AckTimeout, then)
}

// lose notes that the records with the numbers of r are lost, by their places.
func (p *parcel) lose(r ack.Range) {
	at := p.numbers.From // the number of the first record of the place
	for _, place := range p.places {
		from, to := max(r.From, at), min(r.To, at+place.Len())
		if from < to {
			p.of.lost.Add(ack.Range{From: place.From + from - at, To: place.From + to - at})
		}
		at += place.Len()
	}
}
