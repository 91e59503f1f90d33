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
	Bits []uint64 // a bit per hash of the day's objects; nil, or MaxObjects bits
	Peak float32  // most distinct objects of a day, faded
}

// MaxObjects is the number of bits. A principal with as many objects on a day exceeds
// what is counted.
const MaxObjects = 1024

const words = MaxObjects / 64

// add adds the objects of a window to those of its day.
func (o *Objects) add(w *Window) {
	if len(w.Sets[wire.SetObjects].Values) == 0 {
		return
	}
	switch today := w.Start / eventtime.Day; {
	case o.Bits == nil:
		o.Bits, o.Day = make([]uint64, words), today
	case today < o.Day:
		return // late
	case today > o.Day:
		o.end(today)
	}
	mark(o.Bits, w)
}

// end learns the number of objects of the finished day.
func (o *Objects) end(today int64) {
	n, high := linear(ones(o.Bits)), Faded(o.Peak, (today-o.Day)*eventtime.Day)
	if o.Days >= MinDays && high > 0 { // it may become normal, but not at once
		n = min(n, 2*high)
	}
	o.Peak, o.Day, o.Days = float32(max(n, high)), today, o.Days+1
	clear(o.Bits)
}

// With returns the number of objects of the day of w so far, including those of w.
func (o *Objects) With(w *Window) float64 {
	var all [words]uint64
	if w.Start/eventtime.Day == o.Day {
		copy(all[:], o.Bits)
	}
	mark(all[:], w)
	return linear(ones(all[:]))
}

// Top returns the most distinct objects of a day before the day of start.
func (o *Objects) Top(start int64) float64 {
	high := Faded(o.Peak, (start/eventtime.Day-o.Day)*eventtime.Day)
	if start/eventtime.Day > o.Day && o.Bits != nil {
		high = max(high, linear(ones(o.Bits)))
	}
	return high
}

// mark sets the bits of a window's objects.
func mark(bitmap []uint64, w *Window) {
	for _, v := range w.Sets[wire.SetObjects].Values {
		bit := v.Hash >> 32 % MaxObjects
		bitmap[bit/64] |= 1 << (bit % 64)
	}
}

// linear returns the number of distinct values that set that many bits.
func linear(set int) float64 {
	if set >= MaxObjects {
		set = MaxObjects - 1
	}
	return -MaxObjects * math.Log(1-float64(set)/MaxObjects)
}

func ones(bitmap []uint64) (n int) {
	for _, b := range bitmap {
		n += bits.OnesCount64(b)
	}
	return n
}
