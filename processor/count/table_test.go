package count

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/rule"
	"keytrail/schemas/kms"
	"keytrail/schemas/view"
	"keytrail/schemas/wire"
)

const size = int64(5 * time.Minute)

var begin = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano()

// randomCall makes a call of a small world, so that calls meet in windows.
func randomCall(rng *rand.Rand, n int) Call {
	c := Call{
		IDText: fmt.Sprintf("%08x-0000-4000-8000-%012x", rng.Uint32(), n), Time: begin + rng.Int64N(4*size),
		Copy: kms.Copy(rng.IntN(3)), Key: fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", rng.IntN(4)),
		Principal: fmt.Sprintf("arn:aws:iam::111122223333:role/%d", rng.IntN(4)), Class: kms.Class(rng.IntN(int(kms.NumClasses))),
		Outcome: kms.Outcome(rng.IntN(3)), Context: kms.Context(rng.IntN(int(kms.NumContexts))),
		Object: uint64(rng.IntN(20)), Direct: rng.IntN(2) == 0, Cross: rng.IntN(4) == 0, Self: rng.IntN(8) == 0,
	}
	switch rng.IntN(8) {
	case 0:
		c.Key = kms.NoEntity
	case 1:
		c.Principal = kms.NoEntity
	case 2:
		c.SecondKey = "arn:aws:kms:eu-central-1:111122223333:key/second"
	case 3:
		c.Rules = rule.Set(rng.Uint32N(1 << len(rule.All)))
	}
	c.ID = wire.ParseCallID(c.IDText)
	return c
}

// signed is a call that is counted or taken back.
type signed struct {
	Call
	n int64
}

// randomStream makes calls, a third of which are taken back later and counted
// again for another principal, like a better copy.
func randomStream(rng *rand.Rand, calls int) []signed {
	var list []signed
	for i := range calls {
		c := randomCall(rng, i)
		list = append(list, signed{c, 1})
		if rng.IntN(3) == 0 {
			better := c
			better.Principal = fmt.Sprintf("arn:aws:iam::444455556666:role/%d", rng.IntN(3))
			list = append(list, signed{c, -1}, signed{better, 1})
		}
	}
	return list
}

// windows merges what tables hold, by entity and window. Windows that come to
// nothing are left out.
func windows(tables ...*Table) map[string]string {
	merged := map[string]*wire.Partial{}
	for _, t := range tables {
		for p := range t.All() {
			if Empty(p) {
				continue // never sent
			}
			name := fmt.Sprintf("%q %d", p.StateKey(), p.Start)
			if merged[name] == nil {
				merged[name] = &wire.Partial{Entity: p.Entity, Start: p.Start}
			}
			Merge(merged[name], p)
		}
	}
	forms := map[string]string{}
	for name, p := range merged {
		p.Samples = nil // a call that moved is named by its old window or not, as the commits fell
		p.Binding = nil // not counted
		if !Empty(p) {
			forms[name] = form(p)
		}
	}
	return forms
}

func difference(got, want map[string]string) string {
	for name, w := range want {
		if got[name] != w {
			return fmt.Sprintf("%s: %q, want %q", name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return name + " should not be"
		}
	}
	return ""
}

// However a stream of calls is cut into tables, over any number of processes
// and commits, the sum is what one table counts.
func TestSplittingAStreamChangesNothing(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		stream := randomStream(rng, 300)
		whole := NewTable(size)
		parts := make([]*Table, 1+rng.IntN(9))
		for i := range parts {
			parts[i] = NewTable(size)
		}
		for i := range stream {
			c := &stream[i]
			whole.Add(&c.Call, c.n)
			parts[rng.IntN(len(parts))].Add(&c.Call, c.n)
		}
		want := windows(whole)
		if len(want) < 50 {
			t.Fatalf("%d windows only: this tests nothing", len(want))
		}
		for range 5 {
			rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			if wrong := difference(windows(parts...), want); wrong != "" {
				t.Fatalf("seed %d: %s", seed, wrong)
			}
		}
	}
}

// tally is a window, counted in a plain way.
type tally struct {
	counters map[wire.CounterID]int64
	peers    map[string]bool
}

