package scan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
)

// Aliases and multi-Region keys resolve, window by window, as in the oracle, in any
// order, with duplicates, and with or without temporary files.
func TestNamesEqualTheOracle(t *testing.T) {
	aliases, unknown, primaries := 0, 0, 0
	for seed := range uint64(4) {
		var records []json.RawMessage
		for _, e := range generate.Names(seed, time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)) {
			records = append(records, e.JSON)
		}
		rng := rand.New(rand.NewPCG(seed, 5))
		var want []string
		for round := range 3 {
			rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			dir := t.TempDir()
			third := len(records) / 3
			for i, part := range [][]json.RawMessage{records[:third], records[third-20 : 2*third], records[2*third:], records[:50]} {
				pack(t, filepath.Join(dir, fmt.Sprint(i, ".json.gz")), part)
			}
			got := scanAll(t, []string{dir}, 1+round, []int{maxFacts, 300, 70}[round])
			equalsOracle(t, got, []string{dir})
			if want == nil {
				want = got.records
			}
			if !slices.Equal(got.records, want) {
				t.Errorf("seed %d round %d: windows or anomalies differ", seed, round)
			}
			for name, text := range got.windows {
				switch bound := !strings.HasSuffix(text, "bound="); {
				case bound && strings.Contains(name, ":alias/"):
					aliases++
				case bound:
					primaries++
				case strings.Contains(name, ":alias/"):
					unknown++
				}
			}
		}
	}
	if aliases < 1000 || unknown < 100 || primaries < 1000 {
		t.Errorf("%d windows of aliases resolved, %d not, %d of keys with their primary: this tests too little", aliases, unknown, primaries)
	}
}
