package scan_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// In a storm of one rule a hundred of its anomalies come out, and the windows of the pair, the
// KMS key and the principal count the others. Another rule's anomalies come out as usual.
func TestStorm(t *testing.T) {
	const calls = 3 * anomaly.StormBound
	var events []string
	for n := range calls {
		e := strings.Replace(call(fmt.Sprintf("ffffffff-0000-4000-8000-%012d", n), asRole), `"Decrypt"`, `"ScheduleKeyDeletion"`, 1)
		if n == calls-1 {
			e = strings.Replace(e, "ScheduleKeyDeletion", "DisableKey", 1)
		}
		events = append(events, e)
	}
	path := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(path, []byte(`{"Records":[`+strings.Join(events, ",")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{Detect: window.DefaultConfig(), Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(d *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", d.Detail)
		return nil
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{path})); err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	_, err := s.Finish(func(r *window.Result) error {
		p := &r.Window.Partial
		if rules, withheld := count.Get(p, wire.CounterRule), count.Get(p, wire.CounterWithheld); rules != calls || withheld != calls-1-anomaly.StormBound {
			t.Errorf("%s: %d anomalies of rules, %d withheld", r.Scope, rules, withheld)
		}
		for _, a := range r.Anomalies {
			found[a.Detector]++
		}
		return nil
	})
	if err != nil || found["key_deletion_scheduled"] != anomaly.StormBound || found["key_disabled"] != 1 {
		t.Errorf("%v: %v", err, found)
	}
}
