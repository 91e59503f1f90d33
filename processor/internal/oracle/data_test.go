package oracle

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// dataDir returns the folder of real events: KEYTRAIL_DATA, else shared/data beside the
// repository. It skips the test without one.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("cannot find go.mod above the test's folder")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("NO REAL DATA: %v. Set KEYTRAIL_DATA to the folder with invictus-ir/ to judge real events.", err)
	}
	return dir
}

// TestRealData counts the collected events. Another program computed the expected numbers
// once, from the event sources and ids only.
func TestRealData(t *testing.T) {
	dir := dataDir(t)
	f := func(name string, want Result) {
		t.Helper()
		got, err := Count([]string{filepath.Join(dir, name)}, 5*time.Minute)
		if err != nil {
			t.Error(err)
			return
		}
		t.Logf("%s: received %d, counted %d, duplicates %d, filtered %d, bad %d, rows %d",
			name, got.Received, got.Counted, got.Duplicates, got.Filtered, got.Bad, len(got.Rows))
		if got.Received != want.Received || got.Counted != want.Counted || got.Duplicates != want.Duplicates ||
			got.Filtered != want.Filtered || got.Bad != want.Bad {
			t.Errorf("%s: want %+v", name, want)
		}
	}
	f("invictus-ir/kms_events.ndjson", Result{Received: 240, Counted: 240})
	f("awsdocs-kms-developer-guide/kms_events.ndjson", Result{Received: 68, Counted: 56, Duplicates: 12})
	// One event has retiringPrincipal twice.
	f("seeds/kms_events.ndjson", Result{Received: 8, Counted: 7, Bad: 1})
	f("seeds/malformed_decrypt_000.txt", Result{Received: 1, Bad: 1})
	f("shapes-2025/kms_events_2025_shape_exemplars.ndjson", Result{Received: 3, Counted: 3})
	// The second is an event of EventBridge itself.
	f("shapes-2025/rotatekey_2025_and_eventbridge.ndjson", Result{Received: 2, Counted: 1, Bad: 1})
	// Two are CopyObject; the others share six invented event ids.
	f("panther-analysis/panther-analysis_rule_tests.ndjson", Result{Received: 14, Counted: 6, Duplicates: 6, Filtered: 2})
	f("traildiscover", Result{Received: 2, Counted: 2})
}

// TestRealTrail counts the invictus trail as delivered: 55 files.
func TestRealTrail(t *testing.T) {
	archive, err := os.Open(filepath.Join(dataDir(t), "invictus-ir", "raw_all_cloudtrail.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	inflated, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	j, err := New(5 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for entries := tar.NewReader(inflated); ; {
		entry, err := entries.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(entry.Name) != ".json" { // a folder, a licence and a README
			continue
		}
		text, err := io.ReadAll(io.LimitReader(entries, MaxFileBytes))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.AddText(text); err != nil {
			t.Fatalf("%s: %v", entry.Name, err)
		}
		files++
	}
	r := j.Result()
	t.Logf("%d files: received %d, counted %d, duplicates %d, filtered %d, bad %d, rows %d",
		files, r.Received, r.Counted, r.Duplicates, r.Filtered, r.Bad, len(r.Rows))
	// 240 KMS events and 15 trail changes, each delivered once.
	if files != 55 || r.Received != 2900 || r.Counted != 255 || r.Duplicates != 0 || r.Filtered != 2645 || r.Bad != 0 {
		t.Errorf("totals differ from the trail's: %+v", Result{Received: r.Received, Counted: r.Counted, Duplicates: r.Duplicates, Filtered: r.Filtered, Bad: r.Bad})
	}
	classes := map[string]int{}
	for _, row := range r.Rows {
		if row.Scope == "principal" {
			for class, n := range row.Classes {
				classes[class] += n
			}
		}
	}
	if classes["decrypt"] != 178 || classes["encrypt"] != 42 || classes["generate"] != 20 || classes["trail"] != 15 {
		t.Errorf("calls by class: %v", classes)
	}
}
