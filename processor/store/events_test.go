package store

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// eventOf returns the record of a call.
func eventOf(i int, ms int64) *otellog.Record {
	r := &otellog.Record{Time: ms * 1e6}
	r.String(semconv.KeytrailCallID, fmt.Sprint("call-", i))
	r.String(semconv.AWSKMSKeyARN, fmt.Sprint("key-", i%7))
	r.String(semconv.KeytrailPrincipalID, fmt.Sprint("principal-", i%11))
	r.String(semconv.RPCMethod, []string{"kms/Decrypt", "kms/Encrypt"}[i%2])
	if i%5 == 0 {
		r.String(semconv.ErrorType, "AccessDenied")
	}
	return r
}

// TestEvents compares searches with looking at every event.
func TestEvents(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"), DefaultLimits())
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 3*segmentRows + 17
	times := make([]int64, n)
	for i := range n {
		times[i] = base*1000 + rng.Int64N(86_400_000)
		if err := s.AddEvent(eventOf(i, times[i]), Place{int64(i % 3), int64(i)}); err != nil {
			t.Fatal(err)
		}
		if rng.IntN(2000) == 0 {
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := func(q Search, want func(i int) bool) {
		t.Helper()
		q.From, q.Until, q.Limit, q.Scan = base*1000+10_000_000, base*1000+70_000_000, 50, 1<<40
		found, err := s.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var wanted []int64
		for i := range n {
			if times[i] >= q.From && times[i] < q.Until && want(i) {
				wanted = append(wanted, times[i])
			}
		}
		slices.Sort(wanted)
		slices.Reverse(wanted)
		if found.Matched != int64(len(wanted)) || len(found.Events) != min(50, len(wanted)) || found.Stopped {
			t.Errorf("%+v finds %d, shows %d, want %d", q, found.Matched, len(found.Events), len(wanted))
		}
		for k, e := range found.Events {
			if e.Time != wanted[k] || times[e.Place.Offset] != e.Time || !want(int(e.Place.Offset)) {
				t.Errorf("%+v shows %+v as number %d, want one at %d", q, e, k, wanted[k])
				break
			}
		}
	}
	f(Search{}, func(int) bool { return true })
	f(Search{Key: "key-3", Operation: "Decrypt"}, func(i int) bool { return i%7 == 3 && i%2 == 0 })
	f(Search{Error: "AccessDenied", Principal: "principal-4"}, func(i int) bool { return i%5 == 0 && i%11 == 4 })
	f(Search{Text: "ACCESSd"}, func(i int) bool { return i%5 == 0 })
	f(Search{Call: "call-77"}, func(i int) bool { return i == 77 })
	f(Search{Key: "no such key"}, func(int) bool { return false })
	found, err := s.Events(t.Context(), Search{From: 0, Until: 1 << 60, Limit: 1, Scan: 1})
	if err != nil || !found.Stopped || found.Scanned >= found.Total {
		t.Errorf("a bounded scan: %+v, %v", found, err)
	}
}
