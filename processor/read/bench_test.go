package read_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/read"
	"keytrail/schemas/corpus"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// BenchmarkRecords measures the way from a file of a trail to encoded log records. An
// operation is one file of corpus.FileRecords records. cpu-ns/record is CPU time, which the
// load of the machine changes less.
func BenchmarkRecords(b *testing.B) {
	const files = 8
	var texts [files][]byte
	for i := range texts {
		_, texts[i], _ = corpus.File(i)
	}
	var counts read.Counts
	config := read.Config{
		Counts: &counts, Now: time.Now, Dead: nil,
		Record: func(context.Context, *decoding.Origin, *otellog.Record) error { return nil },
	}
	config.Encoded = true
	in := read.NewRecords(config)
	start := userTime()
	for i := 0; b.Loop(); i++ {
		if err := in.Bytes(b.Context(), texts[i%files], "a"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(userTime()-start)/float64(b.N*corpus.FileRecords), "cpu-ns/record")
}

func userTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano()
}
