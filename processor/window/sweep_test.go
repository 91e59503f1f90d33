package window_test

import (
	"testing"
	"time"

	"keytrail/processor/window"
)

func TestSweepForgetsTheSilent(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.Retention = 3 * 24 * time.Hour
	r := newRig(t, cfg, false)
	r.add(decrypt(begin, 1, 1), 1)
	r.add(decrypt(begin+day, 2, 2), 1)
	r.advance(begin + day + size)
	if r.e.Len() != 6 {
		t.Fatalf("%d entities", r.e.Len())
	}
	r.entities()
	// A call may still come for a window that begins at the end of the retention.
	end := begin + int64(cfg.Retention) + cfg.Lateness + cfg.Size
	r.advance(end - 1)
	if r.e.Len() != 6 {
		t.Errorf("%d entities: one was forgotten before its time", r.e.Len())
	}
	r.entities()
	r.advance(end + hour)
	var removed []string
	r.e.Changes(func(name string, _ []byte) { t.Errorf("%q is written though nothing changed", name) }, func(name string) { removed = append(removed, name) })
	if r.e.Len() != 3 || len(removed) != 3 {
		t.Errorf("%d entities remembered, %v removed", r.e.Len(), removed)
	}
	// An entity that returns before its removal is written must not be removed.
	r.advance(begin + 30*day)
	r.add(decrypt(begin+30*day, 2, 2), 1)
	put := 0
	r.e.Changes(func(string, []byte) { put++ }, func(name string) { t.Errorf("%q is removed though it is there", name) })
	if put != 3 {
		t.Errorf("%d entities written, want 3", put)
	}
}

// Changes reports each entity once, and again only after a change.
func TestChanges(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.add(decrypt(begin, 1, 1), 3)
	r.add(decrypt(begin, 2, 1), 3)
	if n := len(r.entities()); n != 5 {
		t.Errorf("%d entities changed, want 5", n)
	}
	r.advance(begin + 1)
	if n := len(r.entities()); n != 0 {
		t.Errorf("%d entities changed though nothing did", n)
	}
	r.advance(begin + size)
	if n := len(r.entities()); n != 5 {
		t.Errorf("%d entities changed at the close, want 5", n)
	}
	r.advance(begin + size + 2*hour)
	for e, ent := range r.entities() {
		if len(ent.Windows) != 0 {
			t.Errorf("%s keeps %d windows", e.StateKey(), len(ent.Windows))
		}
	}
}
