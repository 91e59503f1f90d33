package sigma

import (
	"encoding/binary"
	"errors"
	"iter"
	"math/bits"
	"slices"

	"keytrail/processor/eventtime"
)

// Time is divided into panes of a quarter of a correlation's timespan each, aligned to
// 1970-01-01 UTC. A window is four consecutive panes. Windows overlap, so any events
// within three quarters of the timespan share a window. Each pane and group has a Tally.
// If a condition can be satisfied by fewer matches (lt, lte, eq, neq), a window is one
// pane and windows do not overlap, because the ends of a burst would satisfy it.
const overlap = 4

// slots is the number of slots per pane for TemporalOrdered: matches in the same slot,
// 1/256 of the timespan, count as ordered in any order.
const slots = 64

// Tally is the count of one group of a correlation in one pane. Tallies of the same pane
// add up in any order, also across processes. The zero value is empty. Not safe for
// concurrent use.
type Tally struct {
	Count  int64    // matches
	Values []uint64 // of ValueCount: distinct, ascending; the smallest if there are too many
	Seen   uint64   // of the temporal kinds: bit i is rule i
	Slots  []uint64 // of TemporalOrdered: by rule, a bit per slot of the pane
}

// Pane returns the start of the pane that contains t; both are ns since 1970.
func (c *Correlation) Pane(t int64) int64 {
	size := c.PaneSize()
	r := t % size
	if r < 0 {
		r += size
	}
	return t - r
}

// PaneSize returns the length of a pane in ns.
func (c *Correlation) PaneSize() int64 { return c.Timespan / c.panes }

// Panes returns the number of panes of a window: 4, or 1.
func (c *Correlation) Panes() int { return int(c.panes) }

// Windows yields the starts of the windows that contain the pane at pane, earliest first.
// A window [start, start+Timespan) can be judged when no more matches in it are expected:
// when the watermark has reached its end.
func (c *Correlation) Windows(pane int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for i := c.panes - 1; i >= 0; i-- {
			if !yield(pane - i*c.PaneSize()) {
				return
			}
		}
	}
}

// Expires returns the watermark from which no open window needs the pane at pane any
// more.
func (c *Correlation) Expires(pane int64) int64 {
	if c.panes == 1 {
		return pane + c.Timespan
	}
	return pane + c.PaneSize() + c.Timespan // the next window checks whether the previous one fires
}

// Add counts an observation at event time at. It does not keep o.
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

// Merge adds another tally of the same correlation, group and pane; other stays
// unchanged.
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

// Append appends the encoded tally: varints, and 8 bytes per value and slot.
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

// Matches returns the number of matches of an encoded tally of any correlation; 0 for
// invalid bytes.
func Matches(tally []byte) int64 {
	count, n := binary.Uvarint(tally)
	if n <= 0 || count > 1<<62 {
		return 0
	}
	return int64(count)
}

var errTally = errors.New("sigma: the bytes are not a tally of this correlation")

// DecodeTally decodes a tally of c from the front of b, and returns the rest.
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
		if n <= 0 || size > uint64(len(b)-n)/8 || i == 0 && size > uint64(c.keep) || i == 1 && size > 0 &&
			size != uint64(len(c.Rules)) {
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

// Judge reports whether the window at start satisfies the correlation's condition, and
// the count: matches, distinct values, distinct rules, or rules that matched in order. A
// count of values stops one above the largest bound. pane returns the group's tally in
// the pane at a time, or nil.
//
// Only groups with matches are judged: the complete absence of an event is not detected.
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

// inOrder returns how many of the rules, from the first on, matched in order. It takes
// each rule's earliest match that is not before the previous rule's.
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

// Matches returns the number of matches in the window at start, of all rules. It grows with
// every match, where the count of Judge may stay. pane is as for Judge.
func (c *Correlation) Matches(start int64, pane func(start int64) *Tally) (n int64) {
	for i := range c.panes {
		if t := pane(start + i*c.PaneSize()); t != nil {
			n += t.Count
		}
	}
	return n
}

// day is the interval at which a lasting state is reported again.
const day = eventtime.Day

// Reports reports whether to report the window at start. One burst makes several
// overlapping windows fire: the first is reported, and while it lasts the first of each
// day (or of each timespan, if that is longer). It needs one pane more than Judge, the
// one before the window.
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
