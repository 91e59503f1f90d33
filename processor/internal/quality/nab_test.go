package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// example is a series of 100 values with windows of ten, of which the first 15 are not scored.
func example(scores map[int]float64) *series {
	s := &series{values: make([]float64, 100), scores: make([]float64, 100), windows: []label{{20, 29}, {60, 69}}}
	for i, v := range scores {
		s.scores[i] = v
	}
	return s
}

// TestNABScoring checks the NAB paper's scores of single detections.
func TestNABScoring(t *testing.T) {
	standard := profiles[0]
	f := func(what string, scores map[int]float64, want float64) {
		t.Helper()
		if got := example(scores).raw(1, standard); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	s := func(y float64) float64 { return 2/(1+math.Exp(5*y)) - 1 }
	f("nothing", nil, -2)
	f("both at once", map[int]float64{20: 1, 60: 1}, 2)
	f("the last of a window", map[int]float64{29: 1, 60: 1}, 1+s(-0.1)/s(-1))
	f("only the earliest counts", map[int]float64{24: 1, 25: 9, 60: 1}, 1+s(-0.6)/s(-1))
	f("in the probation", map[int]float64{3: 9, 20: 1, 60: 1}, 2)
	f("before all windows", map[int]float64{16: 9, 20: 1, 60: 1}, 2-0.11)
	f("just behind one", map[int]float64{20: 1, 30: 1, 60: 1}, 2+0.11*s(1.0/9))
	f("far behind one", map[int]float64{20: 1, 59: 1, 60: 1}, 2-0.11)
	f("below the threshold", map[int]float64{20: 0.9, 60: 1}, 0)
	if got := example(map[int]float64{60: 1}).raw(1, profiles[2]); got != 1-2 {
		t.Errorf("one of two missed, where that costs twice: %v", got)
	}
}

// TestNABOptimal compares the fast search for the best threshold with the plain one.
func TestNABOptimal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		list := []*series{example(nil), example(nil)}
		for _, s := range list {
			for i := range s.scores {
				s.scores[i] = math.Max(0, float64(r.IntN(40)-20))
			}
		}
		for _, p := range profiles {
			best := 0.0
			for threshold := 1.0; threshold <= 20; threshold++ {
				best = math.Max(best, normalized(list, threshold, p))
			}
			score, threshold := optimal(list, p)
			if math.Abs(score-best) > 1e-9 || score > 0 && math.Abs(normalized(list, threshold, p)-best) > 1e-9 {
				t.Fatalf("%s: %v at %v, want %v", p.name, score, threshold, best)
			}
		}
	}
}

func TestNABNormalized(t *testing.T) {
	for _, p := range profiles {
		null := []*series{example(nil), example(nil)}
		perfect := []*series{example(map[int]float64{20: 1, 60: 1}), example(map[int]float64{20: 2, 60: 3})}
		if a, b := normalized(null, 1, p), normalized(perfect, 1, p); math.Abs(a) > 1e-9 || math.Abs(b-100) > 1e-9 {
			t.Errorf("%s: nothing gives %v and everything %v, want 0 and 100", p.name, a, b)
		}
		mixed := []*series{example(map[int]float64{16: 2, 20: 5, 60: 5})}
		if score, threshold := optimal(mixed, p); math.Abs(score-100) > 1e-9 || threshold != 5 {
			t.Errorf("%s: the best is %v at %v, want 100 at 5", p.name, score, threshold)
		}
	}
}

// TestNABFiles reads the real files, if available.
func TestNABFiles(t *testing.T) {
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "nab-realAWSCloudWatch")); err != nil {
		t.Skipf("NAB IS NOT READ: %v. KEYTRAIL_DATA must name the folder with nab-realAWSCloudWatch.", err)
	}
	n := runNAB(dir)
	if n.err != nil || n.files != 17 || n.windows != 30 || n.values < 60_000 || len(n.rows) != 5 {
		t.Fatalf("%d files, %d windows, %d values, %d methods: %v", n.files, n.windows, n.values, len(n.rows), n.err)
	}
	for _, r := range n.rows {
		for i, score := range r.scores {
			if r.usual != nil && score < r.usual[i] || score > 100 || math.IsNaN(score) {
				t.Errorf("%s, %s: the best score %v is not above those of the usual threshold, %v", r.name, profiles[i].name, score, r.usual)
			}
		}
	}
}

func TestNABSaysWhatIsMissing(t *testing.T) {
	if n := runNAB(t.TempDir()); n.err == nil {
		t.Error("no error without files")
	}
}

// TestNABLeaveOut checks that a file's own values do not choose its threshold: with the
// other file's, a mistake in one is a detection, and a window of the other is missed.
func TestNABLeaveOut(t *testing.T) {
	low := example(map[int]float64{16: 1, 20: 2, 60: 2})
	high := example(map[int]float64{16: 4, 20: 5, 60: 5})
	p := profiles[0]
	want := 100 * ((-2) + (2 - p.mistaken) + 4) / 8 // low with 5: silent; high with 2: one mistake
	if got := leaveOut([]*series{low, high}, p); math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}
