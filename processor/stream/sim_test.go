package stream

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/keyledger"
	"keytrail/processor/telemetry"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// The simulation runs the real stages count and detect over a Kafka made of slices, in
// one goroutine. A random number generator decides who acts next, what breaks, and what
// time it is, so a seed repeats. A schedule takes less than a millisecond: most are
// small, because few calls and few kinds of breaks interact more often than many of each.
// The files: simlog_test.go is Kafka, simmember_test.go an instance of a stage,
// simorder_test.go makes it repeatable, simload_test.go and simcall_test.go make the
// calls, simjudge_test.go is the verdict, simclock_test.go the clock, simulation_test.go
// has the tests.

// sim is one schedule.
type sim struct {
	rng           *rand.Rand
	b             *simBroker
	p             *Pipeline
	reload        func() // changes the rules, at any time; nil: they never change
	count, detect *simGroup
	load          *simLoad
	now           int64 // the clock, ns
	live          bool  // event times follow the clock; else they are days old, and no source is silent before the end
	wild          bool  // any record at any time, and the clock jumps: the watermarks determine lateness
	orderly       bool  // old events come in order, whatever the clock does: none may be late
	lossy         bool  // events expire before they are read
	stamped       bool  // the broker sets the records' times; else producers do
	skewed        bool  // by wrong clocks
	small         bool  // few calls, partitions and members: all schedules but one in twenty
	calm          int   // the larger, the fewer breaks
	breaks        []int // the kinds of breaks: see disturb
	quiet         int64 // how long the clock has run regardless of silence
	paused        int64 // how long while everybody was behind
	restored      int64 // time of the last restore, which ends a silence
	draining      bool  // no more input, and every lag is known
	faults        []string
	looked        []map[int64]simLook // by partition of the events and offset: stage count's knowledge
	late          [][]simLate         // by partition of the events: the decisions
	stats         map[string]int      // what happened in the schedule
	lent          []byte              // the current record's memory
}

// lend returns a record in memory that the next one reuses, like kafka.Transact.
func (s *sim) lend(r *kgo.Record) *kgo.Record {
	lent := *r
	s.lent = append(s.lent[:0], r.Value...)
	lent.Value = s.lent
	return &lent
}

