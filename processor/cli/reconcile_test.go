package cli_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// handRecord is what counts by hand need of a record.
type handRecord struct {
	EventSource, EventName, EventID, SharedEventID, ErrorCode, ErrorMessage, EventCategory string
	EventTime                                                                              time.Time
	Resources                                                                              []struct{ ARN string }
	RequestParameters                                                                      struct{ EncryptionContext map[string]string }
}

// eachKey calls f once for each call of KMS in a trail and each of its keys, from the JSON
// alone.
func eachKey(t *testing.T, dir string, f func(r *handRecord, key string)) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "Digest") {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		var file struct{ Records []handRecord }
		if err := json.NewDecoder(z).Decode(&file); err != nil {
			return err
		}
		for _, r := range file.Records {
			id := r.SharedEventID
			if id == "" {
				id = r.EventID
			}
			if r.EventSource != "kms.amazonaws.com" || r.EventCategory == "NetworkActivity" {
				continue
			}
			for _, target := range r.Resources {
				if strings.Contains(target.ARN, ":key/") && !seen[id+target.ARN] {
					seen[id+target.ARN] = true
					f(&r, target.ARN)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReconcile compares a trail, copies included, with a log that was made from its JSON
// alone: some calls were never logged, some logged ones were never made, and lines repeat.
func TestReconcile(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 43, Duration: 30 * time.Hour, Events: 6000, DuplicateShare: 0.1})
	calls := map[string][]handRecord{}
	eachKey(t, trail, func(r *handRecord, key string) {
		if r.EventName == "Decrypt" {
			calls[key] = append(calls[key], *r)
		}
	})
	busiest := ""
	for key, list := range calls {
		if len(list) > len(calls[busiest]) || len(list) == len(calls[busiest]) && key < busiest {
			busiest = key
		}
	}
	if len(calls[busiest]) < 50 {
		t.Fatalf("the trail has %d Decrypt on its busiest key", len(calls[busiest]))
	}
	rng := rand.New(rand.NewPCG(43, 0))
	var log []string
	line := func(at time.Time, context map[string]string, id string) {
		b, err := json.Marshal(map[string]any{"time": at, "key": busiest[strings.LastIndexByte(busiest, '/')+1:],
			"operation": "Decrypt", "encryption_context": context, "id": id})
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, string(b))
	}
	unlogged, matched, repeated := []string{}, 0, 0
	for i, r := range calls[busiest] {
		if i%7 == 3 {
			unlogged = append(unlogged, r.EventID)
			continue
		}
		matched++
		for range 1 + i%11/10 {
			line(r.EventTime.Add(time.Duration(rng.IntN(900))*time.Millisecond), orEmpty(r.RequestParameters.EncryptionContext), r.EventID)
		}
		repeated += i % 11 / 10
	}
	for i := range 5 { // of a context that no call has
		line(calls[busiest][0].EventTime.Add(time.Duration(i)*time.Hour), map[string]string{"never": "made"}, fmt.Sprint("x", i))
	}
	rng.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
	log = slices.Insert(log, 9, `{"time":"2026-13-01"}`)
	dir := t.TempDir()
	file, found, dead := filepath.Join(dir, "app.ndjson"), filepath.Join(dir, "found.ndjson"), filepath.Join(dir, "dead.ndjson")
	if err := os.WriteFile(file, []byte(strings.Join(log, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := keytrail(t, nil, "reconcile", "--skew", "1s", "--since", "100000h", "--until", "0s", "--expected", file, "--unmatched", found,
		"--dead-letter", dead, trail).wants(t, 3, "record 10 at byte", "want RFC 3339", fmt.Sprintf("(%d repeated): %d matched; missing 5, unexpected %d,",
		repeated, matched, len(unlogged)))
	total := 0
	for _, text := range lines(out.stdout) {
		var p struct {
			Key                          string
			Matched, Unexpected, Missing int
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Key != busiest {
			t.Fatalf("%v: %s", err, text)
		}
		total += p.Matched
	}
	if total != matched {
		t.Errorf("%d matched, want %d:\n%s", total, matched, out.stdout)
	}
	text, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, text := range lines(string(text)) {
		var u struct {
			Kind, Call, File string
			Line             int
		}
		if err := json.Unmarshal([]byte(text), &u); err != nil {
			t.Fatal(err)
		}
		switch u.Kind {
		case "unexpected_call":
			ids = append(ids, u.Call)
		case "missing_call":
			if u.File != file || !strings.Contains(log[u.Line-1], "never") {
				t.Errorf("a missing call that was made: %s", text)
			}
		}
	}
	// Calls of one context and second are alike; the trail has none on this key.
	slices.Sort(ids)
	slices.Sort(unlogged)
	if !slices.Equal(ids, unlogged) {
		t.Errorf("unexpected are %d calls, want those %d that were not logged:\n%v\n%v", len(ids), len(unlogged), ids, unlogged)
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// A log without a usable line, or of a time that the trail does not have, is told.
func TestReconcileNothing(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 43, Duration: 3 * time.Hour, Events: 100})
	file := filepath.Join(t.TempDir(), "app.ndjson")
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keytrail(t, nil, "reconcile", trail).wants(t, 2, "reconcile needs --expected FILE")
	keytrail(t, nil, "reconcile", "--expected", file, trail).wants(t, 1, "the log has no expected call")
	if err := os.WriteFile(file, []byte(`{"time":"2001-01-01T00:00:00Z","key":"alias/none"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := keytrail(t, nil, "reconcile", "-o", "csv", "--expected", file, trail).wants(t, 0, "share no time")
	if !strings.Contains(out.stdout, "alias/none,,1,0,0,0,0,1,0,0") {
		t.Errorf("printed:\n%s", out.stdout)
	}
	long := `{"time":"2001-01-01T00:00:00Z","key":"` + strings.Repeat("a", 1<<17) + "\"}\n" + `{"time":"2001-01-01T00:00:00Z","key":"b"}`
	if err := os.WriteFile(file, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	keytrail(t, nil, "reconcile", "--expected", file, trail).wants(t, 3, "a line of more than 65536 bytes", "1 expected call ")
}
