package generate

import "testing"

// BenchmarkEvents makes the demo's trail: three days, 60,000 records.
func BenchmarkEvents(b *testing.B) {
	g, err := New(Config{Events: 60_000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		bytes, records := 0, 0
		for event := range g.Events() {
			bytes += len(event.JSON)
			records++
		}
		b.SetBytes(int64(bytes))
		b.ReportMetric(float64(records), "records/op")
	}
}

// BenchmarkWriteFiles makes it and writes it, packed.
func BenchmarkWriteFiles(b *testing.B) {
	g, err := New(Config{Events: 60_000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.WriteFiles(b.TempDir(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
