package explain_test

import (
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/entity"
	"keytrail/processor/explain"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

const hour = time.Hour

// found is the anomaly of the key's window at noon.
func found(t *testing.T, change func(*anomaly.Anomaly)) *explain.Anomaly {
	t.Helper()
	a, err := find(t, idA, anomalyOf(idA, change, 1))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func add(t *testing.T, s *explain.Series, records ...*otellog.Record) {
	t.Helper()
	for _, rec := range records {
		if err := s.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
}

// at is the start of the window n windows after the anomaly's.
func at(n int64) int64 { return noon + n*size }

func flagged(w *entity.Window) {
	w.Counters = append(w.Counters, wire.Counter{ID: wire.CounterRate, N: 1})
}

func TestSeries(t *testing.T) {
	other := wire.Entity{Scope: wire.ScopePrincipal, Principal: user}
	pair := wire.Entity{Scope: wire.ScopePair, Key: keyARN, Principal: user}
	s := explain.NewSeries(found(t, nil), hour, false)
	add(t, s, windowOf(subject, at(0), 30, flagged), windowOf(subject, at(-2), 7, flagged), windowOf(pair, at(-1), 9, flagged), windowOf(subject, at(-13), 9, flagged),
		windowOf(subject, at(-3), 100, func(w *entity.Window) { flagged(w); w.Size = int64(hour) }), anomalyOf(idA, nil, 1))
	if n, ok := s.Value(at(-1), semconv.KeytrailWindowCallsTotal); s.Whole() || ok || n != 0 || s.Len() != 2 {
		t.Errorf("a gap between windows with anomalies is %d, %v; %d windows, whole %v", n, ok, s.Len(), s.Whole())
	}
	add(t, s, windowOf(other, at(-4), 1, nil), windowOf(other, at(5), 1, nil), windowOf(other, at(8), 1, func(w *entity.Window) { w.Closed = false }))
	value := func(n, want int64, known bool) {
		t.Helper()
		if got, ok := s.Value(at(n), semconv.KeytrailWindowCallsTotal); got != want || ok != known {
			t.Errorf("window %d has %d calls, %v; want %d, %v", n, got, ok, want, known)
		}
	}
	value(0, 30, true)
	value(-2, 7, true)
	value(-1, 0, true)
	value(-4, 0, true)
	value(-12, 0, true)
	value(-13, 0, false) // too far away
	value(5, 0, true)
	value(6, 0, false) // only an open window of another entity, so more may come
	if mean, n := s.Mean(semconv.KeytrailWindowCallsTotal, 15*time.Minute); n != 3 || mean != 7.0/3 {
		t.Errorf("the mean of %d windows is %v", n, mean)
	}
	if mean, n := s.Mean(semconv.KeytrailWindowCallsTotal, hour); n != 12 || mean != 7.0/12 {
		t.Errorf("the mean of %d windows is %v", n, mean)
	}
	s.Partial()
	value(-1, 0, false)
	bad := windowOf(subject, at(0), 1, nil)
	bad.Get(semconv.KeytrailWindowStart).Str = ""
	if err := s.Add(bad); err == nil {
		t.Error("a window without a start is no error")
	}
}

// Of two records of one window the newer one counts: in a topic the later one, elsewhere
// the one with the higher revision.
func TestSeriesTakesTheNewest(t *testing.T) {
	revision := func(n int32) func(*entity.Window) { return func(w *entity.Window) { w.Revision = n } }
	for topic, want := range map[bool]int64{true: 5, false: 6} {
		s := explain.NewSeries(found(t, nil), hour, topic)
		add(t, s, windowOf(subject, at(0), 1, revision(1)), windowOf(subject, at(0), 6, revision(3)), windowOf(subject, at(0), 5, revision(2)))
		if n, ok := s.Value(at(0), semconv.KeytrailWindowCallsTotal); n != want || !ok {
			t.Errorf("topic %v: %d calls, want %d", topic, n, want)
		}
	}
}

// The windows of an alias stay together, whatever its key.
func TestSeriesOfAlias(t *testing.T) {
	const aliasARN = "arn:aws:kms:us-east-1:111122223333:alias/app/one"
	alias := wire.Entity{Scope: wire.ScopeKey, Key: aliasARN}
	bound := &wire.Binding{Key: keyARN}
	s := explain.NewSeries(found(t, func(a *anomaly.Anomaly) { a.Entity, a.Bound = alias, bound }), hour, true)
	add(t, s, windowOf(alias, at(-1), 3, nil), windowOf(alias, at(0), 4, func(w *entity.Window) { w.Bound = bound }), windowOf(subject, at(-1), 100, nil))
	if n, _ := s.Value(at(-1), semconv.KeytrailWindowCallsTotal); n != 3 || s.Len() != 2 {
		t.Errorf("%d windows, %d calls", s.Len(), n)
	}
	if !s.Mentions([]byte(`"stringValue":"arn:aws:kms:us-east-1:111122223333:alias\/app\/one"`)) || s.Mentions([]byte(keyARN)) {
		t.Error("the wrong records mention the alias")
	}
}

// Mentions never denies a record of the entity, in any encoding.
func TestMentions(t *testing.T) {
	f := func(e wire.Entity, encoded string, want bool) {
		t.Helper()
		s := explain.NewSeries(found(t, func(a *anomaly.Anomaly) { a.Entity = e }), hour, false)
		if s.Mentions([]byte(encoded)) != want {
			t.Errorf("%+v in %q: want %v", e, encoded, want)
		}
	}
	f(subject, `"arn:aws:kms:us-east-1:111122223333:key\/1234abcd-12ab-34cd-56ef-1234567890ab"`, true)
	f(subject, `"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-000000000000"`, false)
	f(wire.Entity{Scope: wire.ScopePrincipal, Principal: "arn:aws:iam::1:user/a+b"}, `"arn:aws:iam::1:user/a\u002bb"`, true)
	f(wire.Entity{Scope: wire.ScopePrincipal, Principal: "AWS Internal"}, `"AWS\u0020Internal"`, true)
	f(wire.Entity{Scope: wire.ScopePrincipal, Principal: "übér"}, `"\u00fcb\u00e9r"`, true)
	f(wire.Entity{Scope: wire.ScopePair, Key: "-", Principal: "ü"}, `"-" "\u00fc"`, true)
}

func TestRange(t *testing.T) {
	a := found(t, nil)
	f := func(from, to int64, columns int, before, after time.Duration, want explain.Range) {
		t.Helper()
		s := explain.NewSeries(a, 24*hour, true)
		s.Covers(at(from))
		s.Covers(at(to))
		want.From, want.Size = at(want.From), size
		if got := s.Range(columns, before, after); got != want {
			t.Errorf("of [%d, %d] in %d columns: %+v, want %+v", from, to, columns, got, want)
		}
	}
	f(-100, 100, 41, 0, 0, explain.Range{From: -30, Group: 1, Columns: 41})
	f(-100, 3, 41, 0, 0, explain.Range{From: -37, Group: 1, Columns: 41})
	f(-5, 100, 41, 0, 0, explain.Range{From: -5, Group: 1, Columns: 41})
	f(-5, 3, 41, 0, 0, explain.Range{From: -5, Group: 1, Columns: 9})
	f(0, 0, 41, 0, 0, explain.Range{From: 0, Group: 1, Columns: 1})
	f(5, 9, 0, 0, 0, explain.Range{From: 0, Group: 1, Columns: 1}) // no column at all counts as one
	f(-1000, 1000, 41, 8*hour, 0, explain.Range{From: -96, Group: 3, Columns: 36})
	f(-1000, 1000, 41, 8*hour, 8*hour, explain.Range{From: -96, Group: 5, Columns: 39})
	f(-1000, 1000, 41, time.Nanosecond, hour, explain.Range{From: -1, Group: 1, Columns: 14})
	f(-1000, 1000, 41, 48*hour, time.Nanosecond, explain.Range{From: -288, Group: 8, Columns: 37}) // what is kept
	s := explain.NewSeries(a, hour, true)
	r := s.Range(10, 0, 0)
	if r.Column(at(0)) != 0 || r.Start(1) != at(1) {
		t.Errorf("%+v: the anomaly is in column %d", r, r.Column(at(0)))
	}
}
