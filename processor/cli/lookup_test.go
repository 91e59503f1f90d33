package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// TestLookupInFiles: lookup finds the events that a plain search of the JSON finds, the newest first.
func TestLookupInFiles(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 5, Duration: 20 * time.Hour, Events: 800, DuplicateShare: 0.1})
	type record struct {
		EventTime                     time.Time
		EventID, EventName, ErrorCode string
		SourceIPAddress               string
		UserIdentity                  struct{ AccessKeyId string }
		Resources                     []struct{ ARN string }
		RequestParameters             struct{ EncryptionContext map[string]string }
	}
	all := map[string]record{}
	for _, line := range lines(keytrail(t, nil, "lookup", "-o", "original", trail).wants(t, 0).stdout) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		all[r.EventID] = r
	}
	records := slices.SortedFunc(func(yield func(record) bool) {
		for _, r := range all {
			if !yield(r) {
				return
			}
		}
	}, func(a, b record) int { return b.EventTime.Compare(a.EventTime) })
	one := records[slices.IndexFunc(records, func(r record) bool {
		return len(r.RequestParameters.EncryptionContext) > 0 && r.ErrorCode == "" && strings.Count(r.SourceIPAddress, ".") == 3 && r.UserIdentity.AccessKeyId != ""
	})]
	middle := records[len(records)/2].EventTime
	name, value := "", ""
	for name, value = range one.RequestParameters.EncryptionContext {
		break
	}
	key := func(r record) string {
		if len(r.Resources) == 0 {
			return ""
		}
		return r.Resources[0].ARN
	}
	for flags, want := range map[string]func(record) bool{
		"--attribute EventName=Decrypt":                           func(r record) bool { return r.EventName == "Decrypt" },
		"--attribute EventName=Decrypt --error AccessDenied":      func(r record) bool { return r.EventName == "Decrypt" && r.ErrorCode == "AccessDenied" },
		"--attribute EventId=" + one.EventID:                      func(r record) bool { return r.EventID == one.EventID },
		"--attribute AccessKeyId=" + one.UserIdentity.AccessKeyId: func(r record) bool { return r.UserIdentity.AccessKeyId == one.UserIdentity.AccessKeyId },
		"--address " + one.SourceIPAddress:                        func(r record) bool { return r.SourceIPAddress == one.SourceIPAddress },
		"--context " + name + "=" + value:                         func(r record) bool { v, ok := r.RequestParameters.EncryptionContext[name]; return ok && v == value },
		"--key " + key(one): func(r record) bool {
			return slices.ContainsFunc(r.Resources, func(x struct{ ARN string }) bool { return x.ARN == key(one) })
		},
		"--since " + middle.Format(time.RFC3339): func(r record) bool { return !r.EventTime.Before(middle) },
		"--until " + middle.Format(time.RFC3339): func(r record) bool { return r.EventTime.Before(middle) },
	} {
		if strings.HasSuffix(flags, "=") || strings.HasSuffix(flags, " ") || strings.Contains(flags, " --context =") {
			t.Errorf("the trail has no event for %q", flags)
			continue
		}
		var ids, found []string
		last := time.Time{}
		for _, line := range lines(keytrail(t, nil, append(append([]string{"lookup", "-o", "original"}, strings.Fields(flags)...), trail)...).wants(t, 0).stdout) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if !last.IsZero() && r.EventTime.After(last) {
				t.Errorf("%s: %s stands behind an older event", flags, r.EventID)
			}
			last, found = r.EventTime, append(found, r.EventID)
		}
		for _, r := range records {
			if want(r) {
				ids = append(ids, r.EventID)
			}
		}
		slices.Sort(ids)
		slices.Sort(found)
		if !slices.Equal(ids, found) || len(ids) == 0 {
			t.Errorf("%s finds %d events, want %d", flags, len(found), len(ids))
		}
	}
	out := keytrail(t, nil, "lookup", "--limit", "3", "-o", "table", trail).wants(t, 0, "3 events found", "older events match")
	if rows := lines(out.stdout); len(rows) != 3 || !strings.HasPrefix(rows[0], records[0].EventTime.UTC().Format("2006-01-02T15:04:05")) {
		t.Errorf("%q", rows)
	}
	for _, line := range lines(keytrail(t, nil, "lookup", "--limit", "2", trail).wants(t, 0).stdout) {
		validated(t, line)
	}
	if rows := csvRows(t, keytrail(t, nil, "lookup", "--limit", "2", "-o", "csv", trail).wants(t, 0).stdout); len(rows) != 2 {
		t.Errorf("%v", rows)
	}
	keytrail(t, nil, "lookup", filepath.Join(trail, "none")).wants(t, 1, "cannot read")
}

// TestLookupSkipsFiles: a file that was delivered before the period is not read.
func TestLookupSkipsFiles(t *testing.T) {
	dir := t.TempDir()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		when := at.Add(time.Duration(i) * time.Hour)
		name := fmt.Sprintf("111122223333_CloudTrail_us-east-1_%s_abcdefghijklmnop.json", when.Add(5*time.Minute).Format("20060102T1504Z"))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(event(fmt.Sprint("e", i), "u", when)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := keytrail(t, nil, "lookup", "-o", "table", "--since", at.Add(150*time.Minute).Format(time.RFC3339), dir).wants(t, 0, "2 events found, 3 files outside the period skipped")
	if n := len(lines(out.stdout)); n != 2 {
		t.Errorf("%s", out.stdout)
	}
}
