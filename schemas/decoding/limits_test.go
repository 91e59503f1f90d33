package decoding

import "testing"

func TestWithDefaults(t *testing.T) {
	set := Limits{CompressedBytes: 1, InflatedBytes: 2, Ratio: 3, RecordBytes: 4, FieldBytes: 5, Records: 6, Depth: 7}
	if set.WithDefaults() != set {
		t.Error("limits that are set were changed")
	}
	if got := (Limits{}).WithDefaults(); got != (Limits{CompressedBytes: 1 << 30, InflatedBytes: 4 << 30, Ratio: 250, RecordBytes: 4 << 20, FieldBytes: 128 << 10, Records: 100_000_000, Depth: 128}) {
		t.Errorf("defaults %+v", got)
	}
}
