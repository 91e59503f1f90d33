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

// observer is stage count's state of one source for the user's correlations: the matches
// of the next commit, and the ones held back. A call counts by its best copy. Matches of
// a worse copy are held until the watermark, or the clock while the source is idle, has
// passed the call's time: before that no window of it can be judged, and after it no
// better copy is expected. If one arrives all the same, its additional matches count as
// well. nil without correlations, and then does nothing.
type observer struct {
	byPrint map[uint64]*sigma.Correlation
	table   correlate.Table
	held    map[wire.CallID]*observed
	bytes   int // size of held
	// Of the current commit: observations that are not counted, and calls with too many
	// to hold.
	refused, spent int
}

// observed has the matches of a call's worse copy.
type observed struct {
	list    []sigma.Observation // with its own copies of their groups
	counted bool
	spent   bool // too many to hold: they are counted, and a better copy adds none
	bytes   int
}

// Bounds of one source partition's memory, in bytes: of a commit's panes, of all held
// matches, and of one call's.
const (
	mostPaneBytes = 64 << 20
	mostHeldBytes = 64 << 20
	mostCallBytes = 32 << 10
)

// logBytes bounds the credits and held matches in one record of the dedup topic, apart
// from one more call of at most 41 kB: with 20,000 ids of 24 bytes it stays below Kafka's
// record limit.
const logBytes = 440_000

// creditBytes is the maximum size of a credit in it besides its texts.
const creditBytes = 100

// observedBytes is the size of an observation besides its group.
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

// observe takes the matches of a credited call; it copies the observations.
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

// hold keeps the matches of a copy that is not the best; old are those of a worse one, or
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

// drop drops the held matches of a call.
func (o *observer) drop(id wire.CallID) {
	if o == nil {
		return
	}
	if h := o.held[id]; h != nil {
		o.bytes -= h.bytes
		delete(o.held, id)
	}
}

// release counts the held matches of calls before mark, up to which windows may now end.
// credits are the calls.
func (o *observer) release(mark int64, credits map[wire.CallID]count.Call) {
	if mark == eventtime.None {
		return
	}
	for id, h := range o.held { // no more than the credits, which forget visits as well
		if c := credits[id]; !h.counted && c.Time < mark {
			h.counted = true
			o.count(&c, h.list)
		}
	}
}

// batch adds the commit's matches to the batches of the partitions of kms.partials, for
// frames of about most bytes. mark is as in release; credits are the calls of held
// matches.
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

// logged returns the held matches of credits for the log: nil if there are none.
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
			list[i].List = append(list[i].List, state.Observation{Correlation: s.Correlation.Fingerprint, Rule: s.Rule,
				Group: s.Group, Value: s.Value})
		}
	}
	return list
}

// fits returns how many of the first credits fit into one record of the log.
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

// restore takes the held matches in one record of the log; call restored after the last
// one. It returns the number of observations of removed correlations.
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

// restored follows the last record of the log, with the last mark of release: held
// matches of calls before it were counted in one of its commits.
func (o *observer) restored(mark int64, credits map[wire.CallID]count.Call) {
	if o == nil || mark == eventtime.None {
		return
	}
	for id, h := range o.held {
		h.counted = h.counted || credits[id].Time < mark
	}
}

// tell adds the matches that the commit could not count properly to the metrics and,
// once, to the log.
func (c *counter) tell(o *observer) {
	if o == nil || o.refused+o.spent == 0 {
		return
	}
	c.stats.uncorrelated += o.refused
	if !c.full {
		c.full = true
		c.p.Log.Warn("count: the rules' correlations have too many matches: some are omitted, or counted by the first "+
			"copy of a call; remove the correlation that many events match",
			"left_out", o.refused, "by_the_first_copy", o.spent)
	}
	o.refused, o.spent = 0, 0
}
