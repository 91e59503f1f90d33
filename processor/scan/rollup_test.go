package scan

import (
	"context"
	"fmt"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// Windows of several sizes at once equal the oracle's windows of each size.
func TestRollupsEqualTheOracle(t *testing.T) {
	dir := trail(t, small())
	cfg := window.DefaultConfig()
	cfg.Rollups = []int64{int64(15 * time.Minute), int64(time.Hour), int64(24 * time.Hour)}
	got := map[int64]map[string]string{cfg.Size: {}}
	for _, size := range cfg.Rollups {
		got[size] = map[string]string{}
	}
	s := New(Config{Detect: cfg, Workers: 2, Now: time.Unix(0, 0), DeadLetter: func(*wire.DeadLetter) error { return nil }})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{dir})); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(func(r *window.Result) error {
		name, _ := describe(r.Window)
		got[r.Length(cfg.Size)][name] = fmt.Sprint(count.Get(&r.Partial, wire.CounterCalls), count.Get(&r.Partial, wire.CounterDenied))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for size, windows := range got {
		want, err := oracle.Count([]string{dir}, time.Duration(size))
		if err != nil {
			t.Fatal(err)
		}
		if len(want.Rows) != len(windows) {
			t.Errorf("%v: %d windows, want %d", time.Duration(size), len(windows), len(want.Rows))
		}
		for _, r := range want.Rows {
			name := fmt.Sprintf("%s %q %q %s", r.Scope, r.Key, r.Principal, r.Start.UTC().Format(time.RFC3339))
			if windows[name] != fmt.Sprint(r.Calls, r.Denied) {
				t.Fatalf("%v: %s: got %q, want %d %d", time.Duration(size), name, windows[name], r.Calls, r.Denied)
			}
		}
	}
}
