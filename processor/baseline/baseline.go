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

// State is the learned normal of one entity. The zero value has learned nothing. 216
// bytes: it omits the number of learned windows per slot, because all from Since to Until
// were learned, silent ones included (weights.go).
type State struct {
	Calls  [Slots]float32 // calls in the learned windows, by slot, decayed
	MuSq   float32        // sum of squared expected counts
	Excess float32        // sum of (calls-expected)^2 - expected
	Since  int64          // start of the first window learned, ns; 0: none
	Until  int64          // end of the last window learned, ns
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
	calls := 0.0
	for i := range s.Calls {
		calls += float64(s.Calls[i])
	}
	return calls * float64(size) / allWeight(s.Since, s.Until)
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
func (s *State) Dispersion() float64 {
	a := (float64(s.Excess) + priorWeight*priorDispersion) / (float64(s.MuSq) + priorWeight)
	return min(max(a, minDispersion), maxDispersion)
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
	mu := s.Expected(t, size)
	s.decay(size)
	s.vary(mu, 1, float64(count))
	// They are spread over the window, whose older parts weigh less.
	s.Calls[slot(t)] += float32(float64(count) * allWeight(t, t+size) / float64(size))
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
		mu := s.Expected(from, size)
		s.decay(n * size)
		s.vary(mu, float64(n), 0)
		from += n * size
		s.Until = from
	}
	s.Until = t
}

// vary learns the deviation of n windows with count calls each from mu.
func (s *State) vary(mu, n, count float64) {
	s.MuSq += float32(n * mu * mu)
	s.Excess += float32(n * ((count-mu)*(count-mu) - mu))
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
}
