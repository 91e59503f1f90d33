package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// This file is what the simulation knows of lateness. What is late depends on how far a
// source's watermark had come when stage count took a record, which no oracle can know.
// So the simulation looks at the watermark and the clock at that moment, and decides for
// itself, once for each copy of a call, what has to become of it; the oracle counts the
// copies that are not late. That a watermark is where it may be is checked beside that.

// simLook is what stage count knew when it took a record.
type simLook struct {
	partition      int32
	offset         int64
	watermark, now int64
	newest         int64 // the largest event time that anybody had written
	held           bool  // the watermark waits for a backlog
}

// look takes down what m knows of a record that it is about to process, unless it has
// been counted.
func (m *simMember) look(r *kgo.Record) {
	c, counts := m.p.(*counter)
	if !counts {
		return
	}
	if t := c.tasks[r.Partition]; t != nil && r.Offset >= t.to {
		since := c.since(time.Unix(0, m.s.now)) // as Process does
		c.topic.arrived(since, c.p.Window.OutOfOrderness)
		c.held(t, since)
		m.looks = append(m.looks, simLook{r.Partition, r.Offset, t.progress.Watermark(), m.s.now, m.s.load.newest, t.progress.Held})
	}
}

// fates decides what has to become of every record of the events, and tells the oracle
// of the copies that are not late. It returns the dead letters to expect.
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
		for offset := range int64(l.stable()) {
			it := s.load.written[partition][offset]
			if it.json == nil || s.b.fetch(l, int(offset)) == nil {
				continue
			}
			k, ok := s.looked[partition][offset]
			if !ok && lost.takes(partition, offset) {
				continue
			}
			if !ok {
				s.fault("record %d of partition %d was never taken", offset, partition)
				continue
			}
			s.fate(it, k, counted, letters)
		}
	}
	return letters
}

// simLost are the ranges of which frames say that offsets expired unread, by partition.
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

// takes reports whether a frame accounts for a record that nobody has read: each of its
// lost offsets for one.
func (l simLost) takes(partition int, offset int64) bool {
	for _, f := range l[partition] {
		if offset >= f.From && offset < f.To && f.Lost > 0 {
			f.Lost--
			return true
		}
	}
	return false
}

// fate decides what has to become of a copy of a call. counted are the calls so far.
func (s *sim) fate(it simItem, k simLook, counted map[string]copyKind, letters map[string]int) {
	w, id := &s.p.Window, string(it.key)
	late := k.watermark != eventtime.None && s.load.end(it.time)+w.Detect.Lateness <= k.watermark
	best, known := counted[id]
	switch {
	case it.time > k.now+int64(24*time.Hour):
		letters["count future"]++
		return
	case late && known:
		s.load.either++ // a duplicate, or a dead letter when the id is forgotten
		if better(it.kind, best) {
			s.stats["late better copies"]++
		}
	case late:
		letters["count late"]++
	default:
		s.load.judge.AddRecord(it.json)
		if !known || better(it.kind, best) {
			counted[id] = it.kind
		}
	}
	// What expires unread moves no watermark.
	if it.fate == onTime && late || it.fate == tooLate && !late && !k.held && !s.lossy {
		s.fault("%s at %v of partition %d: late %v at watermark %v", id, time.Unix(0, it.time).UTC(), it.partition, late, time.Unix(0, k.watermark).UTC())
	}
	// The watermark is not ahead of what anybody wrote, whatever the clock says, nor of the
	// clock.
	if k.watermark > min(k.newest, k.now+w.FutureSkew)-w.OutOfOrderness {
		s.fault("the watermark of partition %d is %v, by the clock of %v", it.partition, time.Unix(0, k.watermark).UTC(), time.Unix(0, k.now).UTC())
	}
}

// better reports whether a copy is credited rather than another.
func better(a, b copyKind) bool {
	rank := [...]int{plainCopy: 2, callerCopy: 2, ownerCopy: 1, secondCopy: 1, addendumCopy: 0}
	return rank[a] > rank[b]
}
