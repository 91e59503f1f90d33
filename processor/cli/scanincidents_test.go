package cli_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/schemas/semconv"
)

// TestScanIncidents: every anomaly of a scan is in one incident, and acts are together.
func TestScanIncidents(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 5, Duration: 8 * 24 * time.Hour, Events: 30_000, Keys: 20, Principals: 30})
	want := map[string]bool{}
	for _, r := range each(t, keytrail(t, nil, "scan", "-o", "json", trail).wants(t, 0).stdout, parse) {
		if r.EventName == semconv.EventKeytrailAnomaly {
			want[r.str(semconv.KeytrailAnomalyID)] = true
		}
	}
	out := keytrail(t, nil, "scan", "-o", "json", "--incidents", trail).wants(t, 0, " incident")
	got, incidents, most := map[string]bool{}, 0, int64(0)
	for _, r := range each(t, out.stdout, validated) {
		if r.EventName != semconv.EventKeytrailIncident {
			t.Fatalf("a record of %s", r.EventName)
		}
		incidents++
		parts := r.attrs[semconv.KeytrailIncidentParts].GetArrayValue().GetValues()
		if n := r.int(semconv.KeytrailIncidentCountAnomalies); n != int64(len(parts)) {
			t.Fatalf("%d anomalies are counted, and %d are listed", n, len(parts))
		} else if most = max(most, n); r.GetBody().GetStringValue() == "" || r.str(semconv.KeytrailIncidentReason) != r.GetBody().GetStringValue() {
			t.Errorf("the sentence is %q", r.GetBody().GetStringValue())
		}
		for _, v := range parts {
			id := v.GetStringValue()
			if got[id] || !want[id] {
				t.Errorf("anomaly %s is in several incidents, or is unknown", id)
			}
			got[id] = true
		}
	}
	if len(got) != len(want) || len(want) < 10 || incidents >= len(want) || most < 2 {
		t.Errorf("%d incidents have %d of %d anomalies, at most %d each", incidents, len(got), len(want), most)
	}
	for _, r := range each(t, out.stdout, validated)[:1] {
		id := r.str(semconv.KeytrailIncidentID)
		first := r.attrs[semconv.KeytrailIncidentParts].GetArrayValue().GetValues()[0].GetStringValue()
		file := filepath.Join(t.TempDir(), "incidents.ndjson")
		if err := os.WriteFile(file, []byte(out.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		shown := keytrail(t, nil, "explain", id[:12], "--from", file).wants(t, 0).stdout
		for _, want := range []string{r.GetBody().GetStringValue(), id, "  " + first + "\n", "severity "} {
			if !strings.Contains(shown, want) {
				t.Errorf("explain shows no %q:\n%s", want, shown)
			}
		}
	}
	table := keytrail(t, nil, "scan", "-o", "table", "--incidents", trail).wants(t, 0)
	if n := len(lines(table.stdout)); n != incidents {
		t.Errorf("the table has %d lines for %d incidents", n, incidents)
	}
	rows, err := csv.NewReader(strings.NewReader(keytrail(t, nil, "scan", "-o", "csv", "--incidents", trail).wants(t, 0).stdout)).ReadAll()
	if err != nil || len(rows) != incidents+1 {
		t.Errorf("CSV has %d rows for %d incidents (%v)", len(rows), incidents, err)
	}
}
