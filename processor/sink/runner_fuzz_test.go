package sink

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzEveryRecordEndsOnce drives a Runner against a sink that answers at random
// and checks that every record ends exactly once, as delivered or as a dead
// letter, and that the counters say the same.
func FuzzEveryRecordEndsOnce(f *testing.F) {
	f.Add(uint64(1), uint8(10), uint8(3))
	f.Add(uint64(7), uint8(255), uint8(16))
	f.Fuzz(func(t *testing.T, seed uint64, n, size uint8) {
		synctest.Test(t, func(t *testing.T) { everyRecordEndsOnce(t, seed, int(n), int(size)) })
	})
}

func everyRecordEndsOnce(t *testing.T, seed uint64, n, size int) {
	random := rand.New(rand.NewPCG(seed, 1))
	accepted := map[int]int{}
	b := newBench(t, func(o *Options) {
		o.Batch.Records = size + 1
		o.Retry.MaxAttempts = 40
		o.Random = random.Float64
	}, func(_ int, batch []Record) error {
		var no, later []int
		kind := random.IntN(6)
		for i, r := range batch {
			switch {
			case kind == 0 || kind == 1 || kind == 5: // the whole batch, below
			case random.IntN(4) == 0:
				no = append(no, i)
			case random.IntN(4) == 0:
				later = append(later, i)
			default:
				accepted[r.Ref.(int)]++
			}
		}
		switch {
		case kind == 0:
			return errors.New("reset by peer")
		case kind == 1:
			return &Rejected{Reason: ReasonTooLarge, Split: random.IntN(2) == 0, Err: errors.New("413")}
		}
		var parts []error
		if kind == 5 {
			parts = append(parts, &Paused{Cause: CauseCredentials, Err: errors.New("401")})
			if random.IntN(2) == 0 { // contradicts it
				parts = append(parts, &Rejected{Reason: ReasonInvalid, Split: random.IntN(2) == 0, Err: errors.New("400")})
			}
		}
		if no != nil {
			parts = append(parts, &Rejected{Records: no, Reason: ReasonInvalid, Err: errors.New("400")})
		}
		if later != nil {
			parts = append(parts, &Throttled{Records: later, After: time.Second, Err: errors.New("429")})
		}
		return errors.Join(parts...)
	})
	if err := b.Deliver(t.Context(), records(n, 1)); err != nil {
		t.Fatal(err)
	}
	b.checkEnds(t, n, accepted)
}

// checkEnds holds that each of n records ended once, in accepted, which counts
// them, or as a dead letter, and that the counters agree.
func (b *bench) checkEnds(t *testing.T, n int, accepted map[int]int) {
	t.Helper()
	ends := maps.Clone(accepted)
	for _, d := range b.dead {
		var ref int
		if _, err := fmt.Sscan(d, &ref); err != nil {
			t.Fatal(err)
		}
		ends[ref]++
	}
	dead := 0
	for name, count := range b.counts {
		if strings.HasPrefix(name, "dead_lettered") {
			dead += count
		}
	}
	for i := range n {
		if ends[i] != 1 {
			t.Errorf("record %d ended %d times, want once", i, ends[i])
		}
	}
	if b.counts["delivered"] != len(accepted) || dead != len(b.dead) || len(accepted)+dead != n {
		t.Errorf("%d records: %d accepted, %d dead letters, counts %v", n, len(accepted), len(b.dead), b.counts)
	}
}
