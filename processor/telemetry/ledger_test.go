package telemetry

import (
	"slices"
	"strings"
	"testing"
)

// TestLedgerAlarms: alarms are counted by kind, and only listed places are labels.
func TestLedgerAlarms(t *testing.T) {
	tel := start(t, DefaultConfig())
	l, err := tel.LedgerAlarms([]string{"111122223333/eu-central-1", "111122223333/us-east-1"}, []string{"unused", "grant_old"})
	if err != nil {
		t.Fatal(err)
	}
	l.Set([]LedgerAlarm{{"grant_old", "111122223333", "us-east-1", 5}})
	l.Set([]LedgerAlarm{{"unused", "111122223333", "eu-central-1", 1800000200}, {"unused", "111122223333", "eu-central-1", 1800000100},
		{"unused", "444455556666", "eu-central-1", 7}})
	got := slices.DeleteFunc(ours(scrape(t, tel)), func(line string) bool { return !strings.HasPrefix(line, "keytrail_ledger_") })
	want := `keytrail_ledger_alarm_timestamp_seconds{account="111122223333",kind="unused",region="eu-central-1"} 1.8000001e+09
keytrail_ledger_alarms{kind="grant_old"} 0
keytrail_ledger_alarms{kind="unused"} 3`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("the metrics are\n%s\nwant\n%s", text, want)
	}
}
