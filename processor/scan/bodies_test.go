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
	"keytrail/schemas/wire"
)

// Every window and anomaly of a trail with attacks keeps, in each body, the rules of the
// body's format.
func TestBodiesOfAScan(t *testing.T) {
	g, err := generate.New(generate.Config{Seed: 7, Events: 20_000, Duration: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	encoders := map[string]body.Encoder{}
	for _, name := range body.Names() {
		if encoders[name], err = body.New(name); err != nil {
			t.Fatal(err)
		}
	}
	cfg := window.DefaultConfig()
	var made, r otellog.Record
	check := func() {
		if err := r.Decode(otellog.AppendRequest(nil, &made)); err != nil {
			t.Fatal(err)
		}
		for name, e := range encoders {
			text, err := e.Append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			bodytest.Check(t, name, &r, text)
		}
	}
	s := scan.New(scan.Config{Detect: cfg, Workers: 1, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", d.Detail)
		return nil
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{filepath.Join(dir, "AWSLogs")})); err != nil {
		t.Fatal(err)
	}
	windows, kinds := 0, map[anomaly.Kind]int{}
	if _, err := s.Finish(func(result *window.Result) error {
		if windows++; windows%20 == 0 || len(result.Anomalies) > 0 {
			anomaly.WindowRecord(&made, result.Window, int64(cfg.Size), 1)
			check()
		}
		for i := range result.Anomalies {
			kinds[result.Anomalies[i].Kind]++
			anomaly.AnomalyRecord(&made, &result.Anomalies[i], 1)
			check()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if windows < 1000 || len(kinds) < 3 {
		t.Errorf("%d windows, anomalies %v: too few to say anything", windows, kinds)
	}
}
