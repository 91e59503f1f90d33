package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/schemas/wire"
)

// This file is the simulation's model of lateness. Lateness follows from the records of a
// partition, so the simulation decides it independently (simMarks), once per copy of a
// call, whoever processed it, whenever, and after however many restarts. The oracle
// counts the copies that are not late. Only a copy far behind (Pipeline.mostBehind) may
// be late because of other partitions. Watermarks are checked as well.

// simLook is stage count's knowledge when it took a record.
type simLook struct {
	partition       int32
	offset          int64
	watermark, told int64 // sent: windows up to it accept no more calls
	now             int64
	newest          int64 // the largest event time written so far
	cut             bool  // the log had lost its beginning when the member got it
}

// look records the state of m before it processes a record, unless the record was counted
// before.
func (m *simMember) look(r *kgo.Record) {
	c, counts := m.p.(*counter)
	if !counts {
		return
	}
	if t := c.tasks[r.Partition]; t != nil && r.Offset >= t.to {
		m.looks = append(m.looks, simLook{r.Partition, r.Offset, t.progress.Watermark(), t.sent.Late, m.s.now, m.s.load.newest,
			m.cut[r.Partition]})
	}
}

// simMarks is the late mark of one partition, in a second implementation; see eventtime.Progress.
type simMarks struct {
	late, front int64
	clock, end  int64 // of the records, and of the hold
	timed       bool
}

// arrive takes the next record, and returns the latest plausible time of its event.
func (k *simMarks) arrive(s *sim, r *kgo.Record, now int64, cut bool) int64 {
	w, disorder := r.Timestamp.UnixNano(), s.p.Window.OutOfOrderness
	if w <= 0 { // nobody knows
		k.end = 0
		k.settle()
		return now
	}
	gap := k.timed && w-k.clock >= disorder
	if k.clock-w >= disorder {
		k.clock, k.end = w, min(k.end, w+disorder)
	}
	if k.clock = max(k.clock, w); k.timed {
		k.settle()
	}
	if !k.timed && cut {
		k.end = w + 2*disorder
	} else if gap {
		k.end = w + disorder
	}
	if k.timed = true; s.stamped {
		return k.clock
	}
	return now
}

func (k *simMarks) held() bool { return k.clock < k.end }

func (k *simMarks) settle() {
	if !k.held() {
		k.late, k.end = max(k.late, k.front), 0
	}
}

// observe takes the time of a counted event.
func (k *simMarks) observe(s *sim, at, known int64) {
	k.front = max(k.front, min(at, known+s.p.Window.FutureSkew)-s.p.Window.OutOfOrderness)
	k.settle()
}

// takes returns the event time up to which windows accept no more calls.
func (k *simMarks) takes(s *sim) int64 {
	return max(k.late-s.p.Window.Detect.Lateness, k.front-s.p.mostBehind*s.p.Window.Detect.Size)
}

// fates determines the correct outcome of every record of the events, and passes the
// copies that are not late to the oracle. It returns the expected dead letters.
func (s *sim) fates() (letters map[string]int) {
	letters = map[string]int{}
	for _, k := range s.b.took {
		if _, had := s.looked[k.partition][k.offset]; had && s.b.wrong == sound {
			s.fault("record %d of partition %d was taken twice", k.offset, k.partition)
		}
		s.looked[k.partition][k.offset] = k
	}
	counted, lost := map[string]copyKind{}, s.lost()
	for partition, l := range s.b.logs[s.p.Topics.Events] {
		var marks simMarks
		for offset := range int64(l.stable()) {
			r := s.b.fetch(l, int(offset))
			if r == nil {
				continue
			}
			it := s.load.written[partition][offset]
			k, ok := s.looked[partition][offset]
			if !ok && lost.takes(partition, offset) {
				continue
			}
			if !ok {
				s.fault("record %d of partition %d was never taken", offset, partition)
				continue
			}
			known := marks.arrive(s, r, k.now, k.cut)
			s.late[partition] = append(s.late[partition], simLate{offset, it.time, marks.takes(s)})
			if it.json != nil {
				s.fate(it, k, &marks, known, counted, letters)
			}
		}
	}
	return letters
}

// simLost are the ranges of offsets that frames report as expired unread, by partition.
type simLost map[int][]*wire.Frame

