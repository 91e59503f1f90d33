package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// BenchmarkFleet prints what the history of 100,000 entities costs: 35 days with 100,000
// anomalies, and a day with a million events. It fills them once, in a minute or two.
func BenchmarkFleet(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "h.db"), DefaultLimits())
	rng := rand.New(rand.NewPCG(1, 1))
	const days, entities = 35, 100_000
	commit := func(i int) {
		if i%20_000 == 0 {
			if err := s.Commit(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range 100_000 {
		start := base + rng.Int64N(days*288)*300
		e := Entity{"pair", fmt.Sprint("key-", rng.IntN(entities)), fmt.Sprint("principal-", rng.IntN(entities/10))}
		if err := s.Add(anomalyOf(fmt.Sprintf("%032x", i), e, start, 1, "rate", "high", 6+10*rng.Float64())); err != nil {
			b.Fatal(err)
		}
		if err := s.Add(windowOf(e, start, 300, 1, 40)); err != nil {
			b.Fatal(err)
		}
		commit(2 * i)
	}
	last := (base + days*86400) * 1000
	for i := range 1_000_000 {
		if err := s.AddEvent(eventOf(rng.IntN(1_000_000), last-rng.Int64N(86_400_000)), Place{int64(i % 12), int64(i)}); err != nil {
			b.Fatal(err)
		}
		commit(i)
	}
	commit(0)
	used, err := s.used(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("overview", func(b *testing.B) {
		for b.Loop() {
			v := View{Scope: "key", From: base, Until: base + days*86400, Bucket: 4 * 3600, Rows: 25}
			if o, err := s.Overview(b.Context(), v); err != nil || len(o.Rows) != 25 {
				b.Fatal(err, len(o.Rows))
			}
		}
		b.ReportMetric(float64(used)/1e6, "MB")
	})
	b.Run("overview-of-names", func(b *testing.B) {
		for b.Loop() {
			v := View{Scope: "key", From: base, Until: base + days*86400, Bucket: 4 * 3600, Rows: 25, Text: "Key-7"}
			if o, err := s.Overview(b.Context(), v); err != nil || len(o.Rows) != 25 {
				b.Fatal(err, len(o.Rows))
			}
		}
	})
	b.Run("search", func(b *testing.B) {
		for b.Loop() {
			q := Search{From: last - 86_400_000, Until: last, Key: "key-3", Error: "AccessDenied", Limit: 100, Scan: 1 << 40}
			if f, err := s.Events(b.Context(), q); err != nil || f.Scanned != 1_000_000 {
				b.Fatal(err, f.Scanned)
			}
		}
	})
}
