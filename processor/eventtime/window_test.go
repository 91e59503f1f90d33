package eventtime_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"keytrail/processor/eventtime"
)

const minute = int64(time.Minute)

func TestStart(t *testing.T) {
	f := func(at, size, want int64) {
		t.Helper()
		if got := eventtime.Start(at, size); got != want {
			t.Errorf("Start(%d, %d) = %d, want %d", at, size, got, want)
		}
	}
	f(0, 5, 0)
	f(4, 5, 0)
	f(5, 5, 5)
	f(9, 5, 5)
	// before 1970: down, not towards zero
	f(-1, 5, -5)
	f(-5, 5, -5)
	f(-6, 5, -10)
	f(7, 1, 7)
	f(-7, 1, -7)
	// aligned to midnight UTC, whatever the day
	day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	f(day.Add(26*time.Hour).UnixNano()-1, int64(24*time.Hour), day.Add(24*time.Hour).UnixNano())
	f(day.Add(61*time.Second).UnixNano(), minute, day.Add(time.Minute).UnixNano())
}

// A window contains the times from its start on and before its end, and the next window
// begins at its end.
func TestStartTiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		size := 1 + rng.Int64N(int64(24*time.Hour))
		at := rng.Int64N(4e18) - 2e18
		s := eventtime.Start(at, size)
		if s > at || at >= s+size || s%size != 0 {
			t.Fatalf("Start(%d, %d) = %d", at, size, s)
		}
		if eventtime.Start(s, size) != s || eventtime.Start(s+size-1, size) != s || eventtime.Start(s+size, size) != s+size || eventtime.Start(s-1, size) != s-size {
			t.Fatalf("the windows beside %d of size %d do not meet it", s, size)
		}
	}
}

// Sums and differences are the int64 nearest to the exact value, and windows tile all
// time.
func TestTotal(t *testing.T) {
	near := func(v *big.Int) int64 {
		switch {
		case v.Cmp(big.NewInt(math.MaxInt64)) > 0:
			return math.MaxInt64
		case v.Cmp(big.NewInt(math.MinInt64)) < 0:
			return math.MinInt64
		}
		return v.Int64()
	}
	rng := rand.New(rand.NewPCG(1, 5))
	for range 200_000 {
		a, b := anyInt64(rng), anyInt64(rng)
		x, y := big.NewInt(a), big.NewInt(b)
		if got, want := eventtime.Add(a, b), near(new(big.Int).Add(x, y)); got != want {
			t.Fatalf("Add(%d, %d) = %d, want %d", a, b, got, want)
		}
		if got, want := eventtime.Sub(a, b), near(new(big.Int).Sub(x, y)); got != want {
			t.Fatalf("Sub(%d, %d) = %d, want %d", a, b, got, want)
		}
		size := 1 + (b & math.MaxInt64 >> rng.IntN(40))
		if size <= 0 {
			size = math.MaxInt64
		}
		quotient := new(big.Int).Div(x, big.NewInt(size)) // Euclidean: rounds down
		start := quotient.Mul(quotient, big.NewInt(size))
		if got, want := eventtime.Start(a, size), near(start); got != want {
			t.Fatalf("Start(%d, %d) = %d, want %d", a, size, got, want)
		}
		if got, want := eventtime.End(a, size), near(start.Add(start, big.NewInt(size))); got != want {
			t.Fatalf("End(%d, %d) = %d, want %d", a, size, got, want)
		}
	}
}

func TestInRange(t *testing.T) {
	f := func(at int64, want bool) {
		t.Helper()
		if eventtime.InRange(at) != want {
			t.Errorf("InRange(%d) = %v", at, !want)
		}
	}
	f(math.MinInt64, false)
	f(-1, false)
	f(0, false)
	f(1, true)
	f(time.Date(2261, 12, 31, 23, 59, 59, 999_999_999, time.UTC).UnixNano(), true)
	f(time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano(), false)
	f(math.MaxInt64, false)
}