func (w *tally) add(c *Call, peers []string) {
	w.counters[wire.CounterClass+wire.CounterID(c.Class)]++
	for _, r := range c.Rules.Rules() {
		if r.BlindSpot {
			w.counters[wire.CounterBlindSpot]++
		} else {
			w.counters[wire.CounterRule]++
		}
	}
	if c.Class == kms.ClassTrail {
		return
	}
	for _, s := range peers {
		if s != kms.NoEntity {
			w.peers[s] = true
		}
	}
	w.counters[wire.CounterCalls]++
	w.counters[wire.CounterContext+wire.CounterID(c.Context)]++
	for id, yes := range map[wire.CounterID]bool{
		wire.CounterDenied: c.Outcome == kms.OutcomeDenied, wire.CounterFailed: c.Outcome == kms.OutcomeFailed,
		wire.CounterDirect: c.Direct, wire.CounterService: !c.Direct, wire.CounterCrossAccount: c.Cross, wire.CounterSelf: c.Self,
	} {
		if yes {
			w.counters[id]++
		}
	}
	uses := c.Outcome == kms.OutcomeOK && (c.Class <= kms.ClassDerive || c.Class == kms.ClassGrant)
	if !uses && !c.Self {
		w.counters[wire.CounterUnused]++
	}
	if c.Class == kms.ClassDestroy && c.Outcome == kms.OutcomeOK && c.Key != kms.NoEntity {
		w.counters[wire.CounterDestroyed]++
	}
}

func TestTableCountsWhatTheCallsSay(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	table, want := NewTable(size), map[string]*tally{}
	for i := range 2000 {
		c := randomCall(rng, i)
		table.Add(&c, 1)
		at := func(e wire.Entity) *tally {
			name := fmt.Sprintf("%q %d", e.StateKey(), c.Time/size*size)
			if want[name] == nil {
				want[name] = &tally{map[wire.CounterID]int64{}, map[string]bool{}}
			}
			return want[name]
		}
		keys := []string{c.Key}
		if c.SecondKey != "" {
			keys = append(keys, c.SecondKey)
		}
		at(wire.Entity{Scope: wire.ScopePrincipal, Principal: c.Principal}).add(&c, keys)
		for _, key := range keys {
			at(wire.Entity{Scope: wire.ScopeKey, Key: key}).add(&c, []string{c.Principal})
			at(wire.Entity{Scope: wire.ScopePair, Key: key, Principal: c.Principal}).add(&c, nil)
		}
	}
	if table.Len() != len(want) {
		t.Fatalf("%d partials, want %d", table.Len(), len(want))
	}
	for p := range table.All() {
		name := fmt.Sprintf("%q %d", p.StateKey(), p.Start)
		w := want[name]
		got := map[wire.CounterID]int64{}
		for _, c := range p.Counters {
			got[c.ID] = c.N
		}
		if !maps.Equal(got, w.counters) || len(p.Sets[wire.SetPeers].Values) != len(w.peers) {
			t.Errorf("%s: counters %v, %d peers; want %v, %d", name, p.Counters, len(p.Sets[wire.SetPeers].Values), w.counters, len(w.peers))
		}
		if len(p.Samples) != int(min(w.counters[wire.CounterCalls], MaxSamples)) {
			t.Errorf("%s: samples %q of %d calls", name, p.Samples, w.counters[wire.CounterCalls])
		}
	}
}

// Taking every call back, in any order, leaves nothing that would be sent.
func TestCorrectionsGiveBackNothing(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 8))
		table := NewTable(size)
		calls := make([]Call, 200)
		for i := range calls {
			calls[i] = randomCall(rng, i)
			table.Add(&calls[i], 1)
		}
		rng.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		for i := range calls {
			table.Add(&calls[i], -1)
		}
		for p := range table.All() {
			if !Empty(p) {
				t.Fatalf("seed %d: %+v is left", seed, *p)
			}
		}
	}
}

