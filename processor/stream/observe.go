package stream

import (
	"slices"
	"strings"

	"keytrail/processor/correlate"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/processor/state"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// observer is what stage count knows of one source for the correlations of the user's
// rules: what it has to tell with the next commit, and what it holds back. A call counts
// by its best copy. What a worse copy shows is held until the watermark, or the clock while
// nothing comes, has passed the call's time: no window of it can be judged before, and no
// better copy is expected after. When one comes all the same, what it shows beyond the
// worse one counts as well. nil where there are no correlations: it does nothing.
type observer struct {
	byPrint map[uint64]*sigma.Correlation
	table   correlate.Table
	held    map[wire.CallID]*observed
	bytes   int // of what is held
	// Of the commit at hand: observations that are not counted, and calls of which too
	// much was to be held.
	refused, spent int
}

// observed is what a worse copy of a call shows.
type observed struct {
	list    []sigma.Observation // their groups are its own
	counted bool
	spent   bool // it was too much to hold: counted, and a better copy adds nothing
	bytes   int
}

// Bounds of what one source partition holds, in bytes: of a commit's panes, of all that
// is held, and of one call.
const (
	mostPaneBytes = 64 << 20
	mostHeldBytes = 64 << 20
	mostCallBytes = 32 << 10
)

// logBytes bounds what one record of the dedup topic holds of credits and of what is held
// of them, besides one call more, of at most 41 kB: with 20,000 ids of 24 bytes it stays
// below Kafka's bound for a record.
const logBytes = 440_000

// creditBytes is what a credit takes in it besides its texts, at the most.
const creditBytes = 100

// observedBytes is what an observation takes besides its group.
const observedBytes = 48

func newObserver(rules *sigma.Rules) *observer {
	if rules == nil || len(rules.Correlations) == 0 {
		return nil
	}
	o := &observer{byPrint: map[uint64]*sigma.Correlation{}, held: map[wire.CallID]*observed{}}
	for _, c := range rules.Correlations {
		o.byPrint[c.Fingerprint] = c
	}
	return o
}

// observe takes what correlations see of a call that is credited; the observations are
// copied.
func (o *observer) observe(c *count.Call, seen []sigma.Observation) {
	if o == nil {
		return
	}
	old := o.held[c.ID]
	switch {
	case old != nil && old.spent:
		seen = nil
	case old != nil && old.counted:
		seen = slices.DeleteFunc(seen, func(s sigma.Observation) bool { return slices.Contains(old.list, s) })
	}
	if c.Copy == kms.CopyCaller {
		o.drop(c.ID)
		o.count(c, seen)
		return
	}
	if old != nil && (old.counted || old.spent) {
		o.count(c, seen)
		seen = slices.Concat(old.list, seen)
	}
	o.hold(c, seen, old)
}

// hold keeps what a copy shows that is not the best; old is what a worse one showed, or
// nil.
func (o *observer) hold(c *count.Call, seen []sigma.Observation, old *observed) {
	h := &observed{}
	if old != nil {
		h.counted, h.spent = old.counted, old.spent
	}
	o.drop(c.ID)
	if len(seen) == 0 && !h.spent {
		return
	}
	for i := range seen {
		h.bytes += observedBytes + len(seen[i].Group)
	}
	if h.bytes > mostCallBytes || o.bytes+h.bytes > mostHeldBytes {
		if !h.counted {
			o.count(c, seen)
		}
		h.counted, h.spent, h.bytes, seen = true, true, 0, nil
		o.spent++
	}
	h.list = slices.Clone(seen)
	for i := range h.list {
		h.list[i].Group = strings.Clone(h.list[i].Group)
	}
	o.bytes += h.bytes
	o.held[c.ID] = h
}

// count adds observations to the commit.
func (o *observer) count(c *count.Call, seen []sigma.Observation) {
	for i := range seen {
		if o.table.Bytes() > mostPaneBytes {
			o.refused++
			continue
		}
		o.table.Add(&seen[i], c)
	}
}

// drop drops what is held of a call.
func (o *observer) drop(id wire.CallID) {
	if o == nil {
		return
	}
	if h := o.held[id]; h != nil {
		o.bytes -= h.bytes
		delete(o.held, id)
	}
}

// release counts what is held of calls before mark, up to which windows may end by now.
// credits are the calls.
func (o *observer) release(mark int64, credits map[wire.CallID]count.Call) {
	if mark == eventtime.None {
		return
	}
	for id, h := range o.held { // no more than there are credits, which forget goes through as well
		if c := credits[id]; !h.counted && c.Time < mark {
			h.counted = true
			o.count(&c, h.list)
		}
	}
}

// batch adds what the commit has to tell to the batches of the
// partitions of kms.partials, for frames of about most bytes. mark is as in release; credits are the calls of
// what is held.
func (o *observer) batch(mark int64, credits map[wire.CallID]count.Call, batches []wire.Batch, most int) {
	if o == nil {
		return
	}
	o.release(mark, credits)
	o.table.All(func(p *correlate.Pane) {
		w := p.Wire()
		batches[w.Owner(len(batches))].AddPane(&w, most)
	})
	o.table.Reset()
}

// logged returns what the log has to hold of credits: nil when there is nothing to hold
// of any. Without it, nothing is held of them.
func (o *observer) logged(credits []count.Call) (list []state.Observed) {
	if o == nil || !slices.ContainsFunc(credits, func(c count.Call) bool { return o.held[c.ID] != nil }) {
		return nil
	}
	list = make([]state.Observed, len(credits))
	for i := range credits {
		h := o.held[credits[i].ID]
		if h == nil {
			continue
		}
		list[i].Spent = h.spent
		for _, s := range h.list {
			list[i].List = append(list[i].List, state.Observation{Correlation: s.Correlation.Fingerprint, Rule: s.Rule, Group: s.Group, Value: s.Value})
		}
	}
	return list
}

// fits returns how many of the first credits one record of the log takes.
func (o *observer) fits(credits []count.Call) int {
	bytes := 0
	for i := range credits {
		c := &credits[i]
		bytes += creditBytes + len(c.IDText) + len(c.Key) + len(c.SecondKey) + len(c.Principal)
		if o != nil && o.held[c.ID] != nil {
			bytes += o.held[c.ID].bytes
		}
		if bytes > logBytes {
			return max(i, 1)
		}
	}
	return len(credits)
}

// restore takes what one record of the log holds; after all of them restored has to be
// called. It returns how many observations are of correlations that there are no more.
func (o *observer) restore(log *state.Counted, credits map[wire.CallID]count.Call) (forgotten int) {
	if o == nil {
		for i := range log.Observed {
			forgotten += len(log.Observed[i].List)
		}
		return forgotten
	}
	for i := range log.Credits {
		id := log.Credits[i].ID
		o.drop(id)
		if _, credited := credits[id]; !credited || len(log.Observed) == 0 {
			continue
		}
		kept := &log.Observed[i]
		h := &observed{spent: kept.Spent, counted: kept.Spent}
		for _, s := range kept.List {
			c := o.byPrint[s.Correlation]
			if c == nil || s.Rule >= len(c.Rules) {
				forgotten++
				continue
			}
			h.list = append(h.list, sigma.Observation{Correlation: c, Rule: s.Rule, Group: s.Group, Value: s.Value})
			h.bytes += observedBytes + len(s.Group)
		}
		if len(h.list) > 0 || h.spent {
			o.bytes += h.bytes
			o.held[id] = h
		}
	}
	return forgotten
}

// restored is for after the last record of the log, with the last mark of release: what is
// held of calls before it was counted in one of its commits.
func (o *observer) restored(mark int64, credits map[wire.CallID]count.Call) {
	if o == nil || mark == eventtime.None {
		return
	}
	for id, h := range o.held {
		h.counted = h.counted || credits[id].Time < mark
	}
}

// tell puts what the commit could not count as it should into the metrics and, once,
// into the log.
func (c *counter) tell(o *observer) {
	if o == nil || o.refused+o.spent == 0 {
		return
	}
	c.stats.uncorrelated += o.refused
	if !c.full {
		c.full = true
		c.p.Log.Warn("count: the correlations of the rules see too much: matches are left out, or count by the copy of a call that came first; take the correlation that many events match out of the rules",
			"left_out", o.refused, "by_the_first_copy", o.spent)
	}
	o.refused, o.spent = 0, 0
}
