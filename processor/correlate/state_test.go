package correlate

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/sigma"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

const second = int64(time.Second)

// at makes a match of the correlation with the id.
func at(set *sigma.Rules, id, group string, when int64, call string) wire.Pane {
	for _, c := range set.Correlations {
		if c.ID == id {
			return pane(match{sigma.Observation{Correlation: c, Group: group}, count.Call{IDText: call, Time: when, Key: "k", Principal: "p"}})
		}
	}
	panic("no correlation " + id)
}

// to is the mark of sources that take late calls for no time.
func to(mark int64) eventtime.Mark { return eventtime.Mark{Watermark: mark, Late: mark, Quiet: mark} }

// advance moves e on and returns what it reports.
func advance(e *Engine, mark int64) (found []string) {
	e.Advance(to(mark), math.MaxInt, func(a *anomaly.Anomaly) {
		found = append(found, fmt.Sprintf("%s %d+%d: %g %v", a.Detector, a.Start/second, (a.End-a.Start)/second, a.Observed, a.Calls))
	})
	return found
}

// changes applies what has changed to a changelog.
func changes(e *Engine, log map[string][]byte) {
	var enc wire.Encoder
	e.Changes(&enc, func(key string, value []byte) {
		if log[key] = value; value == nil {
			delete(log, key)
		}
	})
}

// restored is an Engine of a changelog.
func restored(t *testing.T, cfg Config, log map[string][]byte, mark int64) (e *Engine, forgotten int) {
	t.Helper()
	e = NewEngine(cfg)
	for key, value := range log {
		if !Owns(key) {
			t.Errorf("the key %q is not owned", key)
		}
		e.Restore(key, value)
	}
	forgotten, err := e.Restored(to(mark))
	if err != nil {
		t.Fatal(err)
	}
	return e, forgotten
}

// Matches that come after their windows were judged have them judged again, as long as
// windows take late calls; then they are refused. A reported anomaly is reported again
// with the new count and the same id.
func TestLateMatches(t *testing.T) {
	set := load(t, rules)
	cfg := Config{Correlations: set.Correlations, Bytes: math.MaxInt, Keep: 300 * second}
	e, log := NewEngine(cfg), map[string][]byte{}
	take := func(i int64) Refusal {
		p := at(set, "many", "g", i*second, fmt.Sprint("call-", i))
		return e.Take(&p)
	}
	for i := range int64(3) {
		take(1000 + i)
	}
	if found := advance(e, 1100*second); len(found) != 0 {
		t.Errorf("three matches give %v", found)
	}
	changes(e, log)
	e, _ = restored(t, cfg, log, 1100*second)
	if why := take(1005); why != Counted {
		t.Errorf("a late match is refused: %s", why)
	}
	if found, want := advance(e, 1100*second), []string{"sigma/many 970+40: 4 [call-1000 call-1001 call-1002 call-1005]"}; !slices.Equal(found, want) {
		t.Errorf("found are %v, want %v", found, want)
	}
	take(1004)
	if found, want := advance(e, 1101*second), []string{"sigma/many 970+40: 5 [call-1000 call-1001 call-1002 call-1004 call-1005]"}; !slices.Equal(found, want) {
		t.Errorf("found are %v, want %v", found, want)
	}
	changes(e, log)
	// The pane [1000, 1010) is asked for until 1050 and kept for 300 more.
	if found := advance(e, 1350*second-1); len(found) != 0 || e.panes != 1 {
		t.Errorf("%v, %d panes", found, e.panes)
	}
	if found := advance(e, 1350*second); len(found) != 0 || e.panes != 0 || take(1006) != Late {
		t.Errorf("%v, %d panes, a match behind is refused: %q", found, e.panes, take(1006))
	}
	changes(e, log)
	if len(log) != 0 {
		t.Errorf("%d records are left", len(log))
	}
}

// Windows that late matches have judged again come before the bound of a step, and what
// is left of the step is all that a restart reports.
func TestLateMatchesInAStep(t *testing.T) {
	set := load(t, rules)
	cfg := Config{Correlations: set.Correlations, Bytes: math.MaxInt, Keep: 300 * second}
	e, log := NewEngine(cfg), map[string][]byte{}
	for i := range int64(8) {
		p := at(set, "many", []string{"g", "h"}[i/4], (1000+100*(i/4)+i)*second, fmt.Sprint("call-", i))
		e.Take(&p)
	}
	if found := advance(e, 1090*second); len(found) != 1 {
		t.Fatalf("found are %v", found)
	}
	p := at(set, "many", "g", 1005*second, "late")
	e.Take(&p)
	var found []string
	if more := e.Advance(to(1200*second), 0, func(a *anomaly.Anomaly) { found = append(found, fmt.Sprint(a.Observed)) }); !more || !slices.Equal(found, []string{"5"}) {
		t.Errorf("found are %v, and there is more: %v", found, more)
	}
	changes(e, log)
	e, _ = restored(t, cfg, log, 1200*second)
	if found, want := advance(e, 1200*second), []string{"sigma/many 1070+40: 4 [call-4 call-5 call-6 call-7]"}; !slices.Equal(found, want) {
		t.Errorf("found are %v, want %v", found, want)
	}
	changes(e, log)
	if log[stepKey] != nil {
		t.Error("the step has no end in the changelog")
	}
}

