package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/wire"
)

// Each setting makes a difference, which names it and both values; equal ones make none,
// and damage is not taken for settings.
func TestSettings(t *testing.T) {
	one := wire.Settings{Events: "kms.events", Sources: 8, Partials: 4, Size: 300e9, Rollups: []int64{3600e9}}
	same := one
	if one.String() != same.String() || len(one.Differences(same.String())) > 0 {
		t.Errorf("equal settings differ in %v", one.Differences(same.String()))
	}
	for want, edit := range map[string]func(*wire.Settings){
		`(kafka.prefix) is kms.events, and was a.events`:      func(s *wire.Settings) { s.Events = "a.events" },
		`partitions of topic "kms.events" is 8, and was 9`:    func(s *wire.Settings) { s.Sources++ },
		`(kafka.partitions.partials) is 4, and was 3`:         func(s *wire.Settings) { s.Partials-- },
		`window.size is 5m0s, and was 1m0s`:                   func(s *wire.Settings) { s.Size = 60e9 },
		`window.rollups is [1h0m0s], and was []`:              func(s *wire.Settings) { s.Rollups = nil },
		`window.rollups is [1h0m0s], and was [1h0m0s 2h0m0s]`: func(s *wire.Settings) { s.Rollups = []int64{3600e9, 7200e9} },
	} {
		other := one
		edit(&other)
		if got := fmt.Sprint(one.Differences(other.String())); one.String() == other.String() || strings.Count(got, " is ") != 1 || !strings.Contains(got, want) {
			t.Errorf("the difference is %s, want %s", got, want)
		}
	}
	whole := one.String()
	for n := range len(whole) {
		if n != len(whole)-5 && len(one.Differences(whole[:n])) == 0 { // a list of roll-ups may end anywhere
			t.Errorf("%d of %d bytes make no difference", n, len(whole))
		}
	}
}
