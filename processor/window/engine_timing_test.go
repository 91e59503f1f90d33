package window_test

import (
	"math/rand/v2"
	"testing"

	"keytrail/processor/count"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// BenchmarkEngine merges and judges the calls of 10,000 entities (100 KMS keys,
// 1,900 principals and 8,000 pairs), in five commits of 4,000 calls a window.
// One operation is a window with all of its 20,000 calls; with the packing of
// what changes, for the changelog.
func BenchmarkEngine(b *testing.B) {
	const calls, commits = 20_000, 5
	rng := rand.New(rand.NewPCG(1, 1))
	e := window.NewEngine(window.DefaultConfig(), nil)
	var batches [commits][]*wire.Partial
	merged := 0
	for i := range batches {
		table := count.NewTable(size)
		for n := range calls / commits {
			pair := (i*calls/commits + n) % 8000
			c := decrypt(begin+rng.Int64N(size), pair/80, pair%1900)
			c.Object = rng.Uint64N(300) + 1
			table.Add(&c, 1)
		}
		for p := range table.All() {
			batches[i] = append(batches[i], p)
		}
		merged += len(batches[i])
	}
	b.ReportAllocs()
	start := begin
	for b.Loop() {
		for k := range batches {
			for _, p := range batches[k] {
				p.Start = start
				if e.Merge(p) {
					b.Fatal("a partial is late")
				}
			}
			if k == commits-1 {
				start += size
			}
			e.Advance(e.MarkAt(start), 1<<30, func(window.Result) {})
			e.Changes(func(string, []byte) {}, func(string) {})
		}
	}
	if e.Len() != 10_000 {
		b.Fatalf("%d entities", e.Len())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*calls), "ns/call")
	b.ReportMetric(float64(merged), "partials/op")
}