// newSim makes the schedule of a seed.
func newSim(seed uint64, wrong sabotage, tools *simTools) *sim {
	rng := rand.New(rand.NewPCG(seed, 0x51a1))
	s := &sim{rng: rng, stats: map[string]int{}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano(), live: rng.IntN(2) == 0, small: rng.IntN(20) > 0}
	if n := rng.IntN(6); n < 2 {
		s.wild = true
	} else if n == 2 {
		s.orderly, s.live = true, false
	}
	if wrong == lieAboutLag && s.wild { // it only shows if some calls must not be late
		s.wild, s.live = false, false
	}
	if wrong == forgetHold {
		s.wild, s.orderly = true, false
	}
	s.calm = 1 + rng.IntN(s.most(6, 4))
	p := &Pipeline{Topics: wire.DefaultTopics(), PageURL: "https://page", Window: windowsOf(rng, s.live), Telemetry: tools.telemetry, Log: slog.New(slog.DiscardHandler),
		flows: tools.flows, watermarks: map[string]*telemetry.Watermark{"detect": {}}}
	p.mostWindows = 1 + rng.IntN(s.most(40, [...]int{5, 40}[rng.IntN(2)]))
	p.Ledger = keyledger.DefaultDeadlines()
	if span := [...]time.Duration{time.Minute, time.Minute, 2 * time.Hour}[rng.IntN(3)]; rng.IntN(2) == 0 {
		p.Ledger.Unused, p.Ledger.Recent, p.Ledger.Grant, p.Ledger.MaxAlarms = span, 2*span, 3*span, 1+rng.IntN(5)
	}
	p.mostBehind, p.mostHeld = 1<<20, 1<<20 // no backlog is too long
	if rng.IntN(4) == 0 {
		p.mostBehind = p.Window.Detect.Lateness/p.Window.Detect.Size + rng.Int64N(12)
	}
	p.mostBytes, p.mostNotices = [...]int{1, frameBytes, frameBytes}[rng.IntN(3)], 1+rng.IntN(s.most(3, 2))
	events, partials := int32(2+rng.IntN(2)), int32(1+rng.IntN(3))
	if s.small {
		events, partials = int32(1+rng.IntN(2)), int32(1+rng.IntN(2))
	}
	if tools.partitions > 0 {
		events, partials = tools.partitions, tools.partitions
	}
	p.Partitions = map[string]int32{p.Topics.Events: events, p.Topics.Dedup: events, p.Topics.Partials: partials, p.Topics.State: partials,
		p.Topics.Windows: 2, p.Topics.Anomalies: 2, p.Topics.Keys: 2, p.Topics.Incidents: 2, p.Topics.DeadLetter: 1}
	if w := &p.Window; s.orderly { // enough lateness that the clock cannot make ordered events late
		w.Detect.Lateness = max(w.Detect.Lateness, w.OutOfOrderness+w.Detect.Size)
	}
	for range events {
		s.looked = append(s.looked, map[int64]simLook{})
	}
	s.late = make([][]simLate, events)
	if s.stamped = rng.IntN(4) > 0; !s.stamped {
		s.skewed = rng.IntN(2) == 0
	}
	s.lossy = rng.IntN(12) == 0 || wrong == expireInSilence
	s.p, s.b = p, newBroker(rng, p.Topics, p.Partitions, wrong)
	p.now = func() time.Time { return time.Unix(0, s.now) }
	p.readLog = func(ctx context.Context, topic string, partitions []int32, f func(*kgo.Record) error) error {
		if s.b.chance(4) { // slow this time
			s.clock()
		}
		return s.b.readLog(ctx, topic, partitions, f)
	}
	s.breaks = s.some(8)
	s.load = newLoad(s, tools)
	s.count = s.group(p.Topics.Events, func(g *simGroup) *simMember { return s.newMember(g, newCounter(s.settings())) })
	p.room.asked = time.Unix(1<<40, 0) // never asks again: the test sets GC headroom itself
	s.detect = s.group(p.Topics.Partials, func(g *simGroup) *simMember {
		return s.newMember(g, newDetector(p))
	})
	return s
}

// settings returns the configuration of a new instance of stage count: the sabotage
// sometimes gives it other windows.
func (s *sim) settings() *Pipeline {
	p := s.p
	if s.b.wrong != mixSettings || !s.b.chance(3) {
		return p
	}
	w := p.Window
	w.Detect.Size, w.Detect.Rollups = 5*w.Detect.Size, nil
	return &Pipeline{Topics: p.Topics, Window: w, Telemetry: p.Telemetry, Log: p.Log, flows: p.flows, watermarks: p.watermarks,
		Ledger: p.Ledger, mostWindows: p.mostWindows, mostHeld: p.mostHeld, mostBytes: p.mostBytes, mostNotices: p.mostNotices,
		Partitions: p.Partitions, now: p.now, readLog: p.readLog}
}

