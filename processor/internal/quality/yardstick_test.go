package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"keytrail/schemas/wire"
)

const hour = int64(3600e9)

// TestYardsticksAgainstPlainSums compares the yardsticks' memory with the whole past,
// including windows without calls.
func TestYardsticksAgainstPlainSums(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := &history{}
	var past []float64 // every window since the first
	begin := 20_000 * 24 * hour
	at := begin
	for range 3000 {
		for at > begin && r.IntN(3) == 0 {
			past = append(past, 0)
			at += fiveMinutes
		}
		h.skip(at, fiveMinutes)
		n := float64(r.IntN(60))
		if len(past) > 400 {
			near(t, "deviations", h.deviations(at, n), deviationsOf(past, n))
			near(t, "median", h.robust(at, n), robustOf(past[len(past)-histories:], n))
			if want := poissonOf(past, begin, at, n); want < 10 { // beyond, the plain way is inexact
				near(t, "Poisson", h.poisson(at, n), want)
			}
		}
		h.learn(at, fiveMinutes, int64(n))
		past = append(past, n)
		at += fiveMinutes
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-4*math.Max(1, math.Abs(want)) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func deviationsOf(past []float64, n float64) float64 {
	var weight, sum, squares float64
	for i, x := range past {
		w := math.Pow(weekly, float64(len(past)-1-i))
		weight, sum, squares = weight+w, sum+w*x, squares+w*x*x
	}
	mean := sum / weight
	return (n - mean) / math.Sqrt(math.Max(1, squares/weight-mean*mean))
}

func robustOf(day []float64, n float64) float64 {
	middle := func(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }
	median := middle(day)
	var away []float64
	for _, x := range day {
		away = append(away, math.Abs(x-median))
	}
	return (n - median) / math.Max(1, 1.4826*middle(away))
}

func poissonOf(past []float64, begin, at int64, n float64) float64 {
	var windows, calls float64
	for i, x := range past {
		if (begin+int64(i)*fiveMinutes)/hour%24 == at/hour%24 {
			windows, calls = windows+1, calls+x
		}
	}
	if windows < 12 {
		return 0
	}
	mean := calls / windows
	if n <= mean {
		return 0
	}
	below := 0.0 // P(N < n), directly: accurate unless close to 1
	for k := 0.0; k < n; k++ {
		gamma, _ := math.Lgamma(k + 1)
		below += math.Exp(k*math.Log(mean) - mean - gamma)
	}
	return -math.Log10(1 - below)
}

func TestPoissonSurprise(t *testing.T) {
	near(t, "the mean itself", poissonSurprise(5, 5), 0)
	near(t, "one where a hundredth is expected", poissonSurprise(1, 0.01), -math.Log10(1-math.Exp(-0.01)))
	near(t, "far away", poissonSurprise(1e6, 1), 300)
	near(t, "20 of 5", poissonSurprise(20, 5), -math.Log10(3.4519e-7)) // R: ppois(19, 5, lower.tail = FALSE)
}

// TestFieldJudgesWhatIsKnown checks when yardsticks judge: with a day of history and
// twenty calls, keys and principals.
func TestFieldJudgesWhatIsKnown(t *testing.T) {
	f := newField(yardsticks(), newIncidents(nil), 0, fiveMinutes)
	e := wire.Entity{Scope: wire.ScopeKey, Key: keyA}
	judged := func() int { return len(f.trials[0].scores) }
	begin := 20_000 * 24 * hour
	f.window(e, begin, begin, 2)
	f.window(e, begin+23*hour, begin, 500)
	if judged() != 0 {
		t.Error("judged within the first day")
	}
	f.window(e, begin+25*hour, begin, 19)
	f.window(wire.Entity{Scope: wire.ScopePair, Key: keyA, Principal: alice}, begin+26*hour, begin, 5000)
	if judged() != 0 {
		t.Error("judged less than twenty calls, or a pair")
	}
	f.window(e, begin+27*hour, begin, 5000)
	if judged() != 1 {
		t.Errorf("%d findings, want 1", judged())
	}
}
