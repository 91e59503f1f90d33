package intake

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

const (
	size = int64(5 * time.Minute)
	noon = int64(12 * time.Hour)
	keyA = "arn:aws:kms:eu-central-1:111122223333:key/a"
	keyB = "arn:aws:kms:eu-central-1:444455556666:key/b"
)

func newTaker(publish, withhold func(*anomaly.Anomaly)) Taker {
	return Taker{Judge: NewJudge(size, nil, nil), Publish: publish, Withhold: withhold}
}

// take takes in a copy that shares no memory with others.
func take(k *Taker, s *Source, c count.Call, late int64) Verdict {
	return k.Take(s, &otellog.Record{}, &c, late)
}

func callOf(id, principal string, as kms.Copy) count.Call {
	return count.Call{ID: wire.ParseCallID(id), IDText: id, Time: noon, Copy: as, Key: keyA, Principal: principal}
}

// counts returns a source's counts: calls by entity.
func counts(s *Source) map[wire.Entity]int64 {
	all := map[wire.Entity]int64{}
	for p := range s.Table.All() {
		if n := count.Get(p, wire.CounterCalls); n != 0 {
			all[p.Entity] += n
		}
	}
	return all
}

// permutations yields every order of the numbers below n.
func permutations(n int) (list [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for i := range n {
			list = append(list, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return list
}

// TestAnyOrder: a call counts once and by its best copy, whichever order its copies have
// and however often each comes. Copies of a ReEncrypt that show one key each count for both.
func TestAnyOrder(t *testing.T) {
	f := func(name string, copies, want []count.Call) {
		t.Helper()
		k := newTaker(nil, nil)
		expected := NewSource(size)
		for _, c := range want {
			take(&k, &expected, c, eventtime.None)
		}
		for _, order := range permutations(len(copies)) {
			s := NewSource(size)
			for i, at := range append(order, order...) {
				if got := take(&k, &s, copies[at], eventtime.None); (got == New) != (i == 0) || i > 0 && got != Duplicate {
					t.Errorf("%s %v: copy %d is %d", name, order, i, got)
				}
			}
			if got := counts(&s); !maps.Equal(got, counts(&expected)) {
				t.Errorf("%s %v: %v, want %v", name, order, got, counts(&expected))
			}
		}
	}
	caller := callOf("a", "arn:aws:iam::444455556666:role/app", kms.CopyCaller)
	f("three copies", []count.Call{callOf("a", "account:444455556666", kms.CopyOwner), callOf("a", "x", kms.CopyAddendum), caller}, []count.Call{caller})

	first, second := callOf("r", "account:1", kms.CopyOwner), callOf("r", "account:1", kms.CopyOwner)
	for _, c := range []*count.Call{&first, &second} {
		c.Class, c.Open = kms.ClassReencrypt, true
	}
	second.Key = keyB
	both := first
	both.SecondKey, both.Open = keyB, false
	f("two owners", []count.Call{first, second}, []count.Call{both})
	own := first
	own.Copy, own.Principal = kms.CopyCaller, "arn:aws:iam::1:role/app"
	whole := both
	whole.Copy, whole.Principal = own.Copy, own.Principal
	f("two owners and the caller", []count.Call{first, second, own}, []count.Call{whole})
}

// TestLate: a call whose window accepts no more calls is late; a copy of a counted call,
// even a better one, changes nothing if the credited one is late.
func TestLate(t *testing.T) {
	k, s := newTaker(nil, nil), NewSource(size)
	worse := callOf("a", "account:1", kms.CopyOwner)
	end := eventtime.End(noon, size)
	f := func(c count.Call, late int64, want Verdict) {
		t.Helper()
		before := counts(&s)
		if got := take(&k, &s, c, late); got != want {
			t.Errorf("verdict %d, want %d", got, want)
		}
		if got := counts(&s); want != New && !maps.Equal(got, before) {
			t.Errorf("counts %v became %v", before, got)
		}
	}
	f(callOf("b", "p", kms.CopyCaller), end, Late)
	f(worse, end-1, New)
	f(worse, end, LateDuplicate)
	better := callOf("a", "p", kms.CopyCaller)
	f(better, end, LateDuplicate)
	better.Time += size // copies of a call may have other times
	f(better, end, Duplicate)
	s.Forget(end, func(id wire.CallID) {
		if id != worse.ID {
			t.Errorf("the credit of %v is gone", id)
		}
	})
	if len(s.Credits) != 0 || len(s.Changed) != 1 || len(s.Keys) != 1 {
		t.Errorf("%d credits, %d changed and %d ids", len(s.Credits), len(s.Changed), len(s.Keys))
	}
	if s.Committed(); len(s.Changed)+len(s.Keys)+s.Table.Len() != 0 {
		t.Error("a new commit holds something of the one before")
	}
}

// TestWithheld: anomalies of a storm are counted instead of published, and a better copy
// publishes again what a worse one has.
func TestWithheld(t *testing.T) {
	published, withheld := 0, 0
	k := newTaker(func(*anomaly.Anomaly) { published++ }, func(*anomaly.Anomaly) { withheld++ })
	s := NewSource(size)
	const over = 7
	call := func(i int, as kms.Copy) count.Call {
		c := callOf(fmt.Sprint(i), "p", as)
		c.Rules = rule.Set(1)
		return c
	}
	for i := range anomaly.StormBound + over {
		take(&k, &s, call(i, kms.CopyOwner), eventtime.None)
	}
	if published != anomaly.StormBound || withheld != over {
		t.Errorf("%d published and %d withheld, want %d and %d", published, withheld, anomaly.StormBound, over)
	}
	take(&k, &s, call(0, kms.CopyCaller), eventtime.None)
	take(&k, &s, call(anomaly.StormBound, kms.CopyCaller), eventtime.None)
	if published != anomaly.StormBound+1 || withheld != over+1 {
		t.Errorf("%d published and %d withheld after better copies", published, withheld)
	}
	for p := range s.Table.All() {
		if got := count.Get(p, wire.CounterWithheld); got != over {
			t.Errorf("%+v counts %d withheld, want %d", p.Entity, got, over)
		}
	}
}
