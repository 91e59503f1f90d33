package scan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// at returns a call at a minute after 09:00.
func at(minute int, operation string) string {
	e := strings.Replace(call(fmt.Sprintf("ffffffff-0000-4000-8000-%012d", minute), asRole), `"Decrypt"`, `"`+operation+`"`, 1)
	return strings.Replace(e, "09:00:00Z", fmt.Sprintf("%02d:%02d:00Z", 9+minute/60, minute%60), 1)
}

// TestEndsOfAScan: an anomaly of a rule ends an hour after its call, when the input goes on
// for that long; the last ones stay open.
func TestEndsOfAScan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail.json")
	events := []string{at(2, "ScheduleKeyDeletion"), at(40, "DisableKey"), at(64, "Decrypt"), at(110, "DisableKey")}
	if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(events, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ends, found := map[string]string{}, map[string]*anomaly.Anomaly{}
	cfg := scan.Config{Detect: window.DefaultConfig(), Workers: 1, Now: time.Unix(5, 0), DeadLetter: func(d *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", d.Detail)
		return nil
	}}
	cfg.Detect.Rollups = []int64{int64(4 * time.Hour)} // which ends after the input
	cfg.Ended = func(rec *otellog.Record) {
		id := rec.Str(semconv.KeytrailAnomalyID)
		if found[id] == nil || ends[id] != "" {
			t.Errorf("%s ended %q before, and was found: %v", id, ends[id], found[id] != nil)
		}
		ends[id] = rec.Str(semconv.KeytrailAnomalyDetector) + time.Unix(0, rec.Time).UTC().Format(" 15:04 ") + rec.Str(semconv.KeytrailAnomalyState)
	}
	s := scan.New(cfg)
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	totals, err := s.Finish(func(r *window.Result) error {
		for i := range r.Anomalies {
			a := r.Anomalies[i]
			found[a.ID] = &a
		}
		return nil
	})
	if err != nil || totals.Anomalies != 3 {
		t.Fatalf("%d anomalies: %v", totals.Anomalies, err)
	}
	got := map[string]bool{}
	for _, end := range ends {
		got[end] = true
	}
	if len(ends) != 2 || !got["key_deletion_scheduled 10:02 ended"] || !got["key_disabled 10:40 ended"] {
		t.Errorf("ended: %v", ends)
	}
}
