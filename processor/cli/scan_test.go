package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// operationClasses are the operation classes among a window's counts of calls.
var operationClasses = map[string]bool{
	"encrypt": true, "decrypt": true, "generate": true, "reencrypt": true, "sign": true, "verify": true, "mac": true, "random": true, "derive": true,
	"read": true, "manage": true, "grant": true, "destroy": true, "policy": true, "rotate": true, "replicate": true, "trail": true,
}

// oracleRows returns the oracle's counts by window, and its totals.
func oracleRows(t *testing.T, paths []string, size time.Duration) (map[string]string, *oracle.Result) {
	t.Helper()
	result, err := oracle.Count(paths, size)
	if err != nil {
		t.Fatal(err)
	}
	return rowTexts(result), result
}

func rowTexts(result *oracle.Result) map[string]string {
	rows := map[string]string{}
	for _, r := range result.Rows {
		var classes []string
		for c, n := range r.Classes {
			classes = append(classes, fmt.Sprintf("%s=%d", c, n))
		}
		slices.Sort(classes)
		rows[fmt.Sprintf("%s %q %q %s", r.Scope, r.Key, r.Principal, r.Start.UTC().Format(time.RFC3339))] =
			fmt.Sprintf("calls=%d denied=%d failed=%d %s", r.Calls, r.Denied, r.Failed, strings.Join(classes, " "))
	}
	return rows
}

// difference returns the first few differences between windows.
func difference(got, want map[string]string) string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			wrong = append(wrong, fmt.Sprintf("%s:\n got %q\nwant %q", name, got[name], want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			wrong = append(wrong, "a window that should not be: "+name+" "+got[name])
		}
	}
	if len(wrong) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d windows differ:\n%s", len(wrong), len(want), strings.Join(wrong[:min(5, len(wrong))], "\n"))
}

// windowsOf returns the windows among records; a window twice fails the test.
func windowsOf(t *testing.T, records []record) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, r := range records {
		if r.EventName != windowEvent {
			continue
		}
		name, text := windowText(r)
		if _, twice := found[name]; twice {
			t.Errorf("window %s came twice", name)
		}
		found[name] = text
	}
	return found
}

// equalsOracle scans paths and compares every window and the totals.
func equalsOracle(t *testing.T, paths ...string) []record {
	t.Helper()
	out := keytrail(t, nil, append([]string{"scan", "--windows", "all", "--window", "10m"}, paths...)...).wants(t, 0)
	records := each(t, out.stdout, validated)
	want, total := oracleRows(t, paths, 10*time.Minute)
	if text := difference(windowsOf(t, records), want); text != "" {
		t.Error(text)
	}
	out.wants(t, 0, fmt.Sprintf("%d records: %d calls counted, %d duplicates, %d filtered, %d dead letters; %d windows,",
		total.Received, total.Counted, total.Duplicates, total.Filtered, total.Bad, len(want)))
	return records
}

func TestScanEqualsTheOracle(t *testing.T) {
	_, dir := madeTrail(t, generate.Config{Seed: 11, Duration: 40 * time.Hour, Events: 2500, DuplicateShare: 0.1})
	records := equalsOracle(t, dir)
	kinds := map[string]int{}
	for _, r := range records {
		kinds[r.str("keytrail.anomaly.kind")]++
	}
	if len(kinds) < 4 { // "" are the windows
		t.Errorf("the trail's attacks gave only %v", kinds)
	}
}

// The original files of the invictus trail, from a third party.
func TestScanOfARealTrail(t *testing.T) {
	data := os.Getenv("KEYTRAIL_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	archive, err := os.Open(filepath.Join(data, "invictus-ir", "raw_all_cloudtrail.tar.gz"))
	if err != nil {
		t.Skipf("NO REAL DATA: %v. Set KEYTRAIL_DATA to the folder with invictus-ir/ to scan real files.", err)
	}
	defer archive.Close()
	zip, err := gzip.NewReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir, n := t.TempDir(), 0
	for in := tar.NewReader(zip); ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || filepath.Ext(h.Name) != ".json" {
			continue
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, filepath.Base(h.Name)), string(text))
	}
	if n < 50 {
		t.Fatalf("only %d entries in the archive", n)
	}
	if records := equalsOracle(t, dir); len(records) < 10 {
		t.Errorf("only %d records", len(records))
	}
}

