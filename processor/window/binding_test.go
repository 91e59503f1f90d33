package window_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

var (
	aliasOf = wire.Entity{Scope: wire.ScopeKey, Key: aliasARN}
)

// use is a call that names only aliasARN.
func use(at int64) count.Call {
	c := decrypt(at, 1, 1)
	c.Key = aliasARN
	return c
}

// learn merges that an entity was bound to arn at a time.
func (r *rig) learn(name string, at int64, arn string) {
	r.t.Helper()
	p := wire.Partial{Entity: wire.Entity{Scope: wire.ScopeKey, Key: name}, Start: at / size * size, Binding: &wire.Binding{Time: at, Key: arn}}
	if r.e.Merge(&p) {
		r.t.Fatalf("a binding at %s is late", stamp(at))
	}
}

// bounds returns the bindings in the results of aliases: scope, start in windows after
// begin, revision and the last part of the ARN.
func bounds(list []window.Result) string {
	var texts []string
	for _, r := range list {
		if cloud.Form(r.Key) == kms.FormAlias {
			texts = append(texts, fmt.Sprintf("%s %d.%d %s", r.Scope, (r.Start-begin)/size, r.Revision, last(arnOf(r.Bound))))
		}
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

func arnOf(b *wire.Binding) string {
	if b == nil {
		return ""
	}
	return b.Key
}

func last(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func same(t *testing.T, list []window.Result, want string) {
	t.Helper()
	if got := bounds(list); got != want {
		t.Errorf("published %q, want %q", got, want)
	}
}

// A window has its alias's binding at its end, and so does the pair's window; a binding
// alone publishes nothing.
func TestWindowsAreBound(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.add(use(begin), 1)
	same(t, r.advance(begin+size), "key 0.1 , pair 0.1 ")
	r.learn(aliasARN, begin+2*size+1, keyARN(1))
	r.add(use(begin+2*size), 1) // before it was bound, but in its window
	r.add(use(begin+size), 1)
	same(t, r.advance(begin+3*size), "key 1.1 , key 2.1 1, pair 1.1 , pair 2.1 1")
	r.learn(aliasARN, begin+3*size, keyARN(2))
	same(t, r.advance(begin+4*size), "")
	r.add(use(begin+4*size), 1)
	r.learn(aliasARN, begin+5*size, "")
	r.learn(aliasARN, begin+6*size, keyARN(3))
	r.add(use(begin+5*size), 1)
	r.add(use(begin+6*size-1), 1)
	same(t, r.advance(begin+20*size), "key 4.1 2, key 5.1 , pair 4.1 2, pair 5.1 ")
	r.add(use(begin+200*size), 1) // long after those windows were dropped
	same(t, r.advance(begin+201*size), "key 200.1 3, pair 200.1 3")
	if r.e.Len() != 3 {
		t.Errorf("%d entities, want the alias, the principal and the pair", r.e.Len())
	}
}

// A late binding publishes the windows that it changes again: up to the next binding,
// with pairs, and no others.
func TestLateBindings(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	for i := range int64(8) {
		r.add(use(begin+i*size), 1)
		r.add(decrypt(begin+i*size, 1, 1), 1) // unrelated to it
	}
	r.learn(aliasARN, begin+5*size+2, keyARN(5))
	r.advance(begin + 7*size)
	r.learn(aliasARN, begin+2*size, keyARN(2))
	same(t, r.advance(begin+7*size), "key 2.2 2, key 3.2 2, key 4.2 2, pair 2.2 2, pair 3.2 2, pair 4.2 2")
	r.learn(aliasARN, begin+2*size, keyARN(2)) // repeated
	r.learn(aliasARN, begin+2*size, keyARN(1)) // not the one with precedence
	r.learn(aliasARN, begin+5*size+1, keyARN(1))
	r.learn(aliasARN, begin+3*size, keyARN(2)) // nothing new
	same(t, r.advance(begin+7*size), "")
	r.learn(aliasARN, begin+4*size, "")
	r.add(use(begin+4*size), 1)
	same(t, r.advance(begin+7*size), "key 4.3 , pair 4.3 ")
	r.learn(aliasARN, begin+6*size, keyARN(6))
	same(t, r.advance(begin+8*size), "key 6.2 6, key 7.1 6, pair 6.2 6, pair 7.1 6")
	end := begin + 3*size + window.DefaultConfig().Lateness
	r.advance(end)
	p := wire.Partial{Entity: aliasOf, Start: begin + 2*size, Binding: &wire.Binding{Time: begin + 2*size + 9, Key: keyARN(9)}}
	if !r.e.Merge(&p) {
		t.Error("a binding is taken for a window that was dropped")
	}
}

// A repeated binding changes nothing, so nothing is written.
func TestKnownBindingsAreNoChange(t *testing.T) {
	r := newRig(t, window.DefaultConfig(), false)
	r.learn(aliasARN, begin+7, keyARN(1))
	if n := len(r.entities()); n != 1 {
		t.Errorf("%d entities changed, want 1", n)
	}
	r.learn(aliasARN, begin+7, keyARN(1))
	r.learn(aliasARN, begin+6, keyARN(2))
	if n := len(r.entities()); n != 0 {
		t.Errorf("%d entities changed, want none", n)
	}
}

// An alias is known for the retention after its last mention, however often the sweep has
// run, and is then forgotten whether it has run or not.
func TestAliasesAreForgotten(t *testing.T) {
	cfg := window.DefaultConfig()
	cfg.Retention = 2 * 24 * time.Hour
	for _, sweeps := range []bool{false, true} {
		r := newRig(t, cfg, false)
		known := func(at int64, want bool) {
			t.Helper()
			r.add(use(at), 1)
			if sweeps {
				for mark := r.e.Mark().Watermark + hour; mark < at; mark += 2 * hour {
					r.advance(mark)
				}
			}
			key := find(r.advance(at+size), aliasOf, at)
			if key == nil || (arnOf(key.Bound) == keyARN(1)) != want || (key.Bound == nil) == want {
				t.Errorf("sweeps %v, day %g: %+v, want bound %v", sweeps, float64(at-begin)/float64(day), key, want)
			}
		}
		r.learn(aliasARN, begin, keyARN(1))
		r.advance(begin + size)
		known(begin+2*day, true)
		known(begin+4*day, true)
		known(begin+6*day+size, false)
		known(begin+6*day+2*size, false)
		r.learn(aliasARN, begin+7*day, keyARN(1))
		known(begin+7*day+size, true)
		r.add(use(begin+8*day), 1) // a call that is taken back is not a mention
		r.add(use(begin+8*day), -1)
		known(begin+9*day+2*size, false)
		r.advance(begin + 20*day)
		if r.e.Len() != 0 {
			t.Errorf("%d entities left", r.e.Len())
		}
	}
}

// The binding of an alias survives restarts, its window and the next ones.
func TestBindingsAreRestored(t *testing.T) {
	r := &restarter{t: t, cfg: hasty(), log: map[string][]byte{}, mark: eventtime.None}
	r.fresh()
	r.merge(&wire.Partial{Entity: aliasOf, Start: begin, Binding: &wire.Binding{Time: begin, Key: keyARN(1)}})
	for i := range int64(40) {
		r.restart()
		if list := advance(r.e, begin+i*size, 5); len(list) != 0 {
			t.Fatalf("window %d: published %s", i, bounds(list))
		}
		r.commit()
	}
	for _, p := range partials(use(begin+40*size), 1) {
		r.merge(p)
	}
	r.restart()
	same(t, advance(r.e, begin+41*size, 5), "key 40.1 1, pair 40.1 1")
}

// A sentence names the alias and the key behind it.
func TestSentencesOfAliases(t *testing.T) {
	r := newRig(t, eager(), false)
	c := use(begin)
	for at := begin; at < begin+2*day; at += size {
		c.Time = at
		r.add(c, 1)
		r.advance(at + size)
	}
	at := begin + 2*day
	r.learn(aliasARN, at, keyARN(7))
	c = use(at)
	c.Principal = role(2)
	r.add(c, 60)
	found := anomalies(r.advance(at + size))
	for name, want := range map[string]string{
		"pair first_use": role(2) + " used alias " + aliasARN + " of KMS key " + keyARN(7) + " for the first time (",
		"key rate":       "Alias " + aliasARN + " of KMS key " + keyARN(7) + ": 60 uses in 5m where ",
	} {
		if a := found[name]; !strings.HasPrefix(a.Reason, want) || arnOf(a.Bound) != keyARN(7) {
			t.Errorf("%s: %q bound to %q, want %q", name, a.Reason, arnOf(a.Bound), want)
		}
	}
}

// Whatever arrives late, however often and around any restarts, the last revision of each
// window equals a plain program's.
func TestBoundWindowsEqualAPlainCount(t *testing.T) {
	bound, again := 0, 0
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 40))
		calls := history(rng, int64(hasty().Retention))
		want := plainBounds(calls, int64(hasty().Retention))
		r := &restarter{t: t, cfg: hasty(), log: map[string][]byte{}, mark: eventtime.None}
		r.fresh()
		got := map[string]string{}
		advance := func(mark int64) {
			for _, res := range advance(r.e, mark, 1+rng.IntN(9)) {
				if res.Closed && res.Key != "" {
					name := nameOf(res.Entity, res.Start, res.Length(size))
					if old, had := got[name]; had && old != arnOf(res.Bound) {
						again++
					}
					got[name] = arnOf(res.Bound)
				}
			}
			r.commit()
		}
		progress, table := eventtime.Progress{Disorder: disorder}, count.NewTable(size)
		list := arrivals(rng, calls, disorder+50*minute)
		for i := range list {
			table.Add(&list[i].Call, list[i].n)
			table.Learn(&list[i].Call)
			progress.Observe(list[i].Time, list[i].at)
			if rng.IntN(10) == 0 || i == len(list)-1 {
				for p := range table.All() {
					if r.merge(p) {
						t.Fatalf("seed %d: %s is late", seed, nameOf(p.Entity, p.Start, size))
					}
				}
				table = count.NewTable(size)
				if rng.IntN(4) == 0 {
					advance(progress.Watermark())
				}
				if rng.IntN(8) == 0 {
					r.restart()
				}
			}
		}
		advance(begin + 3*day)
		for name, w := range want {
			if got[name] != w {
				t.Errorf("seed %d: %s is bound to %q, want %q", seed, name, got[name], w)
			}
			if w != "" {
				bound++
			}
		}
	}
	if bound < 2000 || again < 100 {
		t.Errorf("%d windows bound, %d corrected: this tests too little", bound, again)
	}
}