// lost reads them.
func (s *sim) lost() simLost {
	list := simLost{}
	s.read(s.p.Topics.Partials, func(r *kgo.Record) {
		f, err := wire.NewDecoder(r.Value).Frame()
		if err == nil && r.Partition == 0 && f.Lost > 0 {
			list[int(f.Source)] = append(list[int(f.Source)], &f)
		}
	})
	return list
}

// takes reports whether a frame accounts for an unread record: each of its lost offsets
// for one.
func (l simLost) takes(partition int, offset int64) bool {
	for _, f := range l[partition] {
		if offset >= f.From && offset < f.To && f.Lost > 0 {
			f.Lost--
			return true
		}
	}
	return false
}

// fate determines the correct outcome of a copy. counted are the calls so far, and known
// is the latest plausible time of the call.
func (s *sim) fate(it simItem, k simLook, marks *simMarks, known int64, counted map[string]copyKind, letters map[string]int) {
	w, id := &s.p.Window, string(it.key)
	late := s.load.end(it.time) <= marks.takes(s)
	if far := k.newest - w.OutOfOrderness - s.p.mostBehind*w.Detect.Size; !late && s.load.end(it.time) <= min(k.told, far) {
		late = true // because of other partitions
		s.stats["far behind"]++
	}
	best, had := counted[id]
	switch {
	case it.time > known+int64(24*time.Hour):
		letters["count future"]++
		return
	case late && had:
		s.load.either++ // a duplicate, or a dead letter if the id is forgotten
		if better(it.kind, best) {
			s.stats["late better copies"]++
		}
	case late:
		letters["count late"]++
	default:
		if marks.observe(s, it.time, known); marks.held() {
			s.stats["calls in a hold"]++
		}
		s.load.judge.AddRecord(it.json)
		if !had || better(it.kind, best) {
			counted[id] = it.kind
		}
	}
	// Records that expire unread move no mark.
	if it.fate == onTime && late || it.fate == tooLate && !late && !marks.held() && !s.lossy {
		s.fault("%s at %v of partition %d: late %v, at %v", id, time.Unix(0, it.time).UTC(), it.partition, late, time.Unix(0, marks.takes(s)).UTC())
	}
	// The watermark is ahead of neither the written times nor the clock.
	if k.watermark > min(k.newest, k.now+w.FutureSkew)-w.OutOfOrderness {
		s.fault("the watermark of partition %d is %v, by the clock of %v", it.partition, time.Unix(0, k.watermark).UTC(), time.Unix(0, k.now).UTC())
	}
}

// simLate is the decision about one record.
type simLate struct{ offset, time, takes int64 }

// startOver lets another stage count read the remaining events, days later and with the
// partitions in another order, and checks that the same calls are late. Without the
// beginning of a log, it must not be stricter.
func (s *sim) startOver() {
	s.now += int64(72 * time.Hour)
	s.p.readLog = func(context.Context, string, []int32, func(*kgo.Record) error) error { return nil }
	c := newCounter(s.p)
	for _, i := range s.rng.Perm(len(s.late)) {
		q, l := int32(i), s.b.logs[s.p.Topics.Events][i]
		if err := c.Assign(context.Background(), []int32{q}); err != nil {
			s.fault("starting over: %v", err)
			return
		}
		c.Starts(q, int64(l.start))
		t := c.tasks[q]
		for _, k := range s.late[i] {
			if k.offset < int64(l.start) {
				continue
			}
			if err := c.Process(s.lend(s.b.fetch(l, int(k.offset)))); err != nil {
				s.fault("starting over: %v", err)
				return
			}
			late, was := t.isLate(k.time, s.p), s.load.end(k.time) <= k.takes
			if k.time > 0 && (late && !was || late != was && l.start == 0) {
				s.fault("starting over, record %d of partition %d is late: %v, and was: %v", k.offset, i, late, was)
				return
			}
		}
	}
	s.stats["starts over"]++
}

// better reports whether a copy takes precedence over another.
func better(a, b copyKind) bool {
	rank := [...]int{plainCopy: 2, callerCopy: 2, ownerCopy: 1, secondCopy: 1, addendumCopy: 0}
	return rank[a] > rank[b]
}
