package lookup

import (
	"path/filepath"
	"testing"
	"time"

	"keytrail/processor/source"
)

// Slices that are parked hold up no other, also over a restart.
func TestParkedSlicesHoldUpNoOther(t *testing.T) {
	_, cfg := newHistory(t)
	now := noon
	c := Config{Start: noon.Add(-24 * time.Hour), Delay: DefaultDelay, Checkpoint: filepath.Join(t.TempDir(), "cp"), Now: func() time.Time { return now }}
	s, err := New(cfg, c)
	if err != nil {
		t.Fatal(err)
	}
	poll := func() (all []source.Object) {
		t.Helper()
		for {
			list, err := s.Poll(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if all = append(all, list...); len(list) == 0 {
				return all
			}
			for _, o := range list {
				s.Park(o)
			}
		}
	}
	all := poll()
	if len(all) < 2*(24*6-10) { // two looks
		t.Errorf("%d slices of a day are offered", len(all))
	}
	if w := s.Waiting(); w.Size != 0 {
		t.Errorf("%+v cannot be looked up", w)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = New(cfg, c); err != nil {
		t.Fatal(err)
	}
	again := poll()
	if len(again) != len(all) {
		t.Errorf("%d slices come again after a restart, want %d", len(again), len(all))
	}
	for _, o := range again {
		s.Done(o)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err = New(cfg, c); err != nil {
		t.Fatal(err)
	}
	if left := poll(); len(left) != 0 {
		t.Errorf("%d slices are left", len(left))
	}
}
