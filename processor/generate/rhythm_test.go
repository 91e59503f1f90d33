package generate

import (
	"math"
	"testing"
	"time"
)

// monday is a Monday, 00:00 UTC, in Unix seconds.
const monday = 1_767_571_200 // 2026-01-05

func TestProfiles(t *testing.T) {
	for name, p := range map[string]*profile{"flat": flatProfile, "app": appProfiles[3], "office": officeProfiles[0]} {
		mean := 0.0
		for _, rate := range p {
			mean += rate / float64(len(p))
		}
		if math.Abs(mean-1) > 1e-9 {
			t.Errorf("%s has mean %v, want 1", name, mean)
		}
	}
	if time.Unix(monday, 0).UTC().Weekday() != time.Monday {
		t.Fatal("the test's Monday is none")
	}
	// Phase 0 is three hours before UTC, so phase 3 is UTC: nine to five at UTC.
	office := officeProfiles[3]
	if office.at(monday+10*3600) != office[10] || office.at(monday+7*86400+10*3600+1800) != office[10] {
		t.Error("the hour of the week is wrong")
	}
	if office.at(monday+10*3600) < 10*office.at(monday+2*3600) || office.at(monday+10*3600) < 10*office.at(monday+5*86400+10*3600) {
		t.Error("an office works at night or on Saturday")
	}
}

// counts returns the edge's calls in each step of five minutes of a week.
func counts(e *edge, seed uint64) []float64 {
	var times []int64
	for hour := range int64(168) {
		times = e.appendTimes(times, newRandom(seed, streamHours+uint64(hour)), monday+hour*3600)
	}
	slots := make([]float64, 168*12)
	for _, at := range times {
		slots[(at-monday)/300]++
	}
	return slots
}

// dispersion returns the mean and the variance divided by the mean.
func dispersion(slots []float64) (mean, ratio float64) {
	for _, n := range slots {
		mean += n / float64(len(slots))
	}
	variance := 0.0
	for _, n := range slots {
		variance += (n - mean) * (n - mean) / float64(len(slots))
	}
	return mean, variance / mean
}

// TestRhythms checks the three kinds of edges by their dispersion: machines below a
// Poisson process, noisy callers above, batches far above.
func TestRhythms(t *testing.T) {
	f := func(name string, e edge, low, high float64) {
		t.Helper()
		e.rate, e.profile, e.levelEnd, e.seed = 120, flatProfile, 1, 99
		mean, ratio := dispersion(counts(&e, 5))
		if math.Abs(mean/10-1) > 0.25 || ratio < low || ratio > high {
			t.Errorf("%s: mean %.2f (want 10), variance/mean %.2f (want %.2f to %.2f)", name, mean, ratio, low, high)
		}
	}
	f("steady", edge{rhythm: steady, offset: 17}, 0, 0.3)
	f("pure Poisson", edge{rhythm: noisy}, 0.9, 1.1)
	f("noisy", edge{rhythm: noisy, dayNoise: 0.15, hourNoise: 0.3, slotNoise: 0.4}, 2, 6)
	f("hourly batch", edge{rhythm: batch, offset: 600}, 80, 140)
	f("daily batch", edge{rhythm: batch, offset: 5*3600 + 600, daily: true}, 500, 2500)
}

// TestSteadyStepsAreEven checks the intervals between a machine's calls, also across
// hours.
func TestSteadyStepsAreEven(t *testing.T) {
	e := &edge{rhythm: steady, rate: 7, offset: 100, seed: 3}
	var times []int64
	for hour := range int64(24) {
		times = e.appendTimes(times, random{}, monday+hour*3600)
	}
	if len(times) < 167 || len(times) > 169 {
		t.Fatalf("%d calls in a day at 7 an hour", len(times))
	}
	for i := 1; i < len(times); i++ {
		if step := float64(times[i] - times[i-1]); math.Abs(step-3600/7.0) > 0.1*3600/7.0+1 {
			t.Errorf("a step of %v s, want %.0f", step, 3600/7.0)
		}
	}
}

func TestLevelChanges(t *testing.T) {
	e := &edge{rate: 10, profile: flatProfile, level: span{monday, monday + 1000}, levelEnd: 0.2}
	for second, want := range map[int64]float64{monday - 1: 10, monday: 10, monday + 500: 6, monday + 1000: 2, monday + 9999: 2} {
		if got := e.expected(second); math.Abs(got-want) > 1e-9 {
			t.Errorf("rate at %d s: %v, want %v", second-monday, got, want)
		}
	}
}

func TestPoisson(t *testing.T) {
	r := newRandom(1, 1)
	for _, mean := range []float64{0.01, 0.5, 4, 29, 31, 1000} {
		const n = 40_000
		sum, squares := 0.0, 0.0
		for range n {
			x := float64(poisson(r.Rand, mean))
			sum += x
			squares += x * x
		}
		got := sum / n
		if spread := squares/n - got*got; math.Abs(got/mean-1) > 6/math.Sqrt(n*mean)+0.001 || math.Abs(spread/mean-1) > 0.2 {
			t.Errorf("mean %v: drew mean %.4f and variance %.4f", mean, got, spread)
		}
	}
	if poisson(r.Rand, 0) != 0 {
		t.Error("a mean of 0 gives calls")
	}
}

func TestNoiseHasMeanOne(t *testing.T) {
	for _, sigma := range []float64{0, 0.3, 0.8} {
		sum := 0.0
		const n = 100_000
		for i := range uint64(n) {
			sum += noise(i*7919, sigma)
		}
		if math.Abs(sum/n-1) > 0.02 {
			t.Errorf("sigma %v: mean %.4f, want 1", sigma, sum/n)
		}
	}
}

func TestAppendText(t *testing.T) {
	if got := string(appendText(nil, "a\"b\\c\nd\x01é")); got != `"a\"b\\c\nd\u0001é"` {
		t.Errorf("got %s", got)
	}
}

func TestUUIDForm(t *testing.T) {
	r := newRandom(1, 2)
	for range 1000 {
		s := r.uuid().String()
		if len(s) != 36 || s[14] != '4' || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || (s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b') {
			t.Fatalf("%s is no version 4 UUID", s)
		}
	}
}
