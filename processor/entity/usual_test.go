package entity

import (
	"keytrail/processor/eventtime"
	"math"
	"math/rand/v2"
	"testing"
)

// The learned mean and deviation of log-normal days equal those of the generator.
func TestUsual(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var mean, sigma float64
	const trails, days = 200, 60
	for range trails {
		var u Usual
		for d := range days {
			u.learn(math.Exp(4+0.5*rng.NormFloat64()), d, 1e9)
		}
		mean += float64(u.Mean) / trails
		sigma += u.sigma(days) / trails
	}
	if math.Abs(mean-4) > 0.02 || math.Abs(sigma-0.5) > 0.03 {
		t.Errorf("mean %g, deviation %g, want 4 and 0.5", mean, sigma)
	}
}

// Equal days vary by the minimum deviation; an outlier teaches a limited amount once a
// few days are known.
func TestUsualOfEqualDays(t *testing.T) {
	var u Usual
	for d := range 30 {
		u.learn(100, d, 4)
	}
	if math.Abs(u.Level()-100) > 0.1 || u.sigma(30) != leastSigma || math.Abs(u.Above(200, 30)-math.Ln2/leastSigma) > 0.01 {
		t.Errorf("level %g, deviation %g, 200 is %g above", u.Level(), u.sigma(30), u.Above(200, 30))
	}
	far, near := u, u
	far.learn(1e9, 30, 4)
	near.learn(400, 30, 4)
	if math.Abs(far.Level()-near.Level()) > 1e-3 || math.Abs(far.sigma(31)-near.sigma(31)) > 1e-5 || far.Level() < 105 || far.Level() > 120 {
		t.Errorf("%+v of a billion, %+v of 400", far, near)
	}
}

// On its first day an entity knows that day; late windows change no top.
func TestTops(t *testing.T) {
	var h Tops
	h.Add(100*eventtime.Day, 10, 15)
	h.Add(100*eventtime.Day, 5, 20)
	if u, days := h.Of(OneWindow); days != 1 || math.Abs(u.Level()-10) > 1e-4 {
		t.Errorf("the first day: %g of %d days", u.Level(), days)
	}
	if u, _ := h.Of(TwoWindows); math.Abs(u.Level()-20) > 1e-4 {
		t.Errorf("two windows of the first day: %g", u.Level())
	}
	h.Add(101*eventtime.Day, 1, 1)
	h.Add(100*eventtime.Day, 1000, 1000)
	if u, days := h.Of(OneWindow); days != 1 || math.Abs(u.Level()-10) > 1e-4 || h.Today != 1 {
		t.Errorf("the second day: %g of %d days, top %g", u.Level(), days, h.Today)
	}
}
