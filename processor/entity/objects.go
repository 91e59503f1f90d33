package entity

import (
	"math"
	"math/bits"

	"keytrail/processor/eventtime"
	"keytrail/schemas/wire"
)

// Objects counts the distinct objects that a principal touches per day (UTC). The zero
// value has learned nothing.
//
// Linear counting (Whang, Vander-Zanden and Taylor 1990, "A linear-time probabilistic
// counting algorithm for database applications"): the hash of an object sets one of 1,024
// bits. The number of objects follows within 3 % up to a thousand and 10 % up to 4,000.
type Objects struct {
	Day  int64    // the day of Bits, in days since 1970
	Days int      // days with objects before it
	Bits []uint64 // a bit per hash of the day's objects; nil, or MaxObjects or MaxSecrets bits
	Peak float32  // most distinct objects of a day, faded
}

// MaxObjects and MaxSecrets are the numbers of bits. A principal with as many objects on a
// day exceeds what is counted.
const (
	MaxObjects = 1024
	MaxSecrets = 256
)

// add adds the objects of the window at start to those of its day, in a bitmap of most
// bits.
func (o *Objects) add(start int64, objects *wire.Set, most int) {
	if len(objects.Values) == 0 {
		return
	}
	switch today := start / eventtime.Day; {
	case o.Bits == nil:
		o.Bits, o.Day = make([]uint64, most/64), today
	case today < o.Day:
		return // late
	case today > o.Day:
		o.end(today)
	}
	mark(o.Bits, objects)
}

// end learns the number of objects of the finished day.
func (o *Objects) end(today int64) {
	n, high := o.today(), Faded(o.Peak, (today-o.Day)*eventtime.Day)
	if o.Days >= MinDays && high > 0 { // it may become normal, but not at once
		n = min(n, 2*high)
	}
	o.Peak, o.Day, o.Days = float32(max(n, high)), today, o.Days+1
	clear(o.Bits)
}

// With returns the number of objects of the day of the window at start so far, including
// those of the window.
func (o *Objects) With(start int64, objects *wire.Set) float64 {
	var memory [MaxObjects / 64]uint64
	if len(o.Bits) == 0 {
		return float64(len(objects.Values))
	}
	all := memory[:len(o.Bits)]
	if start/eventtime.Day == o.Day {
		copy(all, o.Bits)
	}
	mark(all, objects)
	return linear(ones(all), 64*len(all))
}

// today returns the number of objects of the day.
func (o *Objects) today() float64 { return linear(ones(o.Bits), 64*len(o.Bits)) }

// Top returns the most distinct objects of a day before the day of start.
func (o *Objects) Top(start int64) float64 {
	high := Faded(o.Peak, (start/eventtime.Day-o.Day)*eventtime.Day)
	if start/eventtime.Day > o.Day && o.Bits != nil {
		high = max(high, o.today())
	}
	return high
}

// mark sets the bits of objects.
func mark(bitmap []uint64, objects *wire.Set) {
	for _, v := range objects.Values {
		bit := v.Hash >> 32 % uint64(64*len(bitmap))
		bitmap[bit/64] |= 1 << (bit % 64)
	}
}

// linear returns the number of distinct values that set so many bits of all.
func linear(set, all int) float64 {
	if set >= all {
		set = all - 1
	}
	return -float64(all) * math.Log(1-float64(set)/float64(all))
}

func ones(bitmap []uint64) (n int) {
	for _, b := range bitmap {
		n += bits.OnesCount64(b)
	}
	return n
}
