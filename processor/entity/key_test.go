package entity

import (
	"testing"

	"keytrail/schemas/wire"
)

// The caller chooses the text of a key id, so no character of it may change which entity
// is restored.
func TestStateKeysOfOddNames(t *testing.T) {
	for _, want := range []wire.Entity{
		{Scope: wire.ScopePair, Key: "a\nb", Principal: "c"}, {Scope: wire.ScopePair, Key: "a", Principal: "b\nc"},
		{Scope: wire.ScopePair}, {Scope: wire.ScopeKey, Key: "1\nx"}, {Scope: wire.ScopePrincipal, Principal: "\n"},
	} {
		var e wire.Encoder
		value := Append(nil, &e, &Entity{Entity: want})
		got, err := Decode(want.StateKey(), value)
		if err != nil || got.Entity != want {
			t.Errorf("%q is restored as %+v, %v; want %+v", want.StateKey(), got, err, want)
		}
	}
}
