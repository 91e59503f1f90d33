package sigma

import (
	"encoding/binary"
	"errors"
	"iter"
	"math/bits"
	"slices"

	"keytrail/processor/eventtime"
)

// Time is cut into panes, a fourth of a correlation's timespan each and aligned to
// 1970-01-01 UTC. A window is four panes that follow each other, so that windows
// overlap and events that lie closer than three fourths of the timespan always have one
// in common. Each pane and group has a Tally. Where fewer
// matches can satisfy a condition (lt, lte, eq, neq), windows do not overlap: a window
// is one pane, because the ends of a burst would satisfy it.
const overlap = 4

// slots is how many pieces of a pane TemporalOrdered tells apart: matches in the same
// piece, 1/256 of the timespan, count as in order, whatever their order.
const slots = 64

// Tally is what is known of one group of a correlation in one pane. Tallies of the
// same pane add up in any order, also when they are of other processes. The zero value
// is one of nothing. Not safe for concurrent use.
type Tally struct {
	Count  int64    // matches
	Values []uint64 // of ValueCount: different ones, ascending; the smallest where there are too many
	Seen   uint64   // of the temporal kinds: bit i is rule i
	Slots  []uint64 // of TemporalOrdered: for each rule a bit for each piece of the pane
}

// Pane returns the start of the pane that holds t; both are ns since 1970.
func (c *Correlation) Pane(t int64) int64 {
	size := c.PaneSize()
	r := t % size
	if r < 0 {
		r += size
	}
	return t - r
}

// PaneSize is the length of a pane in ns.
func (c *Correlation) PaneSize() int64 { return c.Timespan / c.panes }

// Panes is how many panes a window has: 4, or 1.
func (c *Correlation) Panes() int { return int(c.panes) }

// Windows yields the starts of the windows that hold the pane which begins at pane, the
// earliest first. A window [start, start+Timespan) can be judged when no match in it is
// expected any more: when the watermark has reached its end.
func (c *Correlation) Windows(pane int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for i := c.panes - 1; i >= 0; i-- {
			if !yield(pane - i*c.PaneSize()) {
				return
			}
		}
	}
}

// Expires returns the watermark from which on the pane that begins at pane is asked for
// by no window which is still open.
func (c *Correlation) Expires(pane int64) int64 {
	if c.panes == 1 {
		return pane + c.Timespan
	}
	return pane + c.PaneSize() + c.Timespan // the window behind asks whether the one before it fires
}

// Add counts an observation of the event time at. It keeps nothing of o.
func (t *Tally) Add(o *Observation, at int64) {
	c := o.Correlation
	t.Count++
	switch c.Kind {
	case ValueCount:
		if i, had := slices.BinarySearch(t.Values, o.Value); !had && i < c.keep {
			t.Values = slices.Insert(t.Values, i, o.Value)
			t.Values = t.Values[:min(len(t.Values), c.keep)]
		}
	case TemporalOrdered:
		if t.Slots == nil {
			t.Slots = make([]uint64, len(c.Rules))
		}
		piece := int((at - c.Pane(at)) / ((c.PaneSize() + slots - 1) / slots))
		t.Slots[o.Rule] |= 1 << piece
		fallthrough
	case Temporal:
		t.Seen |= 1 << o.Rule
	}
}

// Merge adds what another tally of the same correlation, group and pane knows; other
// stays as it is.
func (t *Tally) Merge(c *Correlation, other *Tally) {
	t.Count += other.Count
	t.Seen |= other.Seen
	if len(other.Values) > 0 {
		t.Values = union(t.Values, other.Values, c.keep)
	}
	if other.Slots != nil && t.Slots == nil {
		t.Slots = make([]uint64, len(c.Rules))
	}
	for i := range min(len(t.Slots), len(other.Slots)) {
		t.Slots[i] |= other.Slots[i]
	}
}

// union returns the smallest values, at most keep, of two ascending lists.
func union(a, b []uint64, keep int) []uint64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), keep):min(len(all), keep)]
}

// Append appends the tally as bytes: varints, and 8 bytes for each value and slot.
func (t *Tally) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(t.Count))
	dst = binary.AppendUvarint(dst, t.Seen)
	for _, list := range [][]uint64{t.Values, t.Slots} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for _, v := range list {
			dst = binary.BigEndian.AppendUint64(dst, v)
		}
	}
	return dst
}

