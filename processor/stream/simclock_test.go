package stream

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// This file advances the simulation's time.

// clock advances time. In live schedules any source may fall silent at any time, but
// records on their way must arrive before they are late. With old events a source would
// be entirely late after a silence: there time passes only while everybody is behind.
func (s *sim) clock() {
	d := s.rng.Int64N(int64(20 * time.Second))
	if s.wild || s.orderly { // some or all shippers stop for longer than ids are remembered
		d = s.rng.Int64N([...]int64{20 * second, int64(10 * time.Minute), 2 * s.p.Window.IdleAfter, int64(4 * time.Hour)}[s.rng.IntN(4)])
		s.now += d
		if d > int64(3*time.Hour) {
			s.stats["stops of hours"]++
		}
		return
	}
	switch {
	case !s.live && s.paused < int64(24*time.Hour) && s.behind():
		d = s.rng.Int64N(3 * s.p.Window.IdleAfter)
		s.paused += d
		s.now += d
		return
	case s.live && s.rng.IntN(3) > 0:
		d = s.rng.Int64N(int64(10 * time.Minute))
	case s.live && s.rng.IntN(3) == 0:
		d = s.rng.Int64N(2 * s.p.Window.IdleAfter)
	}
	s.pass(d)
}

// pass advances the clock, as far as no source falls silent and no record becomes late.
func (s *sim) pass(d int64) {
	if s.live {
		s.now = max(s.now, min(s.now+d, s.load.deadline()))
	} else if s.quiet+d < s.p.Window.IdleAfter-int64(time.Minute) {
		s.quiet += d
		s.now += d
	}
}

// behind reports whether every partition of the events has a record that its owner has
// not seen, not even before the group's offset was lost.
func (s *sim) behind() bool {
	for p, m := range s.count.owner {
		if m == nil || len(m.changes) > 0 {
			return false
		}
		l, waiting, seen := s.b.logs[s.count.topic][p], false, int64(0)
		if t := m.p.(*counter).tasks[int32(p)]; t != nil {
			seen = t.to
		}
		for offset := max(m.next[int32(p)], s.count.offsets[p], seen); offset < int64(len(l.entries)); offset++ {
			e := l.entries[offset]
			waiting = waiting || e.rec != nil && (e.txn == nil || e.txn.state == txnCommitted)
		}
		if !waiting {
			return false
		}
	}
	return true
}

// comeBack stops the shippers for hours and resumes them side by side, while stage count
// is down for some or all of that time.
func (s *sim) comeBack() {
	down := s.rng.IntN(3)
	if down < 2 {
		for _, m := range slices.Clone(s.count.members) {
			s.kill(s.count, m)
		}
	}
	s.now += s.p.Window.OutOfOrderness + s.rng.Int64N(int64(4*time.Hour))
	if down == 1 {
		s.adopt(s.count)
	}
	for range 1 + s.rng.IntN(4) {
		s.load.produce()
		s.now += s.rng.Int64N(s.p.Window.OutOfOrderness / 2)
		if m := s.count.members[0]; down > 0 && s.rng.IntN(2) == 0 { // it reads that, and is killed
			s.work(m)
			s.kill(s.count, m)
			s.adopt(s.count)
		}
	}
	s.adopt(s.count)
	s.stats["returns of shippers"]++
}

// stamp sets the write time of a record of the events, by the broker's clock or by its
// producer's, which may be wrong.
func (s *sim) stamp(r *kgo.Record) {
	at := s.now
	if s.skewed {
		switch s.rng.IntN(8) {
		case 0:
			at -= s.rng.Int64N(int64(5 * time.Hour))
		case 1:
			at += s.rng.Int64N(int64(5 * time.Hour))
		case 2:
			at = 0
		}
	}
	r.Timestamp = time.Unix(0, at)
	if s.stamped {
		r.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{TimestampType: logAppendTime})
	}
}