// Panes that would take more memory than they may are refused; those that are there go
// on to count.
func TestTooManyPanes(t *testing.T) {
	set := load(t, rules)
	e := NewEngine(Config{Correlations: set.Correlations, Bytes: 40_000})
	n, why := 0, Counted
	for ; why == Counted && n < 1000; n++ {
		p := at(set, "few", fmt.Sprint("group-", n), 1000*second, "call")
		why = e.Take(&p)
	}
	if why != TooMany || n < 20 || n > 80 || e.bytes > 40_000 {
		t.Errorf("after %d panes of %d bytes: %q", n, e.bytes, why)
	}
	p := at(set, "few", "group-1", 1000*second, "call")
	if why := e.Take(&p); why != Counted {
		t.Errorf("a further match of a group that is there: %q", why)
	}
	changes(e, map[string][]byte{})
	advance(e, 2000*second)
	if e.bytes != 0 || e.panes != 0 {
		t.Errorf("%d bytes and %d panes are left", e.bytes, e.panes)
	}
}

// State of a correlation that has changed since is forgotten, and taken out of the
// changelog; of others it is kept.
func TestChangedCorrelation(t *testing.T) {
	set, changed := load(t, rules), load(t, strings.Replace(rules, "gte: 4", "gte: 5", 1))
	e, log := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt}), map[string][]byte{}
	for _, id := range []string{"many", "few"} {
		p := at(set, id, "g", 1000*second, "call")
		e.Take(&p)
	}
	advance(e, 1001*second)
	changes(e, log)
	e, forgotten := restored(t, Config{Correlations: changed.Correlations, Bytes: math.MaxInt}, log, 1001*second)
	changes(e, log)
	if forgotten != 1 || len(log) != 1 || e.panes != 1 {
		t.Errorf("%d are forgotten, %d records and %d panes are left", forgotten, len(log), e.panes)
	}
	old := at(set, "many", "g", 1001*second, "call")
	if why := e.Take(&old); why != Unknown {
		t.Errorf("a match of the correlation that was: %q", why)
	}
	e, forgotten = restored(t, Config{}, log, 1001*second) // no correlation at all
	changes(e, log)
	if forgotten != 1 || len(log) != 0 || e.panes != 0 {
		t.Errorf("%d are forgotten, %d records and %d panes are left", forgotten, len(log), e.panes)
	}
}

// Allow-listed anomalies are not reported.
func TestAllowedCorrelation(t *testing.T) {
	set := load(t, rules)
	e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt, Allow: anomaly.Allow{{Principal: "p", Detector: "sigma/few", Why: "a test"}}})
	p := at(set, "few", "g", 1000*second, "call")
	e.Take(&p)
	if found := advance(e, 2000*second); len(found) != 0 {
		t.Errorf("found are %v", found)
	}
}

// sample is a changelog that has a step in it, and its watermark.
func sample(t testing.TB) (set *sigma.Rules, log map[string][]byte, mark int64) {
	set, log = load(t, rules), map[string][]byte{}
	e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt})
	for _, m := range matches(set, 5, 80) {
		w := pane(m)
		e.Take(&w)
	}
	mark = 1_700_000_300 * second
	if more := e.Advance(to(mark), 3, func(*anomaly.Anomaly) {}); !more {
		t.Fatal("the step has come to its end")
	}
	changes(e, log)
	if log[stepKey] == nil || len(log) < 20 {
		t.Fatalf("%d records", len(log))
	}
	return set, log, mark
}

