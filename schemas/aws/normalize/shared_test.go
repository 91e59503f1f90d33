package normalize

import (
	"fmt"
	"testing"
)

// TestMixSpreads: values that differ only at one end, or only in the text before,
// find different places. 600 values in 1,024 places fill 450 when chance decides.
func TestMixSpreads(t *testing.T) {
	f := func(name string, hash func(i int) uint64) {
		t.Helper()
		hit := map[uint64]bool{}
		for i := range 600 {
			hit[hash(i)%places] = true
		}
		if len(hit) < 400 {
			t.Errorf("%s: 600 values find %d places", name, len(hit))
		}
	}
	f("the last bytes", func(i int) uint64 { return mix(0, fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", i)) })
	f("the first bytes", func(i int) uint64 { return mix(0, fmt.Sprintf("%d.amazonaws.com", i)) })
	f("addresses", func(i int) uint64 { return mix(mix(0, "aws-cli/2"), fmt.Sprintf("10.1.%d.%d", i/250, i%250)) })
	f("short texts", func(i int) uint64 { return mix(0, fmt.Sprint(i)) })
	f("the number before", func(i int) uint64 { return mix(mix(uint64(i)<<40, "Decrypt"), "1.11") })
	f("the text before", func(i int) uint64 { return mix(mix(0, fmt.Sprint("GenerateDataKey", i)), "1.11") })
}
