// Package baseline learns the normal rate of one entity: the expected calls in a window,
// by hour of the day and weekday or weekend, and their variance. It is pure and
// deterministic; time is event time.
//
// The model is a negative binomial: counts of calls vary more than a Poisson
// process allows, and a Poisson threshold would raise hundreds of false
// anomalies. Mean and dispersion are estimated by moments (Anscombe 1950,
// "Sampling theory of the negative binomial and logarithmic series
// distributions"), the mean of a slot shrunk to the entity's overall level
// while the slot is young.
package baseline

import (
	"math"
	"time"
)

// Slots is the number of seasons: 24 hours (UTC) of weekdays and of weekends.
const Slots = 48

const (
	// shrink is the weight, in windows, of the entity's overall level in the mean
	// of each slot: two hours of five-minute windows.
	shrink = 24
	// priorDispersion and priorWeight pull the dispersion of young and sparse entities to
	// a moderately bursty one.
	priorDispersion = 0.5
	priorWeight     = 5
	// minDispersion keeps machine traffic, which varies less than Poisson, from making
	// every small change an anomaly.
	minDispersion = 0.02
	maxDispersion = 20
	// halfLife is the half-life of the past: 14 days.
	halfLife = 14 * 24 * time.Hour
	// maxGap bounds the silence learned at once: 35 days.
	maxGap = 35 * 24 * time.Hour
)

// State is the learned normal of one entity. The zero value has learned nothing. 232
// bytes: it omits the number of learned windows per slot, because all from Since to Until
// were learned, silent ones included (weights.go).
type State struct {
	Calls  [Slots]float32 // calls in the learned windows, by slot, decayed
	MuSq   float32        // sum of squared expected counts
	Excess float32        // sum of (calls-expected)^2 - expected
	Since  int64          // start of the first window learned, ns; 0: none
	Until  int64          // end of the last window learned, ns
	Today  Today          // the part of the day (UTC) of the last window
}

// Today is the part of one day (UTC) in the sums of a State. Before leaves it out, so that
// the calls of a day do not change the judgment of that day.
type Today struct {
	Hour   float32 // calls of the last hour
	Calls  float32
	MuSq   float32
	Excess float32
}

// slot returns the season of the window that starts at t ns.
func slot(t int64) int {
	h := int(t / hour % 24)
	if weekend(t) {
		h += 24
	}
	return h
}

// Ready reports whether the state has learned for at least warmUp ns before t.
func (s *State) Ready(t, warmUp int64) bool { return s.Since != 0 && t-s.Since >= warmUp }

// Mean returns the expected count of a window of the given size, in ns, at any time.
func (s *State) Mean(size int64) float64 {
	if s.Until <= s.Since {
		return 0
	}
	return s.Total() * float64(size) / allWeight(s.Since, s.Until)
}

// Expected returns the expected count of the window of the given size, in ns,
// that starts at t.
func (s *State) Expected(t, size int64) float64 {
	if s.Until <= s.Since {
		return 0
	}
	i := slot(t)
	return (float64(s.Calls[i]) + shrink*s.Mean(size)) / (slotWeight(i, s.Since, s.Until)/float64(size) + shrink)
}

// Dispersion returns a, where the variance is mu + a*mu^2.
func (s *State) Dispersion() float64 { return dispersion(float64(s.Excess), float64(s.MuSq)) }

func dispersion(excess, muSq float64) float64 {
	return min(max((excess+priorWeight*priorDispersion)/(muSq+priorWeight), minDispersion), maxDispersion)
}

// Before returns Expected and Dispersion as they were learned before the day of asOf. If
// nothing was learned before, or the last window learned is of another day, it returns
// them as they are.
func (s *State) Before(asOf, t, size int64) (mu, a float64) {
	begin, last := asOf/day*day, s.Until-1
	if s.Since >= begin || last/day != asOf/day {
		return s.Expected(t, size), s.Dispersion()
	}
	grow, i, sum := 1/fade(s.Until-begin), slot(t), s.Total()-float64(s.Today.Calls)
	calls := float64(s.Calls[i])
	if last/hour == t/hour {
		calls -= float64(s.Today.Hour)
	}
	mean := grow * max(sum, 0) * float64(size) / allWeight(s.Since, begin)
	mu = (grow*max(calls, 0) + shrink*mean) / (slotWeight(i, s.Since, begin)/float64(size) + shrink)
	return mu, dispersion(float64(s.Excess-s.Today.Excess), float64(s.MuSq-s.Today.MuSq))
}

// Total returns the calls in all learned windows, decayed.
func (s *State) Total() (sum float64) {
	for _, n := range s.Calls {
		sum += float64(n)
	}
	return sum
}

// Idle reports whether the hour of t has less than a quarter of its share of all calls.
func (s *State) Idle(t int64) bool {
	sum := float32(s.Total())
	share := sum * 5 / (7 * 24) // an hour of weekdays, of which a week has five
	if weekend(t) {
		share = sum * 2 / (7 * 24)
	}
	return s.Calls[slot(t)] < share/4
}

// Learn adds the window of the given size that starts at t and had count calls, and the
// silence since the last learned window. Windows must come in order of time; one that is
// not after the last is not learned.
func (s *State) Learn(t, size, count int64) {
	if s.Since == 0 {
		s.Since, s.Until = t, t
	}
	if t < s.Until {
		return
	}
	s.Skip(t, size)
	s.turn(t)
	mu := s.Expected(t, size)
	s.decay(size)
	s.vary(mu, 1, float64(count))
	// They are spread over the window, whose older parts weigh less.
	calls := float32(float64(count) * allWeight(t, t+size) / float64(size))
	s.Calls[slot(t)] += calls
	s.Today.Hour += calls
	s.Today.Calls += calls
	s.Until = t + size
}

// Skip learns that there were no calls from the last learned window up to t. From a
// silence longer than maxGap the dispersion learns only the last part.
func (s *State) Skip(t, size int64) {
	if s.Since == 0 || t <= s.Until {
		return
	}
	from := max(s.Until, t-int64(maxGap)/size*size)
	s.decay(from - s.Until)
	s.Until = from
	for from < t { // hour by hour: the windows of an hour share a slot
		next := min((from/hour+1)*hour, t)
		n := (next - from + size - 1) / size
		s.turn(from)
		mu := s.Expected(from, size)
		s.decay(n * size)
		s.vary(mu, float64(n), 0)
		from += n * size
		s.Until = from
	}
	s.Until = t
}

// turn begins a new day, or a new hour of the day, with the window at t.
func (s *State) turn(t int64) {
	switch last := s.Until - 1; {
	case t/day != last/day:
		s.Today = Today{}
	case t/hour != last/hour:
		s.Today.Hour = 0
	}
}

// vary learns the deviation of n windows with count calls each from mu.
func (s *State) vary(mu, n, count float64) {
	square, excess := float32(n*mu*mu), float32(n*((count-mu)*(count-mu)-mu))
	s.MuSq += square
	s.Excess += excess
	s.Today.MuSq += square
	s.Today.Excess += excess
}

func (s *State) decay(elapsed int64) {
	if elapsed <= 0 {
		return
	}
	f := float32(math.Exp2(-float64(elapsed) / float64(halfLife)))
	for i := range s.Calls {
		s.Calls[i] *= f
	}
	s.MuSq *= f
	s.Excess *= f
	s.Today.Hour *= f
	s.Today.Calls *= f
	s.Today.MuSq *= f
	s.Today.Excess *= f
}
