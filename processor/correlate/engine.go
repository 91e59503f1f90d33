package correlate

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"keytrail/processor/anomaly"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/schemas/wire"
)

// Config says what an Engine counts, and how.
type Config struct {
	Correlations []*sigma.Correlation
	// Keep is how long a pane is kept, ns, after the time up to which no more calls come
	// has reached the end of the last window that asks for the pane. It is the size of
	// the windows by which calls are late: one that is not late may be that much older.
	Keep int64
	// Bytes bounds the memory of the panes, about: what would take more is refused.
	Bytes int
	// Allow are anomalies that are expected, and not reported.
	Allow anomaly.Allow
}

// Refusal is why a pane is not counted; "" where it is. It is the reason in the dead
// letter.
type Refusal string

// The refusals.
const (
	Counted Refusal = ""
	Late    Refusal = "late"           // its windows are closed, and no longer kept
	TooMany Refusal = "too_many"       // it would take more memory than Config.Bytes
	Unknown Refusal = "no_correlation" // no correlation has its fingerprint
	Damaged Refusal = "bad_frame"      // it is not a pane of its correlation
)

// Engine holds the panes of one partition and judges their windows. Not safe for
// concurrent use.
type Engine struct {
	cfg     Config
	byPrint map[uint64]*sigma.Correlation
	groups  map[groupKey]*group
	timers  timers // windows to judge, by the watermark
	expiry  timers // panes to drop, by the time up to which no more calls come
	mark    int64  // windows end by it
	late    int64  // no more calls come of windows of Keep that end by it
	done    place  // windows up to it are judged
	bytes   int
	panes   int
	changed []*held
	gone    []string // state keys of panes that were dropped since the last Changes
	told    bool     // the changelog has how far a step has come
	log     changelog
}

type groupKey struct {
	print uint64
	name  string
}

// group is one group of a correlation.
type group struct {
	groupKey
	c     *sigma.Correlation
	panes []*held // by start
	due   []int64 // starts of windows that wait for their end, or to be judged again; ascending
}

// held is a pane that the Engine holds.
type held struct {
	Pane
	dirty   bool // it is in Engine.changed
	stored  bool // the changelog has it
	dropped bool
}

// NewEngine returns an empty Engine.
func NewEngine(cfg Config) *Engine {
	e := &Engine{
		cfg: cfg, byPrint: map[uint64]*sigma.Correlation{}, groups: map[groupKey]*group{},
		mark: eventtime.None, late: eventtime.None, done: place{at: eventtime.None},
	}
	for _, c := range cfg.Correlations {
		e.byPrint[c.Fingerprint] = c
	}
	return e
}

// Reload replaces the correlations and the list of expected anomalies. Panes of a
// correlation with the same fingerprint stay; it forgets the others and returns their
// number. It does what Restored does with other correlations.
func (e *Engine) Reload(correlations []*sigma.Correlation, allow anomaly.Allow) (forgotten int) {
	e.cfg.Correlations, e.cfg.Allow, e.byPrint = correlations, allow, map[uint64]*sigma.Correlation{}
	for _, c := range correlations {
		e.byPrint[c.Fingerprint] = c
	}
	for key, g := range e.groups {
		g.c = e.byPrint[key.print]
		for g.c == nil && len(g.panes) > 0 {
			e.drop(g, g.panes[0].Start)
			forgotten++
		}
		for _, h := range g.panes {
			h.Correlation = g.c
		}
	}
	for _, list := range []*timers{&e.timers, &e.expiry} {
		*list = slices.DeleteFunc(*list, func(t timer) bool { return e.byPrint[t.print] == nil })
		heap.Init(list)
	}
	return forgotten
}

// Ended returns the event time up to which windows have ended: what Restored has to be
// given as the watermark.
func (e *Engine) Ended() int64 { return e.mark }

// Take adds a pane of a frame. It keeps the strings of w. A refused pane is not
// counted.
func (e *Engine) Take(w *wire.Pane) Refusal {
	c := e.byPrint[w.Correlation]
	if c == nil {
		return Unknown
	}
	p, ok := fromWire(c, w)
	if !ok {
		return Damaged
	}
	return e.Merge(p)
}

// Merge adds a pane, whose memory the Engine may keep.
func (e *Engine) Merge(p *Pane) Refusal {
	if e.expires(p) <= e.late {
		return Late
	}
	key := groupKey{p.Correlation.Fingerprint, p.Group}
	g := e.groups[key]
	h := g.find(p.Start)
	if h == nil {
		if e.bytes+p.size() > e.cfg.Bytes {
			return TooMany
		}
		h = e.add(g, key, p)
	} else {
		calls := min(len(p.about.calls), share(p.Correlation)*len(p.Correlation.Rules)-len(h.about.calls))
		grows := 8*(len(p.Tally.Values)+max(0, len(p.Tally.Slots)-len(h.Tally.Slots))) + callBytes*calls
		if grows > 0 && e.bytes+grows > e.cfg.Bytes {
			return TooMany
		}
		e.bytes -= h.size()
		h.Tally.Merge(h.Correlation, &p.Tally)
		h.about.merge(h.Correlation, &p.about)
		e.bytes += h.size()
	}
	e.touch(h)
	g = e.groups[key]
	for start := range p.Correlation.Windows(p.Start) {
		// The first panes of a settled window, and those of the window before, may have
		// expired. Judged again, it would have fewer matches.
		if settled := eventtime.Add(start, p.Correlation.Timespan+e.cfg.Keep) <= e.late; !settled {
			e.await(g, start)
		}
	}
	return Counted
}

