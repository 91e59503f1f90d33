package wire_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"keytrail/schemas/wire"
)

// TestVersions: what an older or a newer program made is refused as such, with what to do;
// other bytes are damage, which nobody can mend by starting over.
func TestVersions(t *testing.T) {
	f := sample(3, 3)
	whole := wire.AppendFrame(nil, new(wire.Encoder), &f)
	if whole[0] != wire.FormatVersion {
		t.Fatalf("a frame begins with %d", whole[0])
	}
	for v := range 256 {
		data := slices.Clone(whole)
		data[0] = byte(v)
		d := wire.NewDecoder(data)
		_, err := d.Frame()
		older, newer := v >= 1 && v < wire.FormatVersion, v > wire.FormatVersion && v <= 15
		if v == wire.FormatVersion {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, wire.ErrFrame) || errors.Is(err, wire.ErrOlder) != older || errors.Is(err, wire.ErrNewer) != newer || d.Done() || d.Uint() != 0 {
			t.Errorf("version %d gives %v", v, err)
		}
		if (older || newer) && !strings.Contains(err.Error(), "docs/operations.md") {
			t.Errorf("version %d: %v does not say what to do", v, err)
		}
	}
}