// --windows selects windows, never anomalies.
func TestScanWindows(t *testing.T) {
	_, dir := madeTrail(t, generate.Config{Seed: 12, Duration: 40 * time.Hour, Events: 1500})
	count := map[string][2]int{} // anomalies and windows
	for _, choice := range []string{"all", "anomalous", "none", ""} {
		args := []string{"scan", dir}
		if choice != "" {
			args = append(args, "--windows="+choice)
		}
		anomalies, anomalous := 0, 0
		records := each(t, keytrail(t, nil, args...).wants(t, 0).stdout, parse)
		for _, r := range records {
			switch {
			case r.EventName == anomalyEvent:
				anomalies++
			case r.int("keytrail.window.anomalies.total") > 0:
				anomalous++
			}
		}
		count[choice] = [2]int{anomalies, len(records) - anomalies}
		if choice != "none" && anomalous == 0 {
			t.Errorf("--windows %s: no window with anomalies", choice)
		}
		if choice == "anomalous" && anomalous != len(records)-anomalies {
			t.Errorf("--windows anomalous: %d of %d windows have anomalies", anomalous, len(records)-anomalies)
		}
	}
	all, some, none := count["all"], count["anomalous"], count["none"]
	if all[0] != some[0] || all[0] != none[0] || all[0] == 0 {
		t.Errorf("the number of anomalies depends on --windows: %v", count)
	}
	if none[1] != 0 || some[1] == 0 || some[1] >= all[1] || count[""] != some {
		t.Errorf("anomalies and windows %v; want none < anomalous < all, and anomalous by default", count)
	}
}

// The same records in a pipe, in one gzip file, or in CloudTrail's own files
// give the same output except its time.
func TestScanInputs(t *testing.T) {
	_, dir := madeTrail(t, generate.Config{Seed: 13, Duration: 30 * time.Hour, Events: 1000})
	var plain, zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	for _, r := range recordsIn(t, dir) {
		fmt.Fprintf(&plain, "%s\n", r)
		fmt.Fprintf(zip, "%s\n", r)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "trail.ndjson.gz"), zipped.String())
	want := steady(t, keytrail(t, nil, "scan", "--windows", "all", dir).wants(t, 0))
	for name, got := range map[string]outcome{
		"stdin":         keytrail(t, bytes.NewReader(plain.Bytes()), "scan", "--windows", "all", "-"),
		"gzip on stdin": keytrail(t, bytes.NewReader(zipped.Bytes()), "scan", "-", "--windows", "all"),
		"gzip file":     keytrail(t, nil, "scan", "--windows", "all", "--", file),
	} {
		if steady(t, got.wants(t, 0)) != want {
			t.Errorf("%s: the output differs from that of the files", name)
		}
	}
}

var observed = regexp.MustCompile(`"observedTimeUnixNano":"[0-9]+",?`)

// steady returns OTLP/JSON lines without their observed times.
func steady(t *testing.T, o outcome) string {
	t.Helper()
	var out bytes.Buffer
	for _, line := range lines(o.stdout) {
		fmt.Fprintln(&out, observed.ReplaceAllString(line, ""))
	}
	return out.String()
}

// The text of a trail must not control the terminal that shows a table.
func TestScanTable(t *testing.T) {
	var text strings.Builder
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range 40 {
		text.WriteString(strings.Replace(event(fmt.Sprint("t", i), `a\u001b[2Jb`, at), `"eventName":"Decrypt"`, `"eventName":"DisableKey"`, 1) + "\n")
	}
	out := keytrail(t, strings.NewReader(text.String()), "scan", "-o", "table", "-").wants(t, 0).stdout
	if !strings.HasPrefix(out, "WINDOW ") || !strings.Contains(out, "2026-01-05 00:00Z") || !strings.Contains(out, "  ! high") {
		t.Errorf("no table:\n%s", tail(out, 20))
	}
	if strings.Contains(out, "\x1b") || !strings.Contains(out, `a\x1b[2Jb`) {
		t.Errorf("an escape sequence of the trail reaches the terminal: %q", tail(out, 5))
	}
}