// add adds a pane that is new.
func (e *Engine) add(g *group, key groupKey, p *Pane) *held {
	if g == nil {
		g = &group{groupKey: key, c: p.Correlation}
		e.groups[key] = g
	}
	h := &held{Pane: *p}
	h.Group = g.name // one copy for all
	i, _ := g.place(p.Start)
	g.panes = slices.Insert(g.panes, i, h)
	e.bytes += h.size()
	e.panes++
	heap.Push(&e.expiry, timer{place: place{at: e.expires(p), print: g.print, group: g.name}, g: g, start: p.Start})
	return h
}

// touch has a pane written to the changelog.
func (e *Engine) touch(h *held) {
	if !h.dirty {
		h.dirty = true
		e.changed = append(e.changed, h)
	}
}

// await has a window judged when it ends, or as soon as possible when it has ended.
func (e *Engine) await(g *group, start int64) {
	i, had := slices.BinarySearch(g.due, start)
	if had {
		return
	}
	g.due = slices.Insert(g.due, i, start)
	heap.Push(&e.timers, timer{place: place{at: start + g.c.Timespan, print: g.print, group: g.name}, g: g, start: start})
}

// expires returns how far late has to be for a pane to be dropped.
func (e *Engine) expires(p *Pane) int64 {
	return eventtime.Add(p.Correlation.Expires(p.Start), e.cfg.Keep)
}

// place finds where the pane at start is, or belongs.
func (g *group) place(start int64) (i int, found bool) {
	return slices.BinarySearchFunc(g.panes, start, func(h *held, at int64) int { return cmp.Compare(h.Start, at) })
}

// find returns the pane at start, or nil. g may be nil.
func (g *group) find(start int64) *held {
	if g == nil {
		return nil
	}
	if i, found := g.place(start); found {
		return g.panes[i]
	}
	return nil
}

// Advance moves event time to mark, never back, and calls emit with the anomalies of
// the windows that end by then, in the order of their ends. A window that ended by the
// clock, while the stream was quiet, is judged again as others are when matches come late. Windows that were judged
// before and got further matches since are judged again, the first of all. After most
// anomalies it stops, and more tells to call it again, with nothing merged in between.
func (e *Engine) Advance(mark eventtime.Mark, most int, emit func(*anomaly.Anomaly)) (more bool) {
	e.mark, e.late = max(e.mark, mark.Watermark, mark.Quiet), max(e.late, mark.Late)
	if e.mark == eventtime.None {
		return false
	}
	for len(e.timers) > 0 && e.timers[0].at <= e.mark {
		t := e.timers[0]
		again := t.place.compare(e.done) <= 0 // they are few: bounded by what was merged
		if most <= 0 && !again {
			return true
		}
		heap.Pop(&e.timers)
		if e.judge(t.g, t.start, emit) {
			most--
		}
		if !again {
			e.done = t.place
		}
	}
	e.done = place{at: e.mark, last: true}
	// Late is not ahead of the watermark: the windows that ask for these panes are judged.
	for len(e.expiry) > 0 && e.expiry[0].at <= e.late {
		t := heap.Pop(&e.expiry).(timer)
		e.drop(t.g, t.start)
	}
	return false
}

// Closing reports whether the last Advance was not the last one of its step.
func (e *Engine) Closing() bool {
	return e.mark != eventtime.None && len(e.timers) > 0 && e.timers[0].at <= e.mark
}

// judge judges a window, and reports whether it was reported.
func (e *Engine) judge(g *group, start int64, emit func(*anomaly.Anomaly)) bool {
	if i, had := slices.BinarySearch(g.due, start); had {
		g.due = slices.Delete(g.due, i, i+1)
	}
	tally := func(at int64) *sigma.Tally {
		if h := g.find(at); h != nil {
			return &h.Tally
		}
		return nil
	}
	n, report := g.c.Reports(start, tally)
	if !report {
		return false
	}
	var all *about
	for i := range g.c.Panes() {
		if h := g.find(start + int64(i)*g.c.PaneSize()); h != nil {
			all = all.merge(g.c, &h.about)
		}
	}
	if all == nil {
		return false
	}
	f := sigma.Firing{Correlation: g.c, Group: g.name, Start: start, End: start + g.c.Timespan, Count: n,
		Matches: g.c.Matches(start, tally)}
	a := anomaly.FromFiring(&f, all.entity(), all.ids())
	if e.cfg.Allow.Allows(&a, start) {
		return false
	}
	emit(&a)
	return true
}

// drop forgets a pane, and a group that has no other.
func (e *Engine) drop(g *group, start int64) {
	i, found := g.place(start)
	if !found {
		return
	}
	h := g.panes[i]
	e.bytes -= h.size()
	e.panes--
	g.panes = slices.Delete(g.panes, i, i+1)
	if len(g.panes) == 0 {
		delete(e.groups, g.groupKey)
	}
	if h.dropped = true; h.stored {
		e.gone = append(e.gone, h.key().StateKey())
	}
}

// place is a window's place in the order in which windows are judged: by its end, and
// then by its correlation and group.
type place struct {
	at    int64
	last  bool // behind all that end at the time
	print uint64
	group string
}

func (p place) compare(o place) int {
	if p.at == o.at && p.last != o.last {
		if p.last {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.print, o.print), strings.Compare(p.group, o.group))
}

// timer is a window to judge at a watermark, or a pane to drop.
type timer struct {
	place
	g     *group
	start int64
}

// timers is a heap.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t timers) Less(i, j int) bool { return t[i].place.compare(t[j].place) < 0 }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	old := *t
	x := old[len(old)-1]
	old[len(old)-1] = timer{} // its group may be dropped
	*t = old[:len(old)-1]
	return x
}
