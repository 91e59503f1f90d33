package oracle

import (
	"testing"
	"time"
)

// FuzzAddText adds any text twice: the oracle must not panic, its totals must add up, and
// the second time must bring no new call.
func FuzzAddText(f *testing.F) {
	one := decrypt("e1", "2025-01-01T00:00:00Z", "1", "2", `,"sharedEventID":"s"`)
	for _, seed := range []string{
		"", "null", "[]", "{", one, `{"Records":[` + one + `,` + one + `]}`, one + "\n" + one + "\n{", `[` + one + `]`,
		`{"detail-type":"x","detail":` + one + `}`, `{"log":` + one + `}`, `{"a":{"a":1,"a":2}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := New(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if j.AddText(text) != nil {
			return
		}
		first := j.Result()
		if err := j.AddText(text); err != nil {
			t.Fatalf("the second time: %v", err)
		}
		second := j.Result()
		for _, r := range []*Result{first, second} {
			if r.Received != r.Counted+r.Duplicates+r.Filtered+r.Bad {
				t.Fatalf("received %d is not the sum of counted %d, duplicates %d, filtered %d, bad %d", r.Received, r.Counted, r.Duplicates, r.Filtered, r.Bad)
			}
		}
		if second.Received != 2*first.Received || second.Counted != first.Counted || len(second.Rows) != len(first.Rows) {
			t.Fatalf("twice the text: received %d and %d, counted %d and %d", first.Received, second.Received, first.Counted, second.Counted)
		}
	})
}
