package count

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/otellog"
)

// BenchmarkFromRecord goes from the bytes of a log record to the call, as stage count
// does.
func BenchmarkFromRecord(b *testing.B) {
	data := otellog.AppendRequest(nil, record(b, decrypt, normalize.Options{}))
	var rec otellog.Record
	var c Call
	b.ReportAllocs()
	for b.Loop() {
		if err := rec.DecodeOnly(data, Attributes); err != nil {
			b.Fatal(err)
		}
		FromRecord(&rec, &c)
	}
}

// BenchmarkTableAdd counts commits of 20,000 calls; the figures are for one
// call.
func BenchmarkTableAdd(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	calls := make([]Call, 20_000)
	for i := range calls {
		calls[i] = randomCall(rng, i)
	}
	table := NewTable(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(calls) == 0 {
			table.Reset()
		}
		table.Add(&calls[i%len(calls)], 1)
	}
}

// BenchmarkTableLearn learns from commits of 20,000 calls that all name one of
// 100 aliases; the figures are for one call. A call that names none costs nothing
// that could be measured.
func BenchmarkTableLearn(b *testing.B) {
	calls := make([]Call, 20_000)
	for i := range calls {
		calls[i] = Call{Time: begin + int64(i)*1e6, Key: keyA, Shown: Shown{Alias: fmt.Sprint(alias, i%100)}}
	}
	table := NewTable(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(calls) == 0 {
			table.Reset()
		}
		table.Learn(&calls[i%len(calls)])
	}
}