// Matches returns how many matches an encoded tally counts, whatever its correlation; 0
// if the bytes are not one.
func Matches(tally []byte) int64 {
	count, n := binary.Uvarint(tally)
	if n <= 0 || count > 1<<62 {
		return 0
	}
	return int64(count)
}

var errTally = errors.New("sigma: the bytes are not a tally of this correlation")

// DecodeTally reads a tally of c from the front of b, and returns the rest.
func (c *Correlation) DecodeTally(b []byte) (t Tally, rest []byte, err error) {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > 1<<62 {
		return t, nil, errTally
	}
	b = b[n:]
	if t.Seen, n = binary.Uvarint(b); n <= 0 {
		return t, nil, errTally
	}
	b, t.Count = b[n:], int64(count)
	for i, list := range []*[]uint64{&t.Values, &t.Slots} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n)/8 || i == 0 && size > uint64(c.keep) || i == 1 && size > 0 && size != uint64(len(c.Rules)) {
			return t, nil, errTally
		}
		b = b[n:]
		for ; size > 0; size-- {
			*list = append(*list, binary.BigEndian.Uint64(b))
			b = b[8:]
		}
	}
	if !ascending(t.Values) || t.Seen>>len(c.Rules) != 0 {
		return t, nil, errTally
	}
	return t, b, nil
}

func ascending(list []uint64) bool {
	for i := 1; i < len(list); i++ {
		if list[i] <= list[i-1] {
			return false
		}
	}
	return true
}

// Judge reports whether the window that begins at start satisfies the correlation's
// condition, and the count: matches, different values, different rules, or rules that
// matched in order. A count of values stops one above the largest bound. pane returns
// the tally of the group in the pane that begins at a time, or nil.
//
// Only windows of groups that have matches are judged: that something did not happen
// at all is not seen.
func (c *Correlation) Judge(start int64, pane func(start int64) *Tally) (count int64, fires bool) {
	var panes [overlap]*Tally
	matches, seen := int64(0), uint64(0)
	for i := range c.panes {
		t := pane(start + i*c.PaneSize())
		if panes[i] = t; t != nil {
			matches += t.Count
			seen |= t.Seen
		}
	}
	switch c.Kind {
	case EventCount:
		count = matches
	case ValueCount:
		var values []uint64
		for _, t := range panes {
			if t != nil {
				values = union(values, t.Values, c.keep)
			}
		}
		count = int64(len(values))
	case Temporal:
		if count = int64(bits.OnesCount64(seen)); c.bounds == nil {
			return count, count == int64(len(c.Rules))
		}
	case TemporalOrdered:
		count = c.inOrder(panes[:c.panes])
		return count, count == int64(len(c.Rules))
	}
	return count, matches > 0 && c.holds(count)
}

// inOrder returns how many of the rules, from the first on, matched one after another.
// It takes the earliest match of each that is not before the one taken last.
func (c *Correlation) inOrder(panes []*Tally) (n int64) {
	for _, t := range panes {
		if t == nil || len(t.Slots) != len(c.Rules) {
			continue
		}
		for from := 0; n < int64(len(c.Rules)); n++ {
			later := t.Slots[n] >> from
			if later == 0 {
				break
			}
			from += bits.TrailingZeros64(later)
		}
	}
	return n
}

// day is how often a state that lasts is told.
const day = eventtime.Day

// Reports reports whether the window that begins at start is to be reported. One burst
// makes several windows fire, which overlap: the first is reported, and while it goes
// on the first of each day (or of each timespan, if that is longer). It asks for one
// pane more than Judge, the one before the window.
func (c *Correlation) Reports(start int64, pane func(start int64) *Tally) (count int64, report bool) {
	count, fires := c.Judge(start, pane)
	if !fires || c.panes == 1 {
		return count, fires
	}
	before := start - c.PaneSize()
	if _, lasts := c.Judge(before, pane); !lasts {
		return count, true
	}
	period := max(day, c.Timespan)
	return count, floor(start, period) != floor(before, period)
}

func floor(t, size int64) int64 {
	if t < 0 {
		t -= size - 1
	}
	return t / size
}
