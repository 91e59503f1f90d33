package output

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
)

// of is one record of a chunk in the tests of this file: its number, and how many Kafka
// records come out of it.
type of struct {
	run   ack.Run
	n     uint64
	units int
}

// attemptsOf returns attempts whose chunks are made by the test, and what they tell.
func attemptsOf(chunks map[string][]of) (*attempts, map[ack.Run]*ack.Ranges) {
	told := map[ack.Run]*ack.Ranges{}
	s := &attempts{ledger: ledger{connected: listens}, numbers: func(chunk []byte, f func(ack.Run, uint64)) {
		for _, r := range chunks[string(chunk)] {
			if r.n != 0 {
				f(r.run, r.n)
			}
		}
	}}
	s.ledger.tell = func(run ack.Run, list []ack.Range) {
		if told[run] == nil {
			told[run] = &ack.Ranges{}
		}
		for _, r := range list {
			told[run].Add(r)
		}
	}
	return s, told
}

func listens(ack.Run) bool { return true }

// unfinished returns how many chunks of a run are unfinished, and how many of all were
// abandoned.
func (s *attempts) unfinished(run ack.Run, now time.Time) (n, abandoned int) {
	h, abandoned := s.health(run, now)
	return int(h.Unfinished), abandoned
}

func TestSlots(t *testing.T) {
	r, q := ack.Run{1}, ack.Run{2}
	s, told := attemptsOf(map[string][]of{"c": {{r, 1, 2}, {r, 2, 0}, {r, 3, 2}, {q, 7, 1}}})
	want := func(what string, want ...ack.Range) {
		t.Helper()
		if told[r] == nil || !slices.Equal(told[r].List(), want) {
			t.Errorf("%s: told %v, want %v", what, told[r], want)
		}
	}
	a := s.take([]byte("c"))
	produce := func(run ack.Run, n uint64, units int) (list []unit) {
		a.begin(run, n)
		for range units {
			a.begin(run, n) // as when a flush comes back to the same record
			list = append(list, a.add())
		}
		return list
	}
	two := produce(r, 1, 2)
	a.done(two[0], nil)
	a.end(10)
	produce(r, 2, 0) // filtered
	a.end(20)
	fail := produce(r, 3, 2)
	a.done(fail[0], errors.New("refused"))
	a.end(30)
	other := produce(q, 7, 1)
	a.done(other[0], nil) // its record is still being read
	s.ledger.report(a)
	want("while the last is read", ack.Range{From: 2, To: 3})
	a.end(40)
	a.done(two[1], nil)
	a.done(fail[1], nil)
	s.ledger.report(a)
	want("a part of a record was refused", ack.Range{From: 1, To: 3})
	a.repeat()
	a.done(a.takeRefused()[0], nil)
	want("Kafka has taken the part that it refused", ack.Range{From: 1, To: 4})
	if len(told) != 2 || !slices.Equal(told[q].List(), []ack.Range{{From: 7, To: 8}}) {
		t.Errorf("told %v of the other run", told[q])
	}
	if a.slots.low != 4 {
		t.Errorf("%d slots are out of mind, want 4", a.slots.low)
	}
}

// A filter makes several records of one: the number is acknowledged when Kafka has what
// came of all of them.
func TestSplitRecordsAreOne(t *testing.T) {
	b, k, run := ackBench(t, nil)
	large := strings.Replace(event(9), `"Decrypt"`, `"`+strings.Repeat("x", 2<<20)+`"`, 1) // a dead letter
	b.flush(OK, numberedRecord(run, 1, event(0)), numberedRecord(run, 1, event(1)), numberedRecord(run, 2, event(2)),
		numberedRecord(run, 1, "{"), numberedRecord(run, 2, large))
	k.want(t, "a chunk", ack.Range{From: 1, To: 3})
	if s := b.o.Stats(); s.Acknowledged != 2 || s.Delivered != 3 || s.DeadLettered != 2 {
		t.Errorf("%+v", s)
	}
	b, k, run = ackBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond })
	b.flush(OK, numberedRecord(run, 1, event(0)))
	k.want(t, "the first", ack.Range{From: 1, To: 2})
	b.broken.Store(true)
	filtered := strings.Replace(event(9), "kms.amazonaws.com", "s3.amazonaws.com", 1)
	parts := [][]byte{numberedRecord(run, 2, filtered), numberedRecord(run, 3, filtered), numberedRecord(run, 2, event(1))}
	if got := b.o.Flush(slices.Concat(parts...), "t"); got != Retry {
		t.Fatalf("the flush returned %d", got)
	}
	k.want(t, "a part is filtered and the other is not there", ack.Range{From: 1, To: 2}, ack.Range{From: 3, To: 4})
	b.broken.Store(false)
	k.want(t, "all parts are there", ack.Range{From: 1, To: 4})
}

