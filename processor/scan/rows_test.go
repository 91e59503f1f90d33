package scan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// The rows of docs/coverage.md that depend on counting. That page shows the comment of
// each test.

const (
	owned   = "arn:aws:kms:eu-central-1:444455556666:key/k"
	caller  = "arn:aws:iam::111122223333:role/app"
	asRole  = `"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/app/s","accountId":"111122223333"},"recipientAccountId":"111122223333"`
	asOwner = `"userIdentity":{"type":"AWSAccount","principalId":"AROAX:s","accountId":"111122223333"},"recipientAccountId":"444455556666"`
)

// call returns a Decrypt on a KMS key of another account.
func call(id, members string) string {
	return `{"eventVersion":"1.11","eventTime":"2026-03-02T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1","eventID":"` + id + `",` +
		`"resources":[{"ARN":"` + owned + `"}],` + members + `}`
}

// windows scans a file of these events and returns each window with calls: its scope, key
// and principal, its calls, refusals and anomalies.
func windows(t *testing.T, opts cloud.Options, events ...string) (list []string, totals scan.Totals) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(events, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{Detect: window.DefaultConfig(), Read: opts, Workers: 1, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", d.Detail)
		return nil
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	totals, err := s.Finish(func(r *window.Result) error {
		p := &r.Window.Partial
		list = append(list, fmt.Sprintf("%s %s %s: %d calls, %d denied, %d anomalies", r.Window.Scope, r.Window.Key, r.Window.Principal,
			count.Get(p, wire.CounterCalls), count.Get(p, wire.CounterDenied), len(r.Anomalies)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list, totals
}

// want compares the windows of one entity pair.
func want(t *testing.T, list []string, key, principal, counts string) {
	t.Helper()
	expected := []string{"key " + key + " : " + counts, "pair " + key + " " + principal + ": " + counts, "principal  " + principal + ": " + counts}
	if !slices.Equal(list, expected) {
		t.Errorf("windows\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(expected, "\n"))
	}
}

// TestRowB1CountedOnce: a cross-account call counts once and for the caller, whichever of its two records comes first.
func TestRowB1CountedOnce(t *testing.T) {
	callers, owners := call("a", asRole+`,"sharedEventID":"s"`), call("b", asOwner+`,"sharedEventID":"S"`)
	for _, events := range [][]string{{callers, owners}, {owners, callers}, {owners, callers, owners}} {
		list, totals := windows(t, cloud.Options{}, events...)
		want(t, list, owned, caller, "1 calls, 0 denied, 0 anomalies")
		if totals.Counted != 1 || int(totals.Duplicates) != len(events)-1 {
			t.Errorf("%+v", totals)
		}
	}
	// Without the caller's record only the account is known.
	list, _ := windows(t, cloud.Options{}, owners)
	want(t, list, owned, "account:111122223333", "1 calls, 0 denied, 0 anomalies")
}

// TestRowB2DeniedForeignKey: a refused call that only the caller's account records counts as refused for the foreign key and the caller.
func TestRowB2DeniedForeignKey(t *testing.T) {
	denied := strings.Replace(call("a", asRole+`,"errorCode":"AccessDenied","requestParameters":{"keyId":"`+owned+`"}`), `"resources":[{"ARN":"`+owned+`"}],`, "", 1)
	list, _ := windows(t, cloud.Options{}, denied)
	want(t, list, owned, caller, "1 calls, 1 denied, 0 anomalies")
}

// TestRowB6OwnReadsAreNotJudged: the collector's own calls count like others, but no rule judges them.
func TestRowB6OwnReadsAreNotJudged(t *testing.T) {
	old := call("a", asRole+`,"tlsDetails":{"tlsVersion":"TLSv1.1"},"requestParameters":{"encryptionContext":{"aws:cloudtrail:arn":"arn:aws:cloudtrail:eu-central-1:111122223333:trail/main"}}`)
	for self, counts := range map[string]string{"": "1 calls, 0 denied, 1 anomalies", caller: "1 calls, 0 denied, 0 anomalies"} {
		list, _ := windows(t, cloud.Options{SelfPrincipals: []string{self}}, old)
		pair := slices.DeleteFunc(list, func(w string) bool { return !strings.HasPrefix(w, "pair ") })
		if expected := "pair " + owned + " " + caller + ": " + counts; len(pair) != 1 || pair[0] != expected {
			t.Errorf("self %q: %q, want %q", self, pair, expected)
		}
	}
}

// TestRowD1AddendumIsNoCall: a record and its addendum are one call in either order; a delayed record is a separate call.
func TestRowD1AddendumIsNoCall(t *testing.T) {
	original, update := call("a", asRole), call("b", asRole+`,"addendum":{"reason":"UPDATED_DATA","updatedFields":"userAgent","originalEventID":"A"}`)
	late := call("c", asRole+`,"addendum":{"reason":"DELIVERY_DELAY"}`)
	for _, events := range [][]string{{original, update, late}, {late, update, original}} {
		list, totals := windows(t, cloud.Options{}, events...)
		want(t, list, owned, caller, "2 calls, 0 denied, 0 anomalies")
		if totals.Counted != 2 || totals.Duplicates != 1 {
			t.Errorf("%+v", totals)
		}
	}
}

// TestRowS1SharedEventIDAloneCounts: a call with an unmatched shared event id counts like any other.
func TestRowS1SharedEventIDAloneCounts(t *testing.T) {
	list, totals := windows(t, cloud.Options{}, call("a", asRole+`,"sharedEventID":"s"`), call("b", asRole+`,"sharedEventID":"t"`))
	want(t, list, owned, caller, "2 calls, 0 denied, 0 anomalies")
	if totals.Duplicates != 0 {
		t.Errorf("%+v", totals)
	}
}

// TestRowS13RepeatedEventIDsCountOnce: records with one event id count once.
func TestRowS13RepeatedEventIDsCountOnce(t *testing.T) {
	list, totals := windows(t, cloud.Options{}, call("a", asRole), call("a", asRole), call("A", asRole+`,"userAgent":"x"`))
	want(t, list, owned, caller, "1 calls, 0 denied, 0 anomalies")
	if totals.Duplicates != 2 {
		t.Errorf("%+v", totals)
	}
}
