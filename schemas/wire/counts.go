package wire

import (
	"encoding/binary"
	"time"
)

// This file is the compact form of what a window holds. It goes into every frame
// and, for every entity, into the changelog and the memory of stage detect.

const minute = int64(time.Minute)

// Time appends a time in ns since 1970. Windows begin with minutes, which take four
// bytes instead of nine.
func (e *Encoder) Time(ns int64) {
	if ns >= 0 && ns%minute == 0 {
		e.Uint(uint64(ns/minute) << 1)
		return
	}
	e.Uint(1)
	e.Int(ns)
}

// Time reads what Encoder.Time wrote.
func (d *Decoder) Time() int64 {
	v := d.Uint()
	switch {
	case v == 1:
		return d.Int()
	case v&1 != 0 || v>>1 > uint64((1<<63-1)/minute):
		d.fail()
		return 0
	}
	return int64(v>>1) * minute
}

// Counts appends a partial's counters, sets, samples and binding, not its entity and
// start.
func (e *Encoder) Counts(p *Partial) {
	head := uint64(len(p.Counters)) << 1
	if p.Binding != nil {
		head |= 1
	}
	e.Uint(head)
	for _, c := range p.Counters {
		e.B = append(e.B, byte(c.ID)) // NumCounters is far below 128
		e.Int(c.N)
	}
	e.Uint(usedSets(p))
	for i := range p.Sets {
		s := &p.Sets[i]
		if len(s.Values) == 0 && !s.Capped {
			continue
		}
		head := uint64(len(s.Values)) << 1
		if s.Capped {
			head |= 1
		}
		e.Uint(head)
		for _, v := range s.Values {
			e.B = binary.LittleEndian.AppendUint64(e.B, v.Hash)
			e.Int(v.N)
		}
	}
	e.Uint(uint64(len(p.Samples)))
	for _, s := range p.Samples {
		e.sample(s)
	}
	if p.Binding != nil {
		e.Int(p.Binding.Time)
		e.text(p.Binding.Key)
	}
}

// usedSets has a bit for each set that is not empty: most windows have one or two.
func usedSets(p *Partial) (mask uint64) {
	for i := range p.Sets {
		if len(p.Sets[i].Values) > 0 || p.Sets[i].Capped {
			mask |= 1 << i
		}
	}
	return mask
}

// Counts reads what Encoder.Counts wrote into p.
func (d *Decoder) Counts(p *Partial) {
	head := d.Uint()
	if n := d.within(head >> 1); n > 0 {
		p.Counters = pieceOf(&d.counters, n, d.least())
		for i := range p.Counters {
			id := d.Uint()
			if id >= uint64(NumCounters) {
				d.fail()
				return
			}
			p.Counters[i] = Counter{CounterID(id), d.Int()}
		}
	}
	used := d.Uint()
	if used >= 1<<NumSets {
		d.fail()
		return
	}
	for i := range p.Sets {
		if used&(1<<i) == 0 {
			continue
		}
		s := d.Uint()
		p.Sets[i].Capped = s&1 != 0
		if n := d.within(s >> 1); n > 0 {
			p.Sets[i].Values = pieceOf(&d.values, n, d.least())
			for j := range p.Sets[i].Values {
				p.Sets[i].Values[j] = HashCount{d.Fixed(), d.Int()}
			}
		}
	}
	if n := d.Count(); n > 0 {
		p.Samples = pieceOf(&d.samples, n, d.least())
		for i := range p.Samples {
			p.Samples[i] = d.sample()
		}
	}
	if head&1 != 0 {
		p.Binding = &Binding{Time: d.Int(), Key: d.text()}
	}
}

// pieceOf returns n items that belong to the caller. It cuts them from a larger list of at
// least the given length, because a partial has half a dozen lists that live equally long.
func pieceOf[T any](rest *[]T, n, least int) []T {
	if len(*rest) < n {
		*rest = make([]T, max(n, least))
	}
	piece := (*rest)[:n:n]
	*rest = (*rest)[n:]
	return piece
}

// least is the least number of items from which pieces are cut: up to 12 kB of them, but at
// most as many as a short frame may hold; 0 where a list lives alone.
func (d *Decoder) least() int {
	if !d.many {
		return 0
	}
	return min(512, len(d.b)/4)
}

// text appends a string that is not repeated.
func (e *Encoder) text(s string) {
	e.Uint(uint64(len(s)))
	e.B = append(e.B, s...)
}

func (d *Decoder) text() string { return d.take(d.Uint()) }

// take reads n bytes as a string.
func (d *Decoder) take(n uint64) string {
	k := d.within(n)
	if d.err != nil {
		return ""
	}
	s := string(d.b[:k])
	d.b = d.b[k:]
	return s
}

// within returns n, the number of items of at least one byte each that follow, or fails when
// fewer bytes are left.
func (d *Decoder) within(n uint64) int {
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}
