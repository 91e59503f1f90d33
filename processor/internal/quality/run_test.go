package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/generate"
	"keytrail/processor/scan"
	"keytrail/processor/source"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// tiny is a week of thirty KMS keys.
func tiny(scenarios ...string) world {
	return world{keys: 30, principals: 60, days: 7, events: 20_000, repeat: 1, seeds: []uint64{3}, accounts: accounts[:3], scenarios: scenarios}
}

// finals is the result of a run: the counters of every window, and every anomaly.
type finals struct {
	windows   map[string][]wire.Counter
	anomalies map[string]float64
}

func newFinals() finals {
	return finals{map[string][]wire.Counter{}, map[string]float64{}}
}

func (f finals) window(r *window.Result, size int64) {
	if r.Size == 0 {
		f.windows[anomaly.WindowID(r.Entity, r.Start, size)] = slices.Clone(r.Counters)
	}
}

// TestSameAsScan runs one trail twice: through this package's engine, and as files
// through scan. Windows and anomalies must be identical. Records after the allowed
// lateness are excluded, because scan waits for everything.
func TestSameAsScan(t *testing.T) {
	scenarios := slices.DeleteFunc(generate.Scenarios(), func(s string) bool { return s == "late_file" })
	g, err := generate.New(tiny(scenarios...).config(3))
	if err != nil {
		t.Fatal(err)
	}
	cfg := window.DefaultConfig()
	ours, e := newFinals(), newEngine(cfg, nil)
	e.closed = func(r *window.Result, _ int64) { ours.window(r, cfg.Size) }
	e.found = func(a *anomaly.Anomaly, _ int64, open bool) {
		if !open { // scan does not judge windows before they close
			ours.anomalies[a.ID] = a.Score
		}
	}
	if err := e.trail(g.Events()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := g.WriteFiles(dir, nil); err != nil {
		t.Fatal(err)
	}
	s := scan.New(scan.Config{Detect: cfg, Workers: 2, Now: time.Now(), DeadLetter: func(l *wire.DeadLetter) error {
		t.Errorf("dead letter: %s", l.Reason)
		return nil
	}})
	defer s.Close()
	if err := s.Read(context.Background(), source.Objects([]string{filepath.Join(dir, "AWSLogs")})); err != nil {
		t.Fatal(err)
	}
	theirs := newFinals()
	totals, err := s.Finish(func(r *window.Result) error {
		theirs.window(r, cfg.Size)
		for _, a := range r.Anomalies {
			theirs.anomalies[a.ID] = a.Score
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if int(totals.Counted) != e.totals.calls || int(totals.Received) != e.totals.records || totals.Counted < 15_000 {
		t.Errorf("scan counted %d of %d, the engine %d of %d", totals.Counted, totals.Received, e.totals.calls, e.totals.records)
	}
	compareWindows(t, ours, theirs)
	if !maps.Equal(ours.anomalies, theirs.anomalies) || len(ours.anomalies) < 20 {
		t.Errorf("%d anomalies, scan has %d", len(ours.anomalies), len(theirs.anomalies))
	}
}

func compareWindows(t *testing.T, ours, theirs finals) {
	t.Helper()
	different := 0
	for id, counters := range theirs.windows {
		if !slices.Equal(ours.windows[id], counters) {
			if different++; different == 1 {
				t.Errorf("window %s: %v, scan has %v", id, ours.windows[id], counters)
			}
		}
	}
	if different > 0 || len(ours.windows) != len(theirs.windows) {
		t.Errorf("%d windows, scan has %d; %d differ", len(ours.windows), len(theirs.windows), different)
	}
}

// TestFindsWhatIsPlanted measures a tiny world: a burst and an opened policy are found in
// time, and every anomaly is either about an incident or false.
func TestFindsWhatIsPlanted(t *testing.T) {
	m, err := measure(tiny("burst", "policy_opened", "late_file"), window.DefaultConfig(), func(uint64, *measured, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	if f := m.ours.at(0, nil); f.planted != 2 || f.found != 2 || f.wrong != len(m.wrong) || f.anomalies < 2 {
		t.Errorf("%+v; %d false", f, len(m.wrong))
	}
	for _, o := range m.ours.incidents {
		// The file arrives after two minutes at the earliest; at the latest the burst's
		// second window closes 15 minutes after its end, when its files arrive.
		if o.took < time.Minute || o.took > 45*time.Minute {
			t.Errorf("%s took %v", o.scenario, o.took)
		}
	}
	if m.totals.calls < 15_000 || m.ours.entityDays < 100 {
		t.Errorf("%d calls, %d entity-days", m.totals.calls, m.ours.entityDays)
	}
	var out bytes.Buffer
	explain(&out, m)
	fit(&out, m)
	out.WriteString(report(options{world: tiny()}, m, nil, nil, nabResult{err: io.EOF}))
	for _, part := range []string{"2 of 2 incidents found", "| burst | 1 | 1.00 |", "| policy_opened | 1 | 1.00 |", "| late_file | 1 |", "NAB did not run"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report does not say %q:\n%s", part, out.String())
		}
	}
}

// TestSameAgain checks that the report follows from seeds and code alone, and that
// concurrent seeds do not disturb each other.
func TestSameAgain(t *testing.T) {
	w := tiny("burst", "slow_drip", "deployment", "reread")
	w.seeds, w.events = []uint64{3, 4}, 5000
	var first string
	for range 2 {
		m, err := measure(w, window.DefaultConfig(), func(uint64, *measured, time.Duration) {})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		explain(&out, m)
		out.WriteString(report(options{world: w}, m, nil, nil, nabResult{err: io.EOF}))
		if first == "" {
			first = out.String()
		} else if out.String() != first {
			t.Errorf("the second report differs:\n%s\n%s", first, out.String())
		}
	}
}

// TestLateRecords checks that records delivered after the allowed lateness count as late,
// and repeated ones as copies.
func TestLateRecords(t *testing.T) {
	w := tiny("late_file", "duplicates")
	w.repeat = 4
	g, err := generate.New(w.config(3))
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(window.DefaultConfig(), nil)
	if err := e.trail(g.Events()); err != nil {
		t.Fatal(err)
	}
	n := e.totals
	if n.late == 0 || n.duplicates < n.records/50 || n.calls+n.late+n.duplicates+n.filtered > n.records {
		t.Errorf("%+v", n)
	}
}
