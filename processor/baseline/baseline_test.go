package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// pmfSum sums the probability function, which is accurate enough unless the tail is tiny.
func pmfSum(y int64, mu, a float64) float64 {
	r := 1 / a
	q := mu / (r + mu)
	below := 0.0
	for k := int64(0); k < y; k++ {
		lk, _ := math.Lgamma(float64(k) + r)
		l1, _ := math.Lgamma(float64(k) + 1)
		lr, _ := math.Lgamma(r)
		below += math.Exp(lk - l1 - lr + r*math.Log(1-q) + float64(k)*math.Log(q))
	}
	return 1 - below
}

func TestUpperTailEqualsTheSum(t *testing.T) {
	for _, mu := range []float64{0.01, 0.5, 3, 40, 900} {
		for _, a := range []float64{0.02, 0.5, 2, 20} {
			for _, y := range []int64{1, 2, 5, 17, 100, 1000} {
				got, want := UpperTail(y, mu, a), pmfSum(y, mu, a)
				if want > 1e-9 && math.Abs(got-want) > 1e-6*want+1e-12 {
					t.Errorf("UpperTail(%d, %g, %g) = %g, want %g", y, mu, a, got, want)
				}
				if low := lowerTail(y-1, mu, a); math.Abs(low+got-1) > 1e-9 {
					t.Errorf("tails of (%d, %g, %g) add up to %g", y, mu, a, low+got)
				}
			}
		}
	}
}

func TestTailIsMonotoneAndKeepsTinyValues(t *testing.T) {
	last := 1.0
	for y := int64(1); y < 5000; y += 7 {
		p := UpperTail(y, 4, 0.3)
		if p > last || math.IsNaN(p) {
			t.Fatalf("UpperTail(%d) = %g after %g", y, p, last)
		}
		last = p
	}
	if p := UpperTail(200, 4, 0.02); p <= 0 || p > 1e-60 {
		t.Errorf("a tail far out is %g", p)
	}
}

const size = int64(5 * time.Minute)

func TestLearnsTheSeason(t *testing.T) {
	var s State
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano() // a Monday
	for at := start; at < start+14*int64(24*time.Hour); at += size {
		n := int64(2)
		if h := time.Unix(0, at).UTC().Hour(); h >= 9 && h < 17 {
			n = 60
		}
		s.Learn(at, size, n)
	}
	noon := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC).UnixNano()
	night := time.Date(2026, 3, 17, 3, 0, 0, 0, time.UTC).UnixNano()
	if mu := s.Expected(noon, size); mu < 45 || mu > 62 {
		t.Errorf("expected count at noon %g, want about 60", mu)
	}
	if mu := s.Expected(night, size); mu < 1.5 || mu > 8 {
		t.Errorf("expected count at night %g, want near 2", mu)
	}
	if !s.Ready(night, int64(24*time.Hour)) || s.Ready(start, 1) {
		t.Error("Ready does not follow the time learned")
	}
}

// Silence must teach zeros: an entity with calls in one window a day does not have them
// in every window.
func TestSilenceIsLearned(t *testing.T) {
	var s, all State
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()
	for day := int64(0); day < 10; day++ {
		for at := start + day*int64(24*time.Hour); at < start+(day+1)*int64(24*time.Hour); at += size {
			n := int64(0)
			if at == start+day*int64(24*time.Hour) {
				n = 288
				s.Learn(at, size, n)
			}
			all.Learn(at, size, n)
		}
	}
	s.Skip(all.Until, size)
	for h := int64(0); h < 48; h++ {
		at := start + h*int64(time.Hour)
		if a, b := s.Expected(at, size), all.Expected(at, size); math.Abs(a-b) > 0.02*(b+0.1) {
			t.Errorf("hour %d: learned by gaps %g, window by window %g", h, a, b)
		}
	}
}

func TestSlots(t *testing.T) {
	f := func(at string, want int) {
		t.Helper()
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := slot(when.UnixNano()); got != want {
			t.Errorf("slot(%s) = %d, want %d", at, got, want)
		}
	}
	f("2026-11-20T13:59:59Z", 13)    // Friday
	f("2026-11-21T00:00:00Z", 24)    // Saturday
	f("2026-11-22T23:00:00Z", 24+23) // Sunday
	f("2026-11-23T00:00:00Z", 0)     // Monday
}

// Student's t compared with the table of Abramowitz and Stegun (26.10), and its limits.
func TestStudentTail(t *testing.T) {
	for _, c := range []struct{ t, nu, want float64 }{{6.314, 1, 0.05}, {2.764, 10, 0.01}, {2.457, 30, 0.01}, {4.587, 10, 0.0005}, {0, 7, 0.5}} {
		if got := StudentTail(c.t, c.nu); math.Abs(got-c.want) > 1e-3*c.want {
			t.Errorf("StudentTail(%g, %g) = %g, want %g", c.t, c.nu, got, c.want)
		}
	}
}

func BenchmarkUpperTail(b *testing.B) {
	for b.Loop() {
		UpperTail(137, 22.5, 0.4)
	}
}

// The weights by formula equal the sum over every minute.
func TestWeightsEqualTheSum(t *testing.T) {
	minute := int64(time.Minute)
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		until := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano() + rng.Int64N(20_000)*minute
		since := until - rng.Int64N(1+int64(1)<<rng.IntN(16))*minute
		var want [Slots]float64
		all := 0.0
		for at := since; at < until; at += minute {
			w := fade(until-at-minute/2) * float64(minute)
			want[slot(at)] += w
			all += w
		}
		if got := allWeight(since, until); math.Abs(got-all) > 1e-6*all+1 {
			t.Errorf("seed %d: all weigh %g, want %g", seed, got, all)
		}
		for i, w := range want {
			if got := slotWeight(i, since, until); math.Abs(got-w) > 1e-6*w+1e4 { // rounding: 10 us
				t.Errorf("seed %d: slot %d weighs %g, want %g", seed, i, got, w)
			}
		}
	}
}

func BenchmarkExpected(b *testing.B) {
	var s State
	s.Learn(1_700_000_000e9, size, 10)
	s.Skip(1_701_000_000e9, size)
	for b.Loop() {
		s.Expected(1_701_000_000e9, size)
	}
}

func BenchmarkLearn(b *testing.B) {
	var s State
	at := int64(1_700_000_000e9)
	for b.Loop() {
		s.Learn(at, size, 10)
		at += size
	}
}

// TestStateIsSmall: a million of them fit into 250 MB.
func TestStateIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(State{}); n > 250 {
		t.Errorf("a state takes %d bytes, want at most 250", n)
	}
}

// lowerTail returns the probability that the count is at most y.
func lowerTail(y int64, mu, a float64) float64 {
	if mu <= 0 {
		return 1
	}
	r := 1 / a
	return incompleteBeta(r, float64(y)+1, r/(r+mu))
}
