package lookup

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source"
)

// Parked slices hold up no others, also across a restart.
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

// A checkpoint of another version, or one ahead of the clock, is refused.
func TestCheckpointIsRefused(t *testing.T) {
	f := func(version int, done, again time.Time, want string) {
		t.Helper()
		content := fmt.Sprintf(`{"version":%d,"kind":"lookup","regions":{"eu-central-1":{"done":%q,"again":%q}}}`,
			version, done.Format(time.RFC3339), again.Format(time.RFC3339))
		_, err := parseState([]byte(content), noon)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", content, err, want)
		}
	}
	late := noon.Add(49 * time.Hour)
	f(source.CheckpointVersion, noon.Add(48*time.Hour), noon, "")
	f(source.CheckpointVersion, late, noon, "correct the clock, or start over; docs/operations.md")
	f(source.CheckpointVersion, noon, late, "correct the clock, or start over; docs/operations.md")
	f(source.CheckpointVersion-1, noon, noon, "start over; docs/operations.md")
}

func TestRegionsNamedTwiceAreOne(t *testing.T) {
	_, cfg := newHistory(t)
	s, err := New(cfg, Config{Regions: []string{"us-east-1", "eu-west-1", "us-east-1"}, Start: noon.Add(-time.Hour), Delay: DefaultDelay, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]int{}
	for {
		list, err := s.Poll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, o := range list {
			names[o.Name]++
			s.Done(o)
		}
	}
	regions := map[string]bool{}
	for name, n := range names {
		if regions[strings.Split(name, "/")[0]] = true; n != 1 {
			t.Errorf("%s was offered %d times", name, n)
		}
	}
	if len(regions) != 2 {
		t.Errorf("offered are %v", names)
	}
}
