package entity

import (
	"math"

	"keytrail/processor/baseline"
	"keytrail/processor/eventtime"
)

// Usual is the distribution of a daily value of an entity, such as the most calls in a
// window. Values are log-normal, because many causes multiply (Limpert, Stahel and Abbt
// 2001, "Log-normal Distributions across the Sciences"). The caller keeps the number of
// days. The zero value has learned nothing.
type Usual struct {
	Mean    float32 // of the logarithms
	Squares float32 // sum of their squared deviations, faded
}

const (
	// MinDays is how many days are learned before a day is judged.
	MinDays = 5
	// usualFade is the weight of a day relative to the day after it: half after 14 days.
	usualFade = 0.95
	// usualPrior is the weight of leastSigma, in days, in the learned deviation.
	usualPrior = 2
	// leastSigma is the smallest deviation of the logarithms, a fifth up or down. A
	// machine's days are nearly equal, and without it any other day would be unusual.
	leastSigma = 0.2
)

// weight returns the weight of all days learned, in days.
func weight(days int) float64 { return (1 - math.Pow(usualFade, float64(days))) / (1 - usualFade) }

// Level returns the usual value: the median.
func (u Usual) Level() float64 { return math.Exp(float64(u.Mean)) }

// sigma returns the deviation of the logarithms.
func (u Usual) sigma(days int) float64 {
	v := (float64(u.Squares) + usualPrior*leastSigma*leastSigma) / (weight(days) + usualPrior - 1)
	return math.Sqrt(max(v, leastSigma*leastSigma))
}

// Above returns how many deviations of the logarithm v is above the usual value, which
// was learned on days days.
func (u Usual) Above(v float64, days int) float64 {
	return (math.Log(v) - float64(u.Mean)) / u.sigma(days)
}

// Tail returns the probability of a value at least that many deviations above the usual
// one. It is Student's, because mean and deviation come from a few days.
func Tail(deviations float64, days int) float64 {
	return baseline.StudentTail(deviations, weight(days)+usualPrior-1)
}

// learn takes the value of one more day; days are those before it. Once the usual value is
// known, at most so many times that value counts: an anomaly may become normal, but not at
// once. Mean and deviation with fading weights: West 1979, "Updating mean and variance
// estimates: an improved method".
func (u *Usual) learn(v float64, days int, most float64) {
	x := math.Log(max(v, 1))
	if days >= MinDays {
		x = min(x, float64(u.Mean)+math.Log(most))
	}
	off := x - float64(u.Mean)
	u.Mean += float32(off / weight(days+1))
	u.Squares = float32(usualFade*float64(u.Squares) + off*(x-float64(u.Mean)))
}

// Tops are the most uses in a window, in two, and in two hours, by days (UTC). The zero
// value has learned nothing.
type Tops struct {
	Day   int64   // the last day with calls, in days since 1970; 0: none yet
	Days  int     // days with calls before it
	Today float32 // most calls in a window of Day
	Both  float32 // most calls in two windows of Day in a row
	One   Usual   // the most calls in a window, on the days before Day
	Two   Usual   // the same in two windows in a row

	Hour       int64   // the last hour with uses, in hours since 1970
	This, Last float32 // uses of Hour, and of the hour before it
	Hours      float32 // most in two hours of Day in a row
	Long       Usual   // the same, on the days before Day
}

// Clock is a span of time over which uses are counted.
type Clock uint8

// The clocks.
const (
	OneWindow Clock = iota
	TwoWindows
	TwoHours // clock hours: the one that goes on, and the one before it
)

// InHours returns the uses in the hour of the window at start so far and in the hour
// before, with the window's own; ok is false for a window before the last hour.
func (t *Tops) InHours(start int64, one float64) (n float64, ok bool) {
	switch start/eventtime.Hour - t.Hour {
	case 0:
		return one + float64(t.This) + float64(t.Last), true
	case 1:
		return one + float64(t.This), true
	}
	return one, start/eventtime.Hour > t.Hour
}

// Add adds the uses of the window at start, and those of it and the previous window.
func (t *Tops) Add(start int64, one, two float64) {
	today, hour := start/eventtime.Day, start/eventtime.Hour
	switch {
	case hour < t.Hour: // late
	case hour > t.Hour:
		if t.Last = 0; hour == t.Hour+1 {
			t.Last = t.This
		}
		t.Hour, t.This = hour, float32(one)
	default:
		t.This += float32(one)
	}
	switch {
	case t.Day == 0:
		t.Day = today
	case today < t.Day:
		return // late
	case today > t.Day:
		const most = 4
		t.One.learn(float64(t.Today), t.Days, most)
		t.Two.learn(float64(t.Both), t.Days, most)
		t.Long.learn(float64(t.Hours), t.Days, most)
		t.Days++
		t.Day, t.Today, t.Both, t.Hours = today, 0, 0, 0
	}
	t.Today, t.Both = max(t.Today, float32(one)), max(t.Both, float32(two))
	t.Hours = max(t.Hours, t.This+t.Last)
}

// Of returns the usual top of a clock, and the number of days it was learned on. On its
// first day an entity has only that day.
func (t *Tops) Of(c Clock) (u Usual, days int) {
	u, top := t.One, t.Today
	switch c {
	case TwoWindows:
		u, top = t.Two, t.Both
	case TwoHours:
		u, top = t.Long, t.Hours
	}
	if t.Days > 0 {
		return u, t.Days
	}
	return Usual{Mean: float32(math.Log(max(float64(top), 1)))}, 1
}
