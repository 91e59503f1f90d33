package window_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/internal/calltest"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// The calls and names of package calltest.
const (
	minute, hour, day, size = calltest.Minute, calltest.Hour, calltest.Day, calltest.Size
	aliasARN                = calltest.Alias
)

var (
	begin                  = calltest.Begin
	keyARN, role, multiARN = calltest.Key, calltest.Role, calltest.MultiRegion
	keyOf, roleOf, pairOf  = calltest.KeyOf, calltest.RoleOf, calltest.PairOf
	decrypt                = calltest.Decrypt
)

// rig feeds an engine with calls and collects its results.
type rig struct {
	t       *testing.T
	e       *window.Engine
	notices []wire.Partial
}

func newRig(t *testing.T, cfg window.Config, notify bool) *rig {
	t.Helper()
	valid := cfg // tests of the bounds need fewer entities than an installation
	valid.MaxEntities, valid.MaxAccountEntities = max(cfg.MaxEntities, 1000), max(cfg.MaxAccountEntities, 1000)
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t}
	r.e = window.NewEngine(cfg, r.notify(notify))
	return r
}

func (r *rig) notify(on bool) func(wire.Partial) {
	if !on {
		return nil
	}
	return func(p wire.Partial) { r.notices = append(r.notices, p) }
}

// partials are those of n calls like c; a negative n takes them back.
func partials(c count.Call, n int) (list []*wire.Partial) {
	table := count.NewTable(size)
	for range max(n, -n) {
		table.Add(&c, int64(n/max(n, -n)))
	}
	for p := range table.All() {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *wire.Partial) int { return strings.Compare(a.StateKey(), b.StateKey()) })
	return list
}

// eager is the default configuration, except that each first use is an anomaly.
func eager() window.Config {
	c := window.DefaultConfig()
	c.FirstUse = 0
	return c
}

// add merges n calls like c, which must not be late.
func (r *rig) add(c count.Call, n int) {
	r.t.Helper()
	for _, p := range partials(c, n) {
		if r.e.Merge(p) {
			r.t.Fatalf("a call at %s is late at watermark %s", stamp(c.Time), stamp(r.e.Mark().Watermark))
		}
	}
}

// advance advances the watermark and returns the windows to publish, in memory that the
// caller owns.
func (r *rig) advance(mark int64) (list []window.Result) {
	return advance(r.e, mark, 3)
}

// advance is Advance to the end of its step, in parts of most windows.
func advance(e *window.Engine, mark int64, part int) (list []window.Result) {
	for more := true; more; {
		more = e.Advance(e.MarkAt(mark), part, func(res window.Result) {
			w := *res.Window
			w.Counters, w.Samples = slices.Clone(w.Counters), slices.Clone(w.Samples)
			list = append(list, window.Result{Window: &w, Anomalies: slices.Clone(res.Anomalies), Ended: res.Ended})
		})
	}
	return list
}

// routine lets a principal use a KMS key n times in every window from one time to
// another, and closes them all.
func (r *rig) routine(from, to int64, key, principal, n int) {
	for at := from; at < to; at += size {
		r.add(decrypt(at+minute, key, principal), n)
		r.advance(at + size)
	}
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05Z") }

// find returns the result of one window, or nil.
func find(list []window.Result, e wire.Entity, start int64) *window.Result {
	for i := range list {
		if list[i].Entity == e && list[i].Start == start {
			return &list[i]
		}
	}
	return nil
}

// anomalies returns all anomalies of the results, each with its detector.
func anomalies(list []window.Result) map[string]anomaly.Anomaly {
	found := map[string]anomaly.Anomaly{}
	for _, r := range list {
		for _, a := range r.Anomalies {
			found[a.Scope.String()+" "+a.Detector] = a
		}
	}
	return found
}

// describe formats a result as published.
func describe(r window.Result) string {
	var rec otellog.Record
	anomaly.WindowRecord(&rec, r.Window, size, 0)
	text := string(otellog.AppendJSON(nil, &rec))
	for i := range r.Anomalies {
		anomaly.AnomalyRecord(&rec, &r.Anomalies[i], 0)
		text += "\n" + string(otellog.AppendJSON(nil, &rec))
	}
	return text
}

func get(r *window.Result, id wire.CounterID) int64 { return count.Get(&r.Partial, id) }
