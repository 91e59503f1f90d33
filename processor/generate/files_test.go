package generate_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// trailFile is a trail file's path below the folder given to WriteFiles.
var trailFile = regexp.MustCompile(`^AWSLogs/(\d{12})/CloudTrail/([a-z0-9-]+)/(\d{4}/\d\d/\d\d)/(\d{12})_CloudTrail_([a-z0-9-]+)_(\d{8}T\d{4}Z)_([A-Za-z0-9]{16})\.json\.gz$`)

// readTree returns the bytes of every file below a folder, by path.
func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	tree := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			tree[filepath.ToSlash(name)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// unpack decodes a trail file.
func unpack(t *testing.T, name string, packed []byte) []json.RawMessage {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var content struct{ Records []json.RawMessage }
	if err := json.NewDecoder(zip).Decode(&content); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return content.Records
}

func TestFileLayout(t *testing.T) {
	c := generate.Config{Seed: 3, Duration: 30 * time.Hour, Events: 20_000, DuplicateShare: 0.1}
	g := makeTrail(t, c)
	want := map[string]int{} // records by their bytes
	total := 0
	for event := range g.Events() {
		want[string(event.JSON)]++
		total++
	}
	dir := t.TempDir()
	progress := 0
	files, err := g.WriteFiles(dir, func(n int) {
		if n <= progress {
			t.Errorf("progress went from %d to %d", progress, n)
		}
		progress = n
	})
	if err != nil {
		t.Fatal(err)
	}
	if progress != total {
		t.Errorf("progress ended at %d of %d records", progress, total)
	}
	tree := readTree(t, dir)
	if len(tree) != files+1 || tree[generate.LabelsFile] == nil {
		t.Errorf("%d files and labels announced, %d written", files, len(tree))
	}
	delete(tree, generate.LabelsFile)
	outOfOrder := 0
	for name, packed := range tree {
		account, region, stamp := parseName(t, name)
		if stamp.Minute()%5 != 0 {
			t.Errorf("%s: its time is not a multiple of 5 minutes", name)
		}
		last := time.Time{}
		for _, raw := range unpack(t, name, packed) {
			if want[string(raw)]--; want[string(raw)] < 0 {
				t.Fatalf("%s has a record that Events does not have: %s", name, raw)
			}
			at := checkPlace(t, name, raw, account, region)
			// Up to 10 minutes, and two files later for a second delivery.
			if lag := stamp.Sub(at); lag < 2*time.Minute || lag > 20*time.Minute {
				t.Errorf("%s has a record of %v, %v before", name, at, lag)
			}
			if at.Before(last) {
				outOfOrder++
			}
			last = at
		}
	}
	for raw, n := range want {
		if n != 0 {
			t.Fatalf("%d records are in no file, for one %s", n, raw)
		}
	}
	if outOfOrder < total/10 {
		t.Errorf("only %d of %d records are out of order", outOfOrder, total)
	}
}

// checkPlace checks that a record belongs to the account and region of its file, and
// returns its event time.
func checkPlace(t *testing.T, name string, raw []byte, account, region string) time.Time {
	t.Helper()
	var r struct {
		EventTime                     time.Time
		RecipientAccountID, AWSRegion string
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	if r.RecipientAccountID != account || r.AWSRegion != region {
		t.Errorf("%s has a record of %s %s", name, r.RecipientAccountID, r.AWSRegion)
	}
	return r.EventTime
}

// parseName splits a trail file's path.
func parseName(t *testing.T, name string) (account, region string, stamp time.Time) {
	t.Helper()
	m := trailFile.FindStringSubmatch(name)
	if m == nil || m[1] != m[4] || m[2] != m[5] || strings.ReplaceAll(m[3], "/", "") != m[6][:8] {
		t.Fatalf("%s is no name of a trail file", name)
	}
	stamp, err := time.Parse("20060102T1504Z", m[6])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m[1], m[2], stamp
}

func TestDuplicateShareAndDelivery(t *testing.T) {
	f := func(given, want float64) {
		t.Helper()
		g := makeTrail(t, generate.Config{Duration: 24 * time.Hour, Events: 20_000, DuplicateShare: given})
		first, again := map[string]generate.Event{}, 0
		lags := map[bool]int{}
		for event := range g.Events() {
			before, known := first[string(event.JSON)]
			if known {
				again++
				if !event.Delivered.After(before.Delivered) || event.Account != before.Account {
					t.Fatalf("the second delivery at %v is not after the first at %v", event.Delivered, before.Delivered)
				}
				continue
			}
			first[string(event.JSON)] = event
			lag := event.Delivered.Sub(event.Time)
			if lag < 2*time.Minute || lag > 10*time.Minute {
				t.Fatalf("delivered %v after the event", lag)
			}
			lags[lag < 5*time.Minute]++
		}
		if share := float64(again) / float64(len(first)); share < want*0.8 || share > want*1.2 {
			t.Errorf("share %.4f is delivered twice, want %.4f", share, want)
		}
		if lags[true] < 5000 || lags[false] < 2000 {
			t.Errorf("%d early and %d late deliveries: no spread", lags[true], lags[false])
		}
	}
	f(0, 0.02)
	f(0.27, 0.27) // as in one real trail
	f(-1, 0)
}

func TestWriteFilesIsDeterministicAndRefusesAnotherTrail(t *testing.T) {
	c := generate.Config{Seed: 11, Duration: 50 * time.Hour, Events: 3000, FileEvery: 20 * time.Minute}
	g := makeTrail(t, c)
	one, two := t.TempDir(), filepath.Join(t.TempDir(), "new", "folder")
	for _, dir := range []string{one, two} {
		if _, err := makeTrail(t, c).WriteFiles(dir, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(readTree(t, one), readTree(t, two)) {
		t.Error("the same Config wrote different files")
	}
	if _, err := g.WriteFiles(one, nil); err == nil || !strings.Contains(err.Error(), one) {
		t.Errorf("a second trail in one folder: error %v", err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := g.WriteFiles(blocked, nil); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("a file instead of the folder: error %v", err)
	}
	var labels []generate.Label
	for line := range bytes.Lines(readTree(t, one)[generate.LabelsFile]) {
		var l generate.Label
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		labels = append(labels, l)
	}
	if len(labels) == 0 || !reflect.DeepEqual(labels, g.Labels()) {
		t.Errorf("the file says otherwise than Labels: %+v", labels)
	}
}

// TestOracleAgrees counts a written trail with the oracle: it must accept every record,
// and find each label's calls under the label's names.
func TestOracleAgrees(t *testing.T) {
	g := makeTrail(t, generate.Config{Seed: 4, Events: 15_000, FileEvery: time.Hour})
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	const size = 5 * time.Minute
	result, err := oracle.Count([]string{filepath.Join(dir, "AWSLogs")}, size)
	if err != nil {
		t.Fatal(err)
	}
	all := records(t, g, false)
	calls, filtered := map[string]bool{}, 0
	for _, r := range all {
		switch r.text("eventName") {
		case "LookupEvents", "DescribeTrails":
			filtered++
		default:
			calls[r.callID()] = true
		}
	}
	if result.Received != len(all) || result.Counted != len(calls) || result.Filtered != filtered || result.Bad != 0 || filtered == 0 {
		t.Errorf("received %d of %d, counted %d of %d, filtered %d of %d, bad %d",
			result.Received, len(all), result.Counted, len(calls), result.Filtered, filtered, result.Bad)
	}
	for _, l := range g.Labels() {
		found := 0
		for _, row := range result.Rows {
			inside := row.Start.Add(size).After(l.Start) && row.Start.Before(l.End)
			if inside && (l.KeyARN == "" && row.Scope == "principal" || l.KeyARN != "" && row.Scope == "pair" && row.Key == l.KeyARN) && row.Principal == l.Principal {
				found += row.Calls + row.Classes["trail"] // a change of a trail is not a KMS call
			}
		}
		if l.Principal != "" && found < l.Calls {
			t.Errorf("%s by %s on %q: the judge counts %d calls, the label says %d", l.Scenario, l.Principal, l.KeyARN, found, l.Calls)
		}
	}
}
