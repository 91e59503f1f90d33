package output

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keytrail/plugins/internal/ack"
)

// course plays chunks over attempts: numbers of two runs, split and copied within and over
// chunks, Kafka's answers in any order, refusals, flushes that give up, and chunks that come
// again, are forgotten, or are lost. A number is told when all its records of all chunks
// that were handed over are in Kafka, and before that never. Only a number that was open in
// a forgotten chunk may stay untold. A chunk that misses only what Kafka refuses holds each
// number that is open in it.
type course struct {
	seed      uint64
	t         *testing.T
	rnd       *rand.Rand
	s         *attempts
	told      map[ack.Run]*ack.Ranges
	chunks    map[string][]of
	names     []string
	open      map[string]map[int]int // by the chunk, by its record: what is not in Kafka, of chunks that were handed over
	flying    []inFlight
	at        map[string]*attempt // with a flush
	last      map[string]*attempt // that stood for the chunk last
	delivered map[string]bool
	withheld  map[slotID]bool // open in a chunk that was forgotten
	early     map[slotID]bool // acknowledged before a chunk with it was handed over, or handed over again
}

type inFlight struct {
	a    *attempt
	unit unit
	name string
}

func newCourse(t *testing.T, seed uint64) *course {
	c := &course{
		t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), chunks: map[string][]of{}, open: map[string]map[int]int{},
		at: map[string]*attempt{}, last: map[string]*attempt{}, early: map[slotID]bool{}, withheld: map[slotID]bool{}, delivered: map[string]bool{},
	}
	c.s, c.told = attemptsOf(c.chunks)
	order := c.rnd.IntN(3) // 0: numbers rise
	for i := range 2 + c.rnd.IntN(3) {
		name := fmt.Sprint(i)
		for n := range uint64(1 + c.rnd.IntN(8)) {
			r := of{ack.Run{1}, uint64(i)*8 + n + 1, c.rnd.IntN(3)}
			if order > 0 && c.rnd.IntN(3) == 0 {
				r.n = uint64(c.rnd.IntN(24)) // 0 is a record without a number
			}
			if order > 1 && c.rnd.IntN(4) == 0 {
				r.run = ack.Run{2}
			}
			c.chunks[name] = append(c.chunks[name], r)
			for c.rnd.IntN(4) == 0 { // split
				r.units = c.rnd.IntN(2)
				c.chunks[name] = append(c.chunks[name], r)
			}
		}
		c.names = append(c.names, name)
	}
	return c
}

// hand begins a flush of a chunk, and reads some of it.
func (c *course) hand(name string) {
	a := c.at[name]
	if a == nil {
		a = c.s.take([]byte(name))
		c.at[name] = a
		if c.last[name] != a {
			c.last[name], c.open[name] = a, map[int]int{}
			for i, r := range c.chunks[name] {
				c.open[name][i] = r.units + 1
				c.early[slotID{r.run, r.n}] = c.early[slotID{r.run, r.n}] || c.knows(slotID{r.run, r.n})
			}
		}
	}
	list := c.chunks[name]
	delete(c.delivered, name)
	for stop := c.rnd.IntN(len(list) + 1); a.pos < len(list) && a.pos < stop; {
		i := a.pos
		r := list[i]
		if r.n != 0 {
			a.begin(r.run, r.n)
		}
		for a.unit < r.units {
			c.flying = append(c.flying, inFlight{a, a.add(), name})
			if c.rnd.IntN(8) == 0 {
				return // the next one has no room
			}
		}
		c.open[name][i]--
		a.end(i + 1)
	}
	if a.pos < len(list) {
		return
	}
	a.whole = true
	for _, u := range a.takeRefused() {
		if c.rnd.IntN(4) == 0 {
			a.giveBack([]unit{u}) // no room
			continue
		}
		a.repeat()
		c.flying = append(c.flying, inFlight{a, u, name})
	}
}