// plainBounds computes the binding of the KMS key of each window with calls, from all
// records.
func plainBounds(calls []count.Call, retention int64) map[string]string {
	type event struct {
		count.Call
		binds bool
		arn   string
	}
	events := map[string][]event{} // what names a key, by key
	add := func(name string, c count.Call, binds bool, arn string) {
		events[name] = append(events[name], event{c, binds, arn})
	}
	for _, c := range calls {
		add(c.Key, c, c.Shown.Primary != "", c.Shown.Primary)
		if a := c.Shown.Alias; a != "" && a != c.Key {
			arn := c.Key
			if c.Shown.Unbound {
				arn = ""
			}
			add(a, c, true, arn)
		}
	}
	want := map[string]string{}
	for name, list := range events {
		slices.SortFunc(list, func(a, b event) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.arn, b.arn)) })
		bound, last := "", int64(0)
		for i, ev := range list {
			start := ev.Time / size * size
			if start-last > retention {
				bound = ""
			}
			last = start
			if ev.binds {
				bound = ev.arn
			}
			if i+1 < len(list) && list[i+1].Time/size*size == start {
				continue
			}
			for _, c := range calls {
				if c.Key == name && c.Time/size*size == start {
					want[nameOf(wire.Entity{Scope: wire.ScopeKey, Key: name}, start, size)] = bound
					want[nameOf(wire.Entity{Scope: wire.ScopePair, Key: name, Principal: c.Principal}, start, size)] = bound
				}
			}
		}
	}
	return want
}
