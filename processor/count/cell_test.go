package count

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"keytrail/schemas/wire"
)

// A scan counts all calls of a window before it merges them, so no number of matches may
// be too large for a counter.
func TestCountersDoNotOverflow(t *testing.T) {
	table, c := NewTable(1e9), Call{IDText: "a", Time: 1e18, Key: "key", Principal: "p", Matched: 1<<16 - 1}
	const calls = 1<<15 + 2
	for range calls {
		table.Add(&c, 1)
	}
	for p := range table.All() {
		if got, want := Get(p, wire.CounterRule), int64(calls*(1<<16-1)); got != want {
			t.Errorf("%s: %d matches, want %d", p.StateKey(), got, want)
		}
	}
}

// After one large commit the Table gives its memory back.
func TestSpareMemory(t *testing.T) {
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	table, before := NewTable(1e9), live()
	for i := range 50_000 {
		c := Call{IDText: fmt.Sprint(i), Time: 1e18, Key: fmt.Sprint("key ", i), Principal: fmt.Sprint("p ", i), Object: uint64(i + 1)}
		table.Add(&c, 1)
	}
	large := live()
	table.Reset()
	after := live()
	if took, spare := int(large-before), int(after)-int(before); took < 50<<20 || spare > 8<<20 {
		t.Errorf("%d partials took %d bytes, of which %d are kept", 150_000, took, spare)
	}
	table.Add(&Call{Time: 1e18, Key: "key 7", Principal: "p 7"}, 1)
	if table.Len() != 3 {
		t.Errorf("%d partials, want 3", table.Len())
	}
}

func TestOversized(t *testing.T) {
	long := strings.Repeat("x", 2048)
	c := Call{IDText: strings.Repeat("i", MaxID), Key: long, SecondKey: long, Principal: long, Shown: Shown{Alias: long}}
	if _, is := c.Oversized(); is {
		t.Error("a call with the longest names is too long")
	}
	for _, s := range []*string{&c.IDText, &c.Key, &c.SecondKey, &c.Principal, &c.Shown.Alias, &c.Shown.SecondAlias, &c.Shown.Primary, &c.Shown.Replica} {
		old := *s
		*s += "x"
		if detail, is := c.Oversized(); !is || detail == "" {
			t.Errorf("%.9s…: one byte more is not too long", *s)
		}
		*s = old
	}
}