// Records of one number come in several chunks: those that were handed over are waited for.
func TestSplitOverChunks(t *testing.T) {
	r := ack.Run{1}
	s, told := attemptsOf(map[string][]of{"a": {{r, 1, 1}, {r, 2, 1}}, "b": {{r, 2, 1}, {r, 3, 1}}, "c": {{r, 3, 1}}})
	want := func(what string, want ...ack.Range) {
		t.Helper()
		if got := told[r].List(); !slices.Equal(got, want) {
			t.Fatalf("%s: told %v, want %v", what, got, want)
		}
	}
	run := func(a *attempt, fail error, numbers ...uint64) {
		for i, n := range numbers {
			a.begin(r, n)
			u := a.add()
			a.end(i + 1)
			a.done(u, fail)
		}
	}
	told[r] = &ack.Ranges{}
	a, b, now := s.take([]byte("a")), s.take([]byte("b")), time.Now()
	run(a, nil, 1, 2)
	s.finish(a)
	want("2 is open in b", ack.Range{From: 1, To: 2})
	run(b, errors.New("refused"), 2)
	s.keep([]byte("b"), b, now)
	c := s.take([]byte("c"))
	run(c, nil, 3)
	s.finish(c)
	want("b comes again", ack.Range{From: 1, To: 2})
	b = s.take([]byte("b"))
	run(b, nil, 3)
	want("2 was refused", ack.Range{From: 1, To: 2}, ack.Range{From: 3, To: 4})
	b.repeat()
	b.done(b.takeRefused()[0], nil)
	want("b is there", ack.Range{From: 1, To: 4})

	// A chunk that Fluent Bit has given up is not: its records are lost, and so are their
	// numbers.
	s, told = attemptsOf(map[string][]of{"a": {{r, 1, 1}}, "b": {{r, 1, 1}, {r, 2, 1}}})
	told[r] = &ack.Ranges{}
	a, b = s.take([]byte("a")), s.take([]byte("b"))
	run(a, nil, 1)
	s.finish(a)
	s.keep([]byte("b"), b, now)
	if _, abandoned := s.unfinished(r, now.Add(time.Hour)); abandoned != 1 || len(s.ledger.open) != 0 {
		t.Errorf("%d chunks are abandoned, and %d are waited for", abandoned, len(s.ledger.open))
	}
	want("one part is lost")
}

// A chunk of any size makes room for more while it is being delivered.
func TestAcknowledgesWithinAFlush(t *testing.T) {
	r := ack.Run{1}
	var list []of
	for n := range uint64(3 * tellEvery) {
		list = append(list, of{r, n + 1, 1})
	}
	s, told := attemptsOf(map[string][]of{"c": list})
	a := s.take([]byte("c"))
	count := func() (n uint64) {
		if told[r] != nil {
			for _, r := range told[r].List() {
				n += r.Len()
			}
		}
		return n
	}
	var units []unit
	for i, e := range list {
		a.begin(r, e.n)
		units = append(units, a.add())
		a.end(i)
	}
	for i, u := range units[1:] { // the first is in flight to the end
		a.done(u, nil)
		if want := uint64(i+1) / tellEvery * tellEvery; count() != want {
			t.Fatalf("%d records were told after %d acknowledgements, want %d", count(), i+1, want)
		}
	}
	a.done(units[0], nil)
	if count() != 3*tellEvery {
		t.Errorf("%d records were told in the end", count())
	}
}

