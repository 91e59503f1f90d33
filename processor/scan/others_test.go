package scan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/wire"
)

// A trail with more KMS keys and ids than a scan distinguishes: the windows of each scope
// still add up to the trail's calls, anomalies of rules are published as usual, and
// memory for names has its bound.
func TestMoreThanIsToldApart(t *testing.T) {
	const n = 4000
	var trail strings.Builder
	for i := range n {
		name, id := "Decrypt", fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		if i%400 == 0 {
			name = "ScheduleKeyDeletion"
		}
		if i%2 == 0 {
			id = fmt.Sprintf("no UUID %d", i)
		}
		fmt.Fprintf(&trail, `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::%012d:user/m%d","accountId":"%012d"},"eventTime":"2026-03-02T09:%02d:00Z",`+
			`"eventSource":"kms.amazonaws.com","eventName":%q,"awsRegion":"eu-central-1","requestParameters":{"keyId":"arn:aws:kms:eu-central-1:%012d:key/%d"},"eventID":%q}`+"\n",
			i%3, i%700, i%3, i%20, name, i%900, i, id)
	}
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, []byte(trail.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{2000, 300} { // names have more room than the engine, and less
		cfg := window.DefaultConfig()
		cfg.MaxEntities, cfg.MaxAccountEntities = 1000, 400
		s := New(Config{Detect: cfg, Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error { return fmt.Errorf("%s", d.Detail) }})
		s.names.room = [2]int{room, 100}
		if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
			t.Fatal(err)
		}
		calls, shared, deletions := map[wire.Scope]int64{}, int64(0), map[string]bool{}
		totals, err := s.Finish(func(r *window.Result) error {
			c := count.Get(&r.Partial, wire.CounterCalls)
			calls[r.Scope] += c
			if r.Scope == wire.ScopePair && cloud.IsOthers(r.Entity) {
				shared += c
			}
			for _, a := range r.Anomalies {
				if a.Detector == "key_deletion_scheduled" {
					deletions[a.Key] = true
				}
			}
			return nil
		})
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		if calls[wire.ScopeKey] != n || calls[wire.ScopePrincipal] != n || calls[wire.ScopePair] != n {
			t.Errorf("the windows have %v calls, want %d in each scope", calls, n)
		}
		if totals.Others != shared || shared < n/2 {
			t.Errorf("%d calls are told to be others', and the windows have %d", totals.Others, shared)
		}
		if len(deletions) != n/400 {
			t.Errorf("%d deletions are published, want %d: %v", len(deletions), n/400, deletions)
		}
		if most := room + 100 + 2*4 + 3; len(s.names.list) > most {
			t.Errorf("%d names are kept, want %d at most", len(s.names.list), most)
		}
	}
}