// A record that was cut, has something behind it or is of another version is refused:
// half of it would count wrong. A refusal does not panic.
func TestDamagedState(t *testing.T) {
	set, log, mark := sample(t)
	for _, key := range slices.Sorted(maps.Keys(log)) {
		value := log[key]
		try := func(key string, value []byte) error {
			e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt})
			e.Restore(key, value)
			_, err := e.Restored(to(mark))
			return err
		}
		if err := try(key, value); err != nil {
			t.Fatal(err)
		}
		for n := range value {
			if err := try(key, value[:n]); !errors.Is(err, wire.ErrFrame) {
				t.Errorf("%q: %d of %d bytes give %v", key, n, len(value), err)
			}
		}
		if err := try(key, append(slices.Clone(value), 0)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%q: one byte too many gives %v", key, err)
		}
		other := slices.Clone(value)
		for version, want := range map[byte]error{value[0] - 1: wire.ErrOlder, value[0] + 1: wire.ErrNewer} {
			other[0] = version
			if err := try(key, other); !errors.Is(err, wire.ErrFrame) || !errors.Is(err, want) {
				t.Errorf("%q: version %d gives %v", key, version, err)
			}
		}
		if key != stepKey {
			for _, other := range []string{key[:4], strings.Replace(key, "\n1", "\n01", 1), strings.Replace(key, "\n1", "\n1x", 1)} {
				if err := try(other, value); !errors.Is(err, wire.ErrFrame) {
					t.Errorf("the key %q gives %v", other, err)
				}
			}
		}
	}
}

// A program from before correlations refuses a changelog that has some, because it would
// never take them out.
func TestOlderProgramsRefuse(t *testing.T) {
	_, log, _ := sample(t)
	for key, value := range log {
		if err := window.NewEngine(window.DefaultConfig(), nil).Restore(key, value); err == nil {
			t.Errorf("the state key %q is taken", key)
		}
	}
}

// FuzzRestore: whatever is in the changelog, it is refused or comes out as it came in.
func FuzzRestore(f *testing.F) {
	set, log, mark := sample(f)
	for _, key := range slices.Sorted(maps.Keys(log)) {
		f.Add(key, log[key])
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e := NewEngine(Config{Correlations: set.Correlations, Bytes: math.MaxInt})
		if !Owns(key) || value == nil {
			return
		}
		e.Restore(key, value)
		if _, err := e.Restored(to(mark)); err != nil {
			if !errors.Is(err, wire.ErrFrame) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, g := range e.groups {
			for _, h := range g.panes {
				e.touch(h)
			}
		}
		again := map[string][]byte{}
		changes(e, again)
		if e.panes > 0 && !bytes.Equal(again[key], value) && len(again[key]) > len(value) { // a number may have been written longer
			t.Errorf("%x became %x", value, again[key])
		}
		advance(e, math.MaxInt64)
		if e.panes != 0 || e.bytes != 0 {
			t.Errorf("%d panes of %d bytes are left", e.panes, e.bytes)
		}
	})
}

// FuzzTake: a pane of a frame is refused, or counts.
func FuzzTake(f *testing.F) {
	set := load(f, rules)
	for _, m := range matches(set, 1, 10) {
		w := pane(m)
		f.Add(m.o.Correlation.Index, w.Group, w.Start, w.Tally, w.Key)
	}
	f.Fuzz(func(t *testing.T, index int, group string, start int64, tally []byte, key string) {
		c := set.Correlations[uint(index)%uint(len(set.Correlations))]
		w := wire.Pane{PaneKey: wire.PaneKey{Correlation: c.Fingerprint, Group: group, Start: start}, Tally: tally, Key: key, Principal: "p"}
		e := NewEngine(Config{Correlations: set.Correlations, Bytes: 1 << 20, Keep: second})
		for range 2 {
			switch why := e.Take(&w); why {
			case Counted, Damaged, TooMany:
			default:
				t.Errorf("%q", why)
			}
		}
		advance(e, math.MaxInt64)
	})
}

// The key and principal of matches do not depend on the order of merging. The first
// calls of each rule are named.
func TestAboutMerge(t *testing.T) {
	c := &sigma.Correlation{Rules: make([]*sigma.Rule, 3)}
	for range 20 {
		var all *about
		for _, i := range rand.Perm(60) { // of rule 1 there are two, and call 02 is of rule 0 as well
			rule := uint8(2 * (i % 2))
			if i == 40 || i == 41 {
				rule = 1
			}
			all = all.merge(c, &about{"key", fmt.Sprint("p", i%2), []wire.CallAt{{Rule: rule, Time: int64(i / 2), ID: fmt.Sprintf("%02d", i)}}})
			all = all.merge(c, &about{"key", "p0", []wire.CallAt{{Rule: 2, Time: 1, ID: "02"}}})
		}
		e, ids := all.entity(), all.ids()
		if want := []string{"00", "01", "02", "03", "04", "40", "41"}; e.Scope != wire.ScopeKey || e.Key != "key" || e.Principal != "" || !slices.Equal(ids, want) || len(all.calls) != 8 {
			t.Errorf("%+v of %v, want %v", e, ids, want)
		}
	}
}