// A call that moves to another principal changes no counter of its KMS key. It
// must change the key's principals all the same.
func TestCorrectionMovesThePrincipalOfAKey(t *testing.T) {
	c := Call{IDText: "a", Time: begin, Key: "arn:aws:kms:eu-central-1:111122223333:key/a", Principal: "account:444455556666", Cross: true}
	first, second := NewTable(size), NewTable(size)
	first.Add(&c, 1)
	better := c
	better.Principal = "arn:aws:iam::444455556666:role/reader"
	second.Add(&c, -1)
	second.Add(&better, 1)
	one := NewTable(size)
	one.Add(&better, 1)
	got, want := windows(first, second), windows(one)
	if wrong := difference(got, want); wrong != "" {
		t.Error(wrong)
	}
	if len(want) != 3 {
		t.Errorf("%d windows, want 3", len(want))
	}
}

func TestReEncryptCountsBothKeys(t *testing.T) {
	c := Call{
		IDText: "a", Time: begin, Key: "arn:aws:kms:eu-central-1:111122223333:key/a", SecondKey: "arn:aws:kms:eu-central-1:111122223333:key/b",
		Principal: "arn:aws:iam::111122223333:role/r", Class: kms.ClassReencrypt,
	}
	table := NewTable(size)
	table.Add(&c, 1)
	var got []string
	for p := range table.All() {
		got = append(got, fmt.Sprintf("%s %s %s calls=%d peers=%d", p.Scope, cmp.Or(last(p.Key), "-"), cmp.Or(last(p.Principal), "-"),
			Get(p, wire.CounterCalls), len(p.Sets[wire.SetPeers].Values)))
	}
	slices.Sort(got)
	want := []string{"key a - calls=1 peers=1", "key b - calls=1 peers=1", "pair a r calls=1 peers=0", "pair b r calls=1 peers=0", "principal - r calls=1 peers=2"}
	if !slices.Equal(got, want) {
		t.Errorf("partials\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	table.Add(&c, -1)
	for p := range table.All() {
		if !Empty(p) {
			t.Errorf("%+v is left", *p)
		}
	}
}

func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// One window of many objects: the sets stop at their bound and say so.
func TestTableCapsItsSets(t *testing.T) {
	table := NewTable(size)
	for i := range 3 * MaxDistinct {
		c := Call{IDText: fmt.Sprint(i), Time: begin, Key: fmt.Sprintf("arn:aws:kms:eu-central-1:111122223333:key/%d", i),
			Principal: "p", Object: uint64(i + 1), Context: kms.ContextSecret, Outcome: kms.OutcomeDenied,
			Network: uint32(i + 1), Client: uint32(i + 1)}
		table.Add(&c, 1)
	}
	for p := range table.All() {
		for i := range p.Sets[:wire.SetDestroyed] {
			if n := len(p.Sets[i].Values); n > MaxDistinct || p.Sets[i].Capped != (p.Scope == wire.ScopePrincipal) {
				t.Fatalf("%s set %d: %d values, capped %v", p.Scope, i, n, p.Sets[i].Capped)
			}
		}
	}
}

// The strings of a call may be views into a buffer that is reused: what the table keeps
// must not change with it.
func TestTableOwnsItsStrings(t *testing.T) {
	buffer := []byte("call-1 key-1 principal-1")
	c := Call{IDText: view.String(buffer[:6]), Time: begin, Key: view.String(buffer[7:12]), Principal: view.String(buffer[13:])}
	table := NewTable(size)
	table.Add(&c, 1)
	own := c.Clone()
	want := windowNames(table)
	copy(buffer, strings.Repeat("x", len(buffer)))
	if got := windowNames(table); !slices.Equal(got, want) {
		t.Errorf("the table now holds %q, want %q", got, want)
	}
	if own.IDText != "call-1" || own.Key != "key-1" || own.Principal != "principal-1" {
		t.Errorf("the clone now is %+v", own)
	}
}

func windowNames(t *Table) (names []string) {
	for p := range t.All() {
		names = append(names, fmt.Sprintf("%q %q", p.StateKey(), p.Samples))
	}
	slices.Sort(names)
	return names
}

func TestResetEmptiesTheTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	table := NewTable(size)
	for range 3 {
		c := randomCall(rng, 1)
		table.Add(&c, 1)
		if n := table.Len(); n < 3 || n > 5 {
			t.Errorf("%d partials of one call", n)
		}
		table.Reset()
		if table.Len() != 0 {
			t.Errorf("%d partials after Reset", table.Len())
		}
	}
}
