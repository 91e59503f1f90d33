package scan_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/generate"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/body"
	"keytrail/schemas/body/bodytest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// publishedByScan calls f with the records of all windows and anomalies of a trail with
// attacks, decoded from the bytes that Kafka would hold.
func publishedByScan(t *testing.T, f func(r *otellog.Record)) {
	t.Helper()
	g, err := generate.New(generate.Config{Seed: 7, Events: 20_000, Duration: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	cfg := window.DefaultConfig()
	s := scan.New(scan.Config{Detect: cfg, Workers: 1, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", d.Detail)
		return nil
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{filepath.Join(dir, "AWSLogs")})); err != nil {
		t.Fatal(err)
	}
	var made, r otellog.Record
	publish := func() {
		if err := r.Decode(otellog.AppendRequest(nil, &made)); err != nil {
			t.Fatal(err)
		}
		f(&r)
	}
	if _, err := s.Finish(func(result *window.Result) error {
		anomaly.WindowRecord(&made, result.Window, int64(cfg.Size), 1)
		publish()
		for i := range result.Anomalies {
			anomaly.AnomalyRecord(&made, &result.Anomalies[i], 1)
			publish()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// The windows and anomalies of a trail with attacks keep, in each body, the rules of the
// body's format.
func TestBodiesOfAScan(t *testing.T) {
	encoders := map[string]body.Encoder{}
	for _, name := range body.Names() {
		var err error
		if encoders[name], err = body.New(name); err != nil {
			t.Fatal(err)
		}
	}
	windows, kinds := 0, map[string]int{}
	publishedByScan(t, func(r *otellog.Record) {
		if r.EventName == semconv.EventKeytrailAnomaly {
			kinds[r.Str(semconv.KeytrailAnomalyKind)]++
		} else if windows++; windows%20 != 0 && r.Get(semconv.KeytrailWindowAnomaliesTotal).Int == 0 {
			return
		}
		for name, e := range encoders {
			text, err := e.Append(nil, r)
			if err != nil {
				t.Fatal(err)
			}
			bodytest.Check(t, name, r, text)
		}
	})
	if windows < 1000 || len(kinds) < 3 {
		t.Errorf("%d windows, anomalies %v: too few to say anything", windows, kinds)
	}
}