// windowsOf chooses the times, and sensitive detectors: their anomalies cross partitions.
func windowsOf(rng *rand.Rand, live bool) Window {
	minute := int64(time.Minute)
	size := [...]int64{minute, 5 * minute}[rng.IntN(2)]
	d := window.DefaultConfig()
	d.Size, d.Lateness = size, [...]int64{size, 15 * minute, 60 * minute}[rng.IntN(3)]
	for _, n := range [][]int64{nil, {2}, {3, 12}}[rng.IntN(3)] {
		d.Rollups = append(d.Rollups, n*size)
	}
	d.WarmUp = [...]time.Duration{0, 10 * time.Minute, 24 * time.Hour}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		d.Retention = max(d.WarmUp, 120*time.Minute)
	}
	d.FirstUse, d.PeakFactor, d.SilenceCalls, d.SilenceFactor, d.NewPeers, d.ObjectSweep = 0, 1, 10, 1, 2, 2
	d.Threshold, d.MinCount, d.FanOut, d.FanOutFactor, d.Refusals, d.RefusedKeys = 1e-2, 3, 3, 1.5, 2, 2
	w := Window{Detect: d, OutOfOrderness: [...]int64{minute, 5 * minute, 15 * minute}[rng.IntN(3)]}
	w.FutureSkew = rng.Int64N(min(w.OutOfOrderness, 5*minute) + 1)
	if w.IdleAfter = 60 * minute; live || rng.IntN(2) == 0 {
		w.IdleAfter = minute * (1 + rng.Int64N(10))
	}
	return w
}

// group makes the instances of a stage.
func (s *sim) group(topic string, mk func(*simGroup) *simMember) *simGroup {
	n := s.p.Partitions[topic]
	g := &simGroup{topic: topic, owner: make([]*simMember, n), offsets: slices.Repeat([]int64{-1}, int(n)), notes: map[int32]string{}}
	g.make = func() *simMember { return mk(g) }
	for range 1 + s.rng.IntN(s.most(3, 2)) {
		g.members = append(g.members, g.make())
	}
	s.adopt(g)
	return g
}

// most is a bound that differs between large and small schedules.
func (s *sim) most(large, small int) int {
	if s.small {
		return small
	}
	return large
}

