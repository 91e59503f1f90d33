package stream

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/generate"
	"keytrail/processor/window"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// The cost per event of the detectors and their state: partials are merged, windows close
// and are judged, and changed entities are packed for the changelog. The trail is an hour
// of 500 KMS keys and 1,000 principals, as in bench/stream, in commits of 20,000 calls;
// Kafka, frames and published records are excluded.
//
// User time includes garbage collection, and other programs do not add to it.
//
//	go test -run '^$' -bench DetectEvents ./processor/stream
func BenchmarkDetectEvents(b *testing.B) {
	const commit = 20_000
	cfg := window.DefaultConfig()
	calls := trailCalls(b, generate.Config{Seed: 1, Events: 200_000, Keys: 500, Principals: 1000, Duration: time.Hour, Scenarios: []string{}})
	var commits [][]wire.Partial
	table, partials := count.NewTable(cfg.Size), 0
	for part := range slices.Chunk(calls, commit) {
		for i := range part {
			table.Add(&part[i], 1)
		}
		var e wire.Encoder
		f, err := wire.NewDecoder(wire.AppendFrame(nil, &e, &wire.Frame{Partials: listed(table)})).Frame()
		if err != nil {
			b.Fatal(err)
		}
		commits = append(commits, f.Partials)
		partials += len(f.Partials)
		table.Reset()
	}
	b.ReportAllocs()
	windows, start := 0, userTime()
	for b.Loop() {
		engine, progress := window.NewEngine(cfg, nil), eventtime.Progress{Disorder: int64(15 * time.Minute), Skew: int64(time.Minute)}
		for k := range commits {
			for i := range commits[k] {
				engine.Merge(&commits[k][i])
			}
			progress.Observe(calls[min((k+1)*commit, len(calls))-1].Time, 1<<62)
			engine.Advance(cfg.MarkAt(progress.Watermark()), 1<<30, func(window.Result) { windows++ })
			engine.Changes(func(string, []byte) {}, func(string) {})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(calls)), "ns/event")
	b.ReportMetric(float64(userTime()-start)/float64(b.N*len(calls)), "cpu-ns/event")
	b.ReportMetric(float64(len(calls))/float64(partials), "events/partial")
	b.ReportMetric(float64(windows)/float64(b.N), "windows")
}

func listed(t *count.Table) (list []wire.Partial) {
	for p := range t.All() {
		list = append(list, *p)
	}
	return list
}

// trailCalls returns the calls of a generated trail.
func trailCalls(b *testing.B, cfg generate.Config) (calls []count.Call) {
	var c count.Call
	trailRecords(b, cfg, func(rec *otellog.Record) {
		count.FromRecord(rec, &c)
		calls = append(calls, c.Clone())
	})
	return calls
}

// trailRecords calls f for each event of a generated trail.
func trailRecords(t testing.TB, cfg generate.Config, f func(*otellog.Record)) {
	t.Helper()
	g, err := generate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	norm, dec := normalize.New(normalize.Options{}), cloudtrail.NewDecoder(decoding.Limits{})
	var rec otellog.Record
	for e := range g.Events() {
		var ev cloudtrail.Event
		if dec.Decode(e.JSON, &ev) != nil {
			continue
		}
		if ok, err := norm.Record(&ev, 0, &rec); ok && err == nil {
			f(&rec)
		}
	}
}

// userTime returns the process's user time in ns.
func userTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano()
}