// answer lets Kafka answer for one record.
func (c *course) answer(refuse bool) {
	i := c.rnd.IntN(len(c.flying))
	f := c.flying[i]
	c.flying = slices.Delete(c.flying, i, i+1)
	if refuse && c.rnd.IntN(12) == 0 {
		f.a.done(f.unit, errors.New("refused"))
		return
	}
	if c.last[f.name] == f.a {
		c.open[f.name][f.unit.pos]--
	}
	f.a.done(f.unit, nil)
}

// end ends the flush of a chunk as Flush does.
func (c *course) end(name string) {
	a := c.at[name]
	if a == nil {
		return
	}
	delete(c.at, name)
	c.s.ledger.report(a)
	pending, failed := a.state()
	if failed == nil && pending == 0 && a.pos == len(c.chunks[name]) {
		c.s.finish(a)
		c.delivered[name] = true
		return
	}
	c.s.keep([]byte(name), a, time.Now())
}

// forget lets the oldest unfinished chunk go, or all of them. Some never come again.
func (c *course) forget() {
	all := c.rnd.IntN(2) == 0
	for _, name := range slices.Clone(c.names) {
		key := sha256.Sum256([]byte(name))
		if c.s.byKey[key] == nil || !all && c.s.order[0] != key {
			continue
		}
		for i, r := range c.chunks[name] {
			if c.open[name][i] > 0 {
				c.withheld[slotID{r.run, r.n}] = true
			}
		}
		if len(c.names) > 1 && c.rnd.IntN(2) == 0 {
			c.names = slices.DeleteFunc(c.names, func(n string) bool { return n == name })
		}
		if !all {
			c.s.forget(key)
			return
		}
	}
	c.s.unfinished(ack.Run{1}, time.Now().Add(time.Hour))
}

// judge compares what was told with what Kafka has: nothing too early, and with all,
// everything.
func (c *course) judge(all bool) {
	for _, k := range c.s.byKey {
		for _, e := range k.slots.list {
			if k.held != nil && e.missing() && !k.held[e.run].Covers(ack.Range{From: e.number, To: e.number + 1}) {
				c.t.Fatalf("seed %d: record %d is open and not held: %v", c.seed, e.number, k.held)
			}
		}
	}
	missing := map[slotID]bool{}
	for name, records := range c.open {
		for i, r := range c.chunks[name] {
			missing[slotID{r.run, r.n}] = missing[slotID{r.run, r.n}] || records[i] > 0
		}
	}
	for id, open := range missing {
		told := c.knows(id)
		if told && open && !c.early[id] || all && !told && id.number != 0 && !c.withheld[id] {
			c.t.Fatalf("seed %d: record %d of run %d: told is %v, and open is %v", c.seed, id.number, id.run[0], told, open)
		}
	}
}

// knows reports whether a number was told.
func (c *course) knows(id slotID) bool {
	set := c.told[id.run]
	return set != nil && set.Covers(ack.Range{From: id.number, To: id.number + 1})
}

func TestEveryNumberIsToldInTime(t *testing.T) {
	for seed := range uint64(5000) {
		c := newCourse(t, seed)
		refuse := true
		for step := range 10_000 {
			if step == 60 {
				refuse = false
			}
			name := c.names[c.rnd.IntN(len(c.names))]
			switch {
			case refuse && c.rnd.IntN(20) == 0:
				c.forget()
			case len(c.flying) > 0 && c.rnd.IntN(2) == 0:
				c.answer(refuse)
			case c.rnd.IntN(2) == 0:
				c.end(name)
			case step < 60 || !c.delivered[name]:
				c.hand(name)
			}
			c.judge(false)
			if len(c.delivered) == len(c.names) && len(c.flying)+len(c.at) == 0 {
				break
			}
		}
		if len(c.delivered) < len(c.names) {
			t.Fatalf("seed %d: %d of %d chunks are delivered", seed, len(c.delivered), len(c.names))
		}
		c.judge(true)
		if n := len(c.s.ledger.open); n > 0 {
			t.Fatalf("seed %d: %d attempts are waited for in the end", seed, n)
		}
	}
}
