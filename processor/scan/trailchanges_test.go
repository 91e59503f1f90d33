package scan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var trailCount = regexp.MustCompile(` trail=\d+`)

// TestTrailChangesAreNoCalls checks that changes of trails among a trail's calls leave
// its other counts and its anomalies as they are.
func TestTrailChangesAreNoCalls(t *testing.T) {
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 7))
		dir := trail(t, small())
		without := scanAll(t, []string{dir}, 2, 1<<20)

		var changes []json.RawMessage
		for i, raw := range recordsOf(t, dir) {
			var ev map[string]any
			if err := json.Unmarshal(raw, &ev); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(20) != 0 || ev["userIdentity"] == nil {
				continue
			}
			for n := range 1 + rng.IntN(60) { // bursts, from everywhere, some of them refused
				change := map[string]any{
					"eventVersion": "1.11", "eventSource": "cloudtrail.amazonaws.com", "eventName": "StartLogging", "awsRegion": "eu-central-1",
					"userIdentity": ev["userIdentity"], "eventTime": ev["eventTime"], "recipientAccountId": ev["recipientAccountId"],
					"eventID": fmt.Sprintf("change-%d-%d", i, n), "userAgent": fmt.Sprintf("agent%d/1", rng.IntN(9)),
					"sourceIPAddress": fmt.Sprintf("198.51.%d.%d", rng.IntN(250), rng.IntN(250)),
				}
				if rng.IntN(2) == 0 {
					change["errorCode"] = "AccessDenied"
				}
				b, err := json.Marshal(change)
				if err != nil {
					t.Fatal(err)
				}
				changes = append(changes, b)
			}
		}
		if len(changes) == 0 {
			t.Fatal("no changes of trails were made")
		}
		b, err := json.Marshal(map[string]any{"Records": changes})
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "changes.json")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		with := scanAll(t, []string{dir, path}, 2, 1<<20)
		equalsOracle(t, with, []string{dir, path})
		if want := without.totals.Counted + int64(len(changes)); with.totals.Counted != want {
			t.Fatalf("%d counted, want %d", with.totals.Counted, want)
		}
		got, want := withoutTrails(with.records), withoutTrails(without.records)
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("seed %d: with changes of trails\n%s\nwithout\n%s", seed, got[i], want[i])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d windows with changes of trails, %d without", seed, len(got), len(want))
		}
	}
}

// withoutTrails removes the counts of trail changes, and windows with nothing else.
func withoutTrails(records []string) (list []string) {
	for _, r := range records {
		if r = trailCount.ReplaceAllString(r, ""); !strings.Contains(r, "calls=0 ") || !strings.HasSuffix(r, " []") {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return list
}
