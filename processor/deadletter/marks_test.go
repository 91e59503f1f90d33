package deadletter

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzMarks: a marker names the places that it was made of, and no others.
func FuzzMarks(f *testing.F) {
	f.Add(uint64(1), 10)
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		random := rand.New(rand.NewPCG(seed, 1))
		var places []Place
		for range max(0, min(n, 1000)) {
			places = append(places, Place{random.Int32N(3), random.Int64N(200) + 65_400})
		}
		m := marks{}
		if err := m.parse(ranges(slices.Clone(places))); err != nil {
			t.Fatal(err)
		}
		for p := range int32(4) {
			for at := int64(65_300); at < 65_700; at++ {
				if place := (Place{p, at}); m.has(place) != slices.Contains(places, place) {
					t.Fatalf("%v: marked %v", place, m.has(place))
				}
			}
		}
	})
}

// TestPlaces: what is not a place or a range is an error.
func TestPlaces(t *testing.T) {
	for _, text := range []string{"", "1", "/", "1/", "-1/2", "1/-2", "1/2/3", "a/2", "4294967296/1"} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q: %v, want an error", text, p)
		}
	}
	for _, text := range []string{"0/5-4", "0/1-x", "0/1-9223372036854775807", "x"} {
		if err := (marks{}).parse(text); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}
