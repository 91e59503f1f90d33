package main

import (
	"math"
	"slices"

	"keytrail/schemas/wire"
)

// The yardsticks are common alternatives to Keytrail: four rules over the same windows of
// KMS keys and principals. Like Keytrail's rate detector they judge only windows of
// minCalls and more, of entities known for a day, and they count silence as windows
// without calls.
const (
	minCalls  = 20
	warmUp    = int64(24 * 3600e9)
	slots     = 24 // hours of the day
	histories = 288
)

// yardstick is one of them. floor is the lowest score of findings kept for the sweep of
// thresholds.
type yardstick struct {
	name      string
	threshold float64
	floor     float64
	fitted    bool // the threshold is fitted to training seeds
	score     func(h *history, at int64, calls float64) float64
}

// yardsticks returns the yardsticks with their usual thresholds. The fixed one has the
// threshold of the best F1 on training seeds, as quality -fit prints it.
func yardsticks() []yardstick {
	return []yardstick{
		{"mean + 3 sd", 3, 3, false, (*history).deviations},
		{"Poisson", 6, 3, false, (*history).poisson},
		{"fixed threshold", 99, 60, true, func(_ *history, _ int64, calls float64) float64 { return calls }},
		{"rolling median", 5, 3, false, (*history).robust},
	}
}

// history is a yardstick's memory of one entity, about 1.8 kB.
type history struct {
	since, until int64 // of the windows learned, ns
	// mean and square are decayed sums for mean + 3 sd, with a half-life of a week.
	weight, sum, squares float64
	// calls and windows are sums by hour of the day, for Poisson.
	calls, windows [slots]float32
	// ring has the counts of the last day, and sorted has them in order.
	ring   [histories]int32
	sorted []int32
	next   int
}

// weekly is the decay of one window of five minutes with a half-life of a week.
var weekly = math.Exp2(-1.0 / (7 * 288))

// skip learns the empty windows of size from the last learned one up to at.
func (h *history) skip(at, size int64) {
	if h.since == 0 {
		h.since, h.until = at, at
	}
	empty := (at - h.until) / size
	if empty <= 0 {
		return
	}
	decay := math.Pow(weekly, float64(empty))
	h.sum, h.squares, h.weight = h.sum*decay, h.squares*decay, h.weight*decay+(1-decay)/(1-weekly)
	for t := h.until; t < at; { // hour by hour
		end := min(at, t-t%3600e9+3600e9)
		h.windows[t/3600e9%slots] += float32((end - t) / size)
		t = end
	}
	for range min(empty, histories) {
		h.push(0)
	}
	h.until = at
}

// learn adds the window at at. Windows come in order of time.
func (h *history) learn(at, size, calls int64) {
	n := float64(calls)
	h.sum, h.squares, h.weight = h.sum*weekly+n, h.squares*weekly+n*n, h.weight*weekly+1
	h.windows[at/3600e9%slots]++
	h.calls[at/3600e9%slots] += float32(calls)
	h.push(int32(min(calls, math.MaxInt32)))
	h.until = at + size
}

// push replaces the oldest count in the ring.
func (h *history) push(n int32) {
	if len(h.sorted) == histories {
		if old := h.ring[h.next]; old == n {
			h.next = (h.next + 1) % histories
			return
		}
		i, _ := slices.BinarySearch(h.sorted, h.ring[h.next])
		h.sorted = slices.Delete(h.sorted, i, i+1)
	}
	i, _ := slices.BinarySearch(h.sorted, n)
	h.sorted = slices.Insert(h.sorted, i, n)
	h.ring[h.next] = n
	h.next = (h.next + 1) % histories
}

// deviations returns how many standard deviations the count is above the mean.
func (h *history) deviations(_ int64, calls float64) float64 {
	mean := h.sum / h.weight
	return (calls - mean) / math.Sqrt(math.Max(h.squares/h.weight-mean*mean, 1))
}

// poisson is -log10 of the probability of n calls or more, with the mean of this hour of
// the day.
func (h *history) poisson(at int64, calls float64) float64 {
	slot := at / 3600e9 % slots
	if h.windows[slot] < 12 { // an hour that was never seen
		return 0
	}
	return poissonSurprise(calls, math.Max(float64(h.calls[slot])/float64(h.windows[slot]), 0.01))
}

// poissonSurprise is -log10 P(N >= n) of a Poisson distribution; 0 up to its mean.
func poissonSurprise(n, mean float64) float64 {
	if n <= mean {
		return 0
	}
	gamma, _ := math.Lgamma(n + 1)
	log := n*math.Log(mean) - mean - gamma
	term, sum := 1.0, 1.0
	for k := n + 1; term > 1e-12*sum; k++ {
		term *= mean / k
		sum += term
	}
	return math.Min(-(log+math.Log(sum))/math.Ln10, 300)
}

// robust returns how many standard deviations, estimated by the median absolute
// deviation, the count is above the median of the last day.
func (h *history) robust(_ int64, calls float64) float64 {
	n := len(h.sorted)
	median := float64(h.sorted[n/2])
	// Half of the counts are within the MAD: walk outwards from the median.
	low, high, mad := n/2, n/2, 0.0
	for range n / 2 {
		if high+1 >= n || low > 0 && median-float64(h.sorted[low-1]) <= float64(h.sorted[high+1])-median {
			low--
			mad = median - float64(h.sorted[low])
		} else {
			high++
			mad = float64(h.sorted[high]) - median
		}
	}
	return (calls - median) / math.Max(1.4826*mad, 1)
}

// field is all yardsticks on one trail.
type field struct {
	sticks []yardstick
	trials []*trial
	known  map[wire.Entity]*history
	size   int64
}

func newField(list []yardstick, known *incidents, from, size int64) *field {
	f := &field{sticks: list, known: map[wire.Entity]*history{}, size: size}
	for _, y := range list {
		f.trials = append(f.trials, newTrial(y.name, y.threshold, y.floor, known, from))
	}
	return f
}

// window judges a closed window and learns from it.
func (f *field) window(e wire.Entity, start, published, calls int64) {
	if e.Scope == wire.ScopePair {
		return
	}
	h := f.known[e]
	if h == nil {
		h = &history{sorted: make([]int32, 0, histories)}
		f.known[e] = h
	}
	h.skip(start, f.size)
	if calls >= minCalls && start-h.since >= warmUp {
		for i, y := range f.sticks {
			if score := y.score(h, start, float64(calls)); score >= y.floor {
				f.trials[i].add(&finding{Entity: e, start: start, end: start + f.size, published: published, score: score})
			}
		}
	}
	h.learn(start, f.size, calls)
}
