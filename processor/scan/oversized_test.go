package scan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/processor/count"
	"keytrail/schemas/decoding"
)

// A call too large for the stages to write is not counted by a scan either.
func TestOversizedCall(t *testing.T) {
	dir := t.TempDir()
	event := func(id string) string {
		return `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/a","accountId":"111122223333"},"eventTime":"2026-01-05T00:00:01Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1","eventID":"` + id + `","recipientAccountId":"111122223333"}`
	}
	records := []string{event("a"), event(strings.Repeat("x", count.MaxID)), event(strings.Repeat("y", count.MaxID+1))}
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(`{"Records":[`+strings.Join(records, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got := scanAll(t, []string{dir}, 2, maxFacts)
	if len(got.letters) != 1 || got.letters[0].Reason != string(decoding.ReasonFieldSize) || string(got.letters[0].Raw) != records[2] {
		t.Errorf("the dead letters are %+v", got.letters)
	}
	if got.totals.Counted != 2 {
		t.Errorf("%d calls are counted, want 2", got.totals.Counted)
	}
	balanced(t, got.totals)
}
