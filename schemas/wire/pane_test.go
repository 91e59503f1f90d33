package wire_test

import (
	"errors"
	"math"
	"testing"

	"keytrail/schemas/wire"
)

// TestPaneKeys: every pane has a state key of its own, which no entity has, and all
// panes of a group have one owner.
func TestPaneKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, correlation := range []uint64{0, 7, math.MaxUint64} {
		for _, group := range []string{"", "a", "a\x1fb", "1\n2", "\xff"} {
			for _, start := range []int64{0, -1, 1_800_000_000e9, math.MaxInt64, math.MinInt64} {
				k := wire.PaneKey{Correlation: correlation, Group: group, Start: start}
				key := k.StateKey()
				if got, err := wire.ParsePaneKey(key); err != nil || got != k || !wire.IsPaneKey(key) || seen[key] {
					t.Errorf("%+v became %q and %+v: %v", k, key, got, err)
				}
				seen[key] = true
				if other := (wire.PaneKey{Correlation: correlation, Group: group}); k.Owner(7) != other.Owner(7) {
					t.Errorf("panes of %+v have several owners", k)
				}
			}
		}
	}
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
		if key := (wire.Entity{Scope: scope, KeyARN: "c\n", Principal: "c\n"}).StateKey(); wire.IsPaneKey(key) {
			t.Errorf("an entity has the key %q", key)
		}
	}
	for _, bad := range []string{"", "c\n", "c\n1\n2\ng", "c\n0000000000000001\n2", "c\n000000000000000g\n2\ng", "c\n0000000000000001\n+2\ng", "k\nkey"} {
		if k, err := wire.ParsePaneKey(bad); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%q became %+v: %v", bad, k, err)
		}
	}
}
