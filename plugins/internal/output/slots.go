package output

import (
	"slices"

	"keytrail/plugins/internal/ack"
)

// slot is one number of a chunk, which in_kms wants acknowledged. Several records have it
// where a filter has made them of one. It is acknowledged when everything that came out of
// all of them is: the events, dead letters, or nothing where they were filtered.
type slot struct {
	number uint64
	run    int32 // index in slots.runs
	open   int32 // records that are not yet read to their end, and Kafka records without an acknowledgement
}

// The states of slot.open besides the count.
const (
	slotDone = 0
	slotTold = -1 // in_kms was told, or another chunk tells it
)

// slotID identifies a slot of one chunk.
type slotID struct {
	run    ack.Run
	number uint64
}

// slots are those of one attempt, in the order of the chunk: 16 bytes each, beside records
// of at least 300. All of them exist before the first record is read, so no slot ends before
// the last record that has its number. A record without a number has no slot. The attempt's
// mutex guards them.
type slots struct {
	runs []ack.Run
	list []slot
	low  int // all before it were told
	at   int // the one that was found last
	high int // behind the last one that was found
	// index finds slots where numbers do not rise, as they do unless something puts
	// records in another order; nil otherwise.
	index map[slotID]int32
}

// expect notes that the chunk's next record has this number.
func (s *slots) expect(run ack.Run, number uint64) {
	last := len(s.list) - 1
	if last >= 0 && s.is(last, run, number) {
		s.list[last].open++
		return
	}
	rises := last < 0 || s.runs[s.list[last].run] == run && s.list[last].number < number
	if s.index == nil && !rises {
		s.index = make(map[slotID]int32, 2*len(s.list))
		for i, e := range s.list {
			s.index[slotID{s.runs[e.run], e.number}] = int32(i)
		}
	}
	if s.index != nil {
		if i, ok := s.index[slotID{run, number}]; ok {
			s.list[i].open++
			return
		}
		s.index[slotID{run, number}] = int32(len(s.list))
	}
	i := slices.Index(s.runs, run)
	if i < 0 {
		i = len(s.runs) // nearly always the first: a chunk is of one input
		s.runs = append(s.runs, run)
	}
	s.list = append(s.list, slot{number: number, run: int32(i), open: 1})
}

func (s *slots) is(i int, run ack.Run, number uint64) bool {
	return s.list[i].number == number && s.runs[s.list[i].run] == run
}

// find returns the slot of the record that is read next: mostly the one behind the last.
func (s *slots) find(run ack.Run, number uint64) int {
	for i := s.at; i < min(s.at+2, len(s.list)); i++ {
		if s.is(i, run, number) {
			s.at, s.high = i, max(s.high, i+1)
			return i
		}
	}
	i, ok := s.index[slotID{run, number}]
	if !ok {
		return noSlot
	}
	s.at, s.high = int(i), max(s.high, int(i)+1)
	return int(i)
}

func (s *slots) add(i int) { s.list[i].open++ }

// done notes that a record is read to its end, or that a part of it is acknowledged.
func (s *slots) done(i int) { s.list[i].open-- }

// take adds the numbers that are done to sets, one for each run, and forgets them.
func (s *slots) take(sets []ack.Ranges) {
	for i := s.low; i < s.high; i++ {
		if e := &s.list[i]; e.open == slotDone {
			sets[e.run].Add(ack.Range{From: e.number, To: e.number + 1})
			e.open = slotTold
		}
	}
	for s.low < s.high && s.list[s.low].open == slotTold {
		s.low++
	}
}

// withhold removes from set the numbers of run that are open here.
func (s *slots) withhold(run ack.Run, set *ack.Ranges) {
	r := slices.Index(s.runs, run)
	if r < 0 || set.Len() == 0 {
		return
	}
	list := s.list[s.low:]
	if s.index == nil { // one run, in order
		all := set.List()
		first, end := all[0].From, all[len(all)-1].To
		i, _ := slices.BinarySearchFunc(list, first, func(e slot, n uint64) int {
			if e.number < n {
				return -1
			}
			return 1
		})
		for list = list[i:]; len(list) > 0 && list[0].number < end; list = list[1:] {
			list[0].withhold(set)
		}
		return
	}
	for i := range list {
		if int(list[i].run) == r {
			list[i].withhold(set)
		}
	}
}

func (e *slot) withhold(set *ack.Ranges) {
	if e.missing() {
		set.Remove(ack.Range{From: e.number, To: e.number + 1})
	}
}

// missing reports whether Kafka may not have everything of the slot.
func (e *slot) missing() bool { return e.open != slotDone && e.open != slotTold }