// some selects among n possibilities: all in large schedules and about half in small
// ones, so that their few events are often of one kind.
func (s *sim) some(n int) (list []int) {
	for i := range n {
		if !s.small || s.rng.IntN(2) == 0 {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		list = append(list, s.rng.IntN(n))
	}
	return list
}

// fault records a violation.
func (s *sim) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

// run is the whole schedule: first a random phase, then the remaining work, until the
// last windows are closed.
func (s *sim) run() {
	for !s.load.done() && len(s.faults) == 0 {
		s.happen()
	}
	for range s.rng.IntN(s.most(100, 25)) {
		s.happen()
	}
	s.draining = true
	s.drain()
	s.close()
}

// close advances the clock until the last windows have closed: in jumps, of which the
// first makes somebody notice that the input has ended, or sometimes, if live, in small
// steps, so that notices find their windows.
func (s *sim) close() {
	w, slow := &s.p.Window, s.live && s.rng.IntN(s.most(2, 8)) == 0
	last := max(s.now, s.load.last+w.OutOfOrderness+slices.Max(append(w.Detect.Rollups, 0)))
	for round := 0; (round < 3 || s.now <= max(last, s.restored)+2*w.IdleAfter+int64(time.Minute)) && len(s.faults) == 0; round++ {
		step := 2*w.IdleAfter + second + s.rng.Int64N(2*w.IdleAfter)
		if slow && s.rng.IntN(3) > 0 {
			step = int64(time.Minute) + s.rng.Int64N(10*int64(time.Minute))
		}
		s.now += step
		s.drain()
		if round == 0 {
			last = max(last, s.now)
		}
	}
}

// happen performs one random event.
func (s *sim) happen() {
	rng := s.rng
	if s.reload != nil && rng.IntN(15) == 0 {
		s.reload()
	}
	g := s.count
	if rng.IntN(5) < 2 {
		g = s.detect
	}
	m := g.members[rng.IntN(len(g.members))]
	switch i := rng.IntN(100); {
	case i < 10:
		s.load.produce()
		s.tamper()
	case i < 18:
		if s.live && !s.wild && s.now+s.p.Window.IdleAfter > s.load.deadline() { // records on their way arrive first
			s.load.all()
			s.drain()
			s.load.open = forever
		}
		s.clock()
	case i < 24:
		s.b.markSome()
	case i < 25 && s.wild && rng.IntN(2) == 0:
		s.comeBack()
	case i < 36 && rng.IntN(s.calm) == 0:
		s.disturb(g, m)
	default:
		m.step()
	}
}

// kill ends a process and starts another, before the group has noticed or afterwards.
func (s *sim) kill(g *simGroup, m *simMember) {
	if m.txn != nil {
		m.txn.orphan = true
	}
	s.stats["killed"]++
	g.members[slices.Index(g.members, m)] = g.make()
	m.in = false
	s.hand(m)
}

// disturb breaks or changes something about a member of a group.
func (s *sim) disturb(g *simGroup, m *simMember) {
	switch s.breaks[s.rng.IntN(len(s.breaks))] {
	case 0: // suspended for longer than its session
		if !m.deaf {
			m.in, m.deaf = false, true
			s.stats["paused"]++
			s.hand(m)
		}
	case 1, 2:
		if m.deaf {
			m.wake()
		}
	case 3: // killed, and another started: before the group has noticed or afterwards
		s.kill(g, m)
		s.adopt(g)
	case 4: // scaled up or down
		if len(g.members) < s.most(3, 2) {
			g.members = append(g.members, g.make())
		} else if m.txn == nil && m.n == 0 && !m.deaf {
			g.members = slices.DeleteFunc(g.members, func(o *simMember) bool { return o == m })
			m.leave()
			s.adopt(g)
		}
	case 5:
		if m.txn == nil {
			m.restart()
		}
	default:
		s.move(g)
	}
	if s.rng.IntN(4) == 0 {
		s.expire([...]*simGroup{s.count, s.detect}[s.rng.IntN(2)])
	}
	if s.rng.IntN(4) == 0 {
		logs := s.b.logs[[...]string{s.p.Topics.State, s.p.Topics.Dedup}[s.rng.IntN(2)]]
		s.b.compact(logs[s.rng.IntN(len(logs))])
	}
}

// expire deletes the oldest records of a topic: those that the stage has read and
// committed, or any once it has a position; before that nobody knows which there were.
func (s *sim) expire(g *simGroup) {
	p := s.rng.IntN(len(g.owner))
	most := int(g.offsets[p])
	if most >= 0 && g == s.count && s.lossy || g == s.detect && s.b.wrong == expireFrames {
		most = len(s.b.logs[g.topic][p].entries)
	}
	s.b.expire(s.b.logs[g.topic][p], most)
}

// move is a rebalance that moves one partition, perhaps back to its owner.
func (s *sim) move(g *simGroup) {
	to := g.members[s.rng.IntN(len(g.members))]
	if to.in {
		s.stats["moved"]++
		s.give(g, int32(s.rng.IntN(len(g.owner))), to)
	}
}

// drain lets everybody work until nothing is left to do.
func (s *sim) drain() {
	for round := 0; len(s.faults) == 0; round++ {
		if round > 5000 {
			s.fault("the stages do not come to rest: %v", slices.Concat(s.count.members, s.detect.members))
		}
		busy := len(s.b.pending) > 0
		s.b.settle()
		for _, g := range []*simGroup{s.count, s.detect} {
			for _, m := range g.members {
				if m.deaf {
					m.wake()
				}
				busy = s.work(m) || busy
			}
			s.adopt(g)
		}
		for _, m := range slices.Concat(s.count.members, s.detect.members) {
			busy = busy || len(m.changes) > 0
		}
		if !busy {
			return
		}
	}
}

// work lets a member do everything it can do now.
func (s *sim) work(m *simMember) (busy bool) {
	for m.txn != nil {
		m.end()
		busy = true
	}
	for range 2 * len(m.g.owner) { // a partition at random each time
		m.poll(1000)
	}
	busy = busy || m.n > 0
	m.flush()
	for m.txn != nil {
		m.end()
		busy = true
	}
	for p, owner := range m.g.owner {
		busy = busy || owner == m && m.next[int32(p)] < int64(len(s.b.logs[m.g.topic][p].entries))
	}
	return busy
}
