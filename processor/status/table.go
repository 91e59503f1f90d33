package status

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Bounds of a table: processes, and the age at which a record is forgotten.
const (
	mostProcesses = 1000
	forgetAfter   = 24 * time.Hour
)

// Table holds the newest record of each process. It is safe for concurrent use.
type Table struct {
	began time.Time
	mu    sync.Mutex // guards of
	of    map[string]entry
}

type entry struct {
	process *Process
	seen    time.Time // when it was last known to live, by our clock
}

// NewTable returns an empty Table of a reader that begins now.
func NewTable(now time.Time) *Table { return &Table{began: now, of: map[string]entry{}} }

// Put takes in one record of the topic: the process of that id, or its end if value is
// empty. Records must come in order. An error states why a record is ignored.
func (t *Table) Put(id string, value []byte, now time.Time) error {
	if len(value) == 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.of, id)
		return nil
	}
	p, err := Decode(value)
	if err != nil {
		return err
	}
	t.Set(p, now)
	return nil
}

// Set takes in the record of a process, which nobody may change afterwards.
func (t *Table) Set(p *Process, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.of[p.ID]; !known && len(t.of) >= mostProcesses {
		t.drop()
	}
	// A record that is younger than the reader arrives as soon as it is written, so the
	// clocks of other hosts do not matter.
	seen := p.At
	if !p.At.Before(t.began) {
		seen = now
	}
	t.of[p.ID] = entry{p, seen}
}

// drop forgets the process that has been silent for longest.
func (t *Table) drop() {
	oldest := ""
	for id, e := range t.of {
		if oldest == "" || e.seen.Before(t.of[oldest].seen) {
			oldest = id
		}
	}
	delete(t.of, oldest)
}

// Member is one process of an installation as a reader sees it.
type Member struct {
	*Process
	Age   float64 `json:"age_seconds"` // since it last reported
	Stale bool    `json:"stale"`       // it has not reported for 15 s: it is gone or hangs
}

// Whole is one stage or sink of all processes together.
type Whole struct {
	Name      string    `json:"name"`
	Processes int       `json:"processes"` // that live and run it
	State     Progress  `json:"state"`     // the worst; stop if no process that runs it lives
	Sink      SinkState `json:"sink_state,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	// Lag is the number of offsets that the group has not committed, as the process knows it
	// that looked last; LagAt is when that was, nil if never.
	Lag        int64      `json:"lag"`
	LagAt      *time.Time `json:"lag_at,omitempty"`
	Watermark  *time.Time `json:"watermark,omitempty"` // the earliest
	Unassigned int        `json:"partitions_unassigned"`
	Flow       Flow       `json:"flow"` // the sum
}

// Installation is the state of all processes together.
type Installation struct {
	At        time.Time `json:"at"`
	State     Progress  `json:"state"` // the worst of the stages and sinks
	Processes []Member  `json:"processes"`
	Stages    []Whole   `json:"stages"`
	Sinks     []Whole   `json:"sinks"`
	// Rules are the digests of the user's rules in all live processes: more than one means
	// that processes disagree.
	Rules []string `json:"rules"`
}

// Installation returns the state of all known processes at a time, by host and start.
func (t *Table) Installation(now time.Time) Installation {
	in := Installation{At: now.UTC(), State: OK, Processes: []Member{}, Stages: []Whole{}, Sinks: []Whole{},
		Rules: []string{}}
	t.mu.Lock()
	for id, e := range t.of {
		age := max(0, now.Sub(e.seen))
		if age > forgetAfter {
			delete(t.of, id)
			continue
		}
		in.Processes = append(in.Processes, Member{e.process, age.Seconds(), age > staleAfter})
	}
	t.mu.Unlock()
	slices.SortFunc(in.Processes, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	for _, m := range in.Processes {
		if !m.Stale && m.Rules != "" && !slices.Contains(in.Rules, m.Rules) {
			in.Rules = append(in.Rules, m.Rules)
		}
	}
	in.Stages, in.Sinks = stages(in.Processes), sinks(in.Processes)
	for _, w := range slices.Concat(in.Stages, in.Sinks) {
		in.State = Worst(in.State, w.State)
	}
	return in
}

// order is the order of the stages, as an event passes them.
var order = []string{"normalize", "count", "detect"}

// stages adds up the stages of all processes.
func stages(members []Member) []Whole {
	list, owned, total := map[string]*Whole{}, map[string]map[int32]bool{}, map[string]int{}
	for _, m := range members {
		for i := range m.Stages {
			s := &m.Stages[i]
			w := whole(list, s.Name)
			if m.Stale {
				continue
			}
			w.add(s.State, s.Lag, s.LagAt, &s.Flow)
			w.Watermark = earliest(w.Watermark, s.Watermark)
			if owned[s.Name] == nil {
				owned[s.Name] = map[int32]bool{}
			}
			total[s.Name] = max(total[s.Name], int(s.Total))
			for _, p := range s.Partitions {
				owned[s.Name][p.Partition] = true
			}
			if m.Cut {
				total[s.Name] = 0
			}
		}
	}
	for name, w := range list {
		w.Unassigned = max(0, total[name]-len(owned[name]))
	}
	return ended(list, func(a, b string) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) })
}

// sinks adds up the sinks of all processes. A sink has the state of the process whose
// deliveries fare worst.
func sinks(members []Member) []Whole {
	list := map[string]*Whole{}
	worse := []SinkState{"", Delivering, Retrying, Paused}
	for _, m := range members {
		for i := range m.Sinks {
			s := &m.Sinks[i]
			w := whole(list, s.Name)
			if m.Stale {
				continue
			}
			w.add(s.Progress, s.Lag, s.LagAt, &s.Flow)
			if slices.Index(worse, s.State) > slices.Index(worse, w.Sink) {
				w.Sink, w.Cause = s.State, s.Cause
			}
		}
	}
	return ended(list, cmp.Compare[string])
}

// whole returns the stage or sink of that name.
func whole(list map[string]*Whole, name string) *Whole {
	if list[name] == nil {
		list[name] = &Whole{Name: name, State: OK, Flow: Flow{DeadLetters: map[string]int64{}}}
	}
	return list[name]
}

// add adds the part of one live process.
func (w *Whole) add(state Progress, lag int64, at *time.Time, f *Flow) {
	w.Processes++
	w.State = Worst(w.State, state)
	if at != nil && (w.LagAt == nil || at.After(*w.LagAt)) {
		w.Lag, w.LagAt = lag, at
	}
	w.Flow.Received += f.Received
	w.Flow.Delivered += f.Delivered
	w.Flow.Filtered += f.Filtered
	w.Flow.Duplicate += f.Duplicate
	w.Flow.ReceivedRate += f.ReceivedRate
	w.Flow.Rate += f.Rate
	for reason, n := range f.DeadLetters {
		w.Flow.DeadLetters[reason] += n
	}
}

// ended returns the list in order; what no live process runs has stopped.
func ended(list map[string]*Whole, compare func(a, b string) int) []Whole {
	all := []Whole{}
	for _, name := range slices.SortedFunc(maps.Keys(list), compare) {
		if list[name].Processes == 0 {
			list[name].State = Stop
		}
		all = append(all, *list[name])
	}
	return all
}

// earliest returns the earlier time; nil is unknown.
func earliest(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}