func TestSlotsAreBounded(t *testing.T) {
	r := ack.Run{1}
	big := make([]of, maxSlots/2)
	for i := range big {
		big[i] = of{r, uint64(i + 1), 1}
	}
	s, _ := attemptsOf(map[string][]of{"a": big, "b": big, "c": big[:1]})
	for _, c := range []string{"a", "b", "c"} {
		s.keep([]byte(c), s.take([]byte(c)), time.Now())
	}
	if len(s.order) != 2 || s.size != len(big)+1 || len(s.ledger.open) != 2 {
		t.Errorf("%d chunks with %d numbers are remembered, and %d are waited for", len(s.order), s.size, len(s.ledger.open))
	}
}

// A chunk that is forgotten while Fluent Bit may have it holds its open numbers back for
// good: in_kms hands their records over again. The others are told as ever.
func TestForgottenNumbersAreNotTold(t *testing.T) {
	r, now := ack.Run{1}, time.Now()
	for what, forget := range map[string]func(*attempts){
		"at the bound": func(s *attempts) {
			for i := range maxAttempts {
				name := fmt.Appendf(nil, "other %d", i)
				s.keep(name, s.take(name), now)
			}
		},
		"after its time": func(s *attempts) {
			if _, abandoned := s.unfinished(r, now.Add(time.Hour)); abandoned != 1 {
				t.Errorf("%d chunks are abandoned", abandoned)
			}
		},
	} {
		s, told := attemptsOf(map[string][]of{"a": {{r, 4, 1}, {r, 5, 1}}, "b": {{r, 5, 1}, {r, 6, 1}}})
		told[r] = &ack.Ranges{}
		run := func(name string, numbers ...uint64) {
			a := s.take([]byte(name))
			for i, n := range numbers {
				a.begin(r, n)
				u := a.add()
				a.end(i + 1)
				a.done(u, nil)
			}
			if s.ledger.report(a); len(numbers) == 2 {
				s.finish(a)
			} else {
				s.keep([]byte(name), a, now)
			}
		}
		run("a", 4)
		forget(s)
		run("b", 5, 6)
		want := []ack.Range{{From: 4, To: 5}, {From: 6, To: 7}}
		if got := told[r].List(); !slices.Equal(got, want) {
			t.Errorf("%s: told %v while 5 is open in a, want %v", what, got, want)
		}
		run("a", 4, 5) // from its beginning; 5 is told no more, and may be in another chunk, too
		if got := told[r].List(); !slices.Equal(got, want) {
			t.Errorf("%s: told %v when a has come again, want %v", what, got, want)
		}
	}
}

// However many numbers and runs are forgotten, what is withheld is bounded, and too much
// rather than too little.
func TestForgottenNumbersAreBounded(t *testing.T) {
	l := ledger{tell: func(ack.Run, []ack.Range) {}, connected: listens}
	forget := func(run ack.Run, step int, numbers int) {
		a := newAttempt(&l)
		for n := range numbers {
			a.slots.expect(run, uint64(n*step+1))
		}
		l.enter(a)
		l.forget(a)
	}
	const odd = 2*ack.MaxRunRanges + 1
	forget(ack.Run{1}, 2, odd)
	set := l.withheld(ack.Run{1}, false)
	for n := range uint64(odd) {
		if !set.Covers(ack.Range{From: 2*n + 1, To: 2*n + 2}) {
			t.Fatalf("number %d is not withheld", 2*n+1)
		}
	}
	if set.Len() != ack.MaxRunRanges || set.Covers(ack.Range{From: 2*odd + 1, To: 2*odd + 2}) {
		t.Errorf("%d ranges, up to %v", set.Len(), set.List()[set.Len()-1])
	}
	for i := range byte(3 * maxForgottenRuns) {
		forget(ack.Run{2, i}, 1, 3)
		a := newAttempt(&l)
		a.slots.expect(ack.Run{1}, 7)
		l.report(a) // its in_kms listens
	}
	if len(l.forgotten) != maxForgottenRuns || l.withheld(ack.Run{1}, false) == nil {
		t.Errorf("%d runs, and that of an in_kms that listens is %v", len(l.forgotten), l.withheld(ack.Run{1}, false))
	}
}
