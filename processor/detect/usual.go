package detect

import (
	"math"

	"keytrail/processor/baseline"
)

// usual is what something is on an entity's days, such as the most calls of a window: a
// log-normal distribution, because what many causes multiply is (Limpert, Stahel and Abbt
// 2001, "Log-normal Distributions across the Sciences"). How many days were learned is
// kept beside it. The zero value has learned nothing.
type usual struct {
	Mean    float32 // of the logarithms
	Squares float32 // sum of their squared deviations, faded
}

const (
	// usualFade is what a day weighs of the day learned after it: half after 14 days.
	usualFade = 0.95
	// usualPrior is the weight, in days, of leastSigma in what is learned.
	usualPrior = 2
	// leastSigma is the least deviation of the logarithms, a fifth more or less: the days
	// of machines are nearly equal, and soon nothing would be usual.
	leastSigma = 0.2
)

// weight returns what the days learned weigh together, in days.
func weight(days int) float64 { return (1 - math.Pow(usualFade, float64(days))) / (1 - usualFade) }

// level returns the usual value: the median.
func (u usual) level() float64 { return math.Exp(float64(u.Mean)) }

// sigma returns the deviation of the logarithms.
func (u usual) sigma(days int) float64 {
	v := (float64(u.Squares) + usualPrior*leastSigma*leastSigma) / (weight(days) + usualPrior - 1)
	return math.Sqrt(max(v, leastSigma*leastSigma))
}

// above returns how many deviations a value is above the usual one.
func (u usual) above(v float64, days int) float64 {
	return (math.Log(v) - float64(u.Mean)) / u.sigma(days)
}

// tail returns the probability of a value so many deviations above or more: Student's,
// because mean and deviation are those of a few days.
func tail(deviations float64, days int) float64 {
	return baseline.StudentTail(deviations, weight(days)+usualPrior-1)
}

// learn takes the value of one more day, at most so much of it as is most times the
// usual once the usual is known: what is anomalous may become normal, but not at once.
// Mean and deviation with fading weights: West 1979, "Updating mean and variance
// estimates: an improved method". days are those before.
func (u *usual) learn(v float64, days int, most float64) {
	x := math.Log(max(v, 1))
	if days >= dripDays {
		x = min(x, float64(u.Mean)+math.Log(most))
	}
	off := x - float64(u.Mean)
	u.Mean += float32(off / weight(days+1))
	u.Squares = float32(usualFade*float64(u.Squares) + off*(x-float64(u.Mean)))
}

// tops are the most calls that windows have, by days (UTC).
type tops struct {
	Day   int64   // the last day with calls, in days since 1970; 0: none yet
	Days  int     // days with calls before it
	Today float32 // most calls in a window of Day
	Both  float32 // the same of two windows in a row
	One   usual   // of the days before
	Two   usual
}

// add notes the calls of a window, and of it and the window before.
func (t *tops) add(today int64, one, two float64) {
	switch {
	case t.Day == 0:
		t.Day = today
	case today < t.Day:
		return // late
	case today > t.Day:
		const most = 4
		t.One.learn(float64(t.Today), t.Days, most)
		t.Two.learn(float64(t.Both), t.Days, most)
		t.Days++
		t.Day, t.Today, t.Both = today, 0, 0
	}
	t.Today, t.Both = max(t.Today, float32(one)), max(t.Both, float32(two))
}

// of returns what the tops of one window are usually, or of two, and of how many days
// that is known. On its first day an entity knows that day alone.
func (t *tops) of(two bool) (u usual, days int) {
	u, top := t.One, t.Today
	if two {
		u, top = t.Two, t.Both
	}
	if t.Days > 0 {
		return u, t.Days
	}
	return usual{Mean: float32(math.Log(max(float64(top), 1)))}, 1
}
