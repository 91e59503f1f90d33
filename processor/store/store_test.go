package store

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

func open(t testing.TB, path string, l Limits) *Store {
	t.Helper()
	s, err := Open(path, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// base is the time of the tests' first window.
var base = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Unix()

func at(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// windowOf returns the record of a window.
func windowOf(e Entity, start, size, revision, calls int64) *otellog.Record {
	r := &otellog.Record{EventName: semconv.EventKeytrailWindow}
	subjectOf(r, e, start, start+size)
	r.Int(semconv.KeytrailWindowRevision, revision)
	r.Int(semconv.KeytrailWindowCallsTotal, calls)
	r.Int(semconv.KeytrailWindowCallsDecrypt, calls)
	return r
}

func subjectOf(r *otellog.Record, e Entity, start, end int64) {
	r.String(semconv.KeytrailWindowScope, e.Scope)
	r.String(semconv.AWSKMSKeyARN, e.Key)
	r.String(semconv.KeytrailPrincipalID, e.Principal)
	r.String(semconv.KeytrailWindowStart, at(start))
	r.String(semconv.KeytrailWindowEnd, at(end))
}

// anomalyOf returns the record of an anomaly.
func anomalyOf(id string, e Entity, start, revision int64, kind, severity string, score float64) *otellog.Record {
	r := &otellog.Record{EventName: semconv.EventKeytrailAnomaly}
	subjectOf(r, e, start, start+300)
	r.String(semconv.KeytrailAnomalyID, id)
	r.String(semconv.KeytrailAnomalyKind, kind)
	r.String(semconv.KeytrailAnomalySeverity, severity)
	r.Int(semconv.KeytrailAnomalyRevision, revision)
	r.Double(semconv.KeytrailAnomalyScore, score)
	return r
}

// TestPlans holds every query to its indexes: none reads a whole table, except the search
// for a text in all names, and the ends of an index.
func TestPlans(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"), DefaultLimits())
	text, err := os.ReadFile("queries.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "queries.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		n++
		name := spec.Names[0].Name
		query, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		rows, err := s.write.Query("EXPLAIN QUERY PLAN "+query, slices.Repeat([]any{1}, max(strings.Count(query, "?"), 0))[:highest(query)]...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return true
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			whole := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "CONSTANT") && !strings.Contains(query, "DISTINCT size")
			if whole && !strings.Contains(query, "instr(") && !(strings.Contains(query, "LIMIT 1") && name == "sqlExtent") {
				t.Errorf("%s reads a whole table: %s", name, detail)
			}
		}
		return true
	})
	if n < 25 {
		t.Errorf("only %d queries were found", n)
	}
}

// highest returns the number of arguments that a query takes.
func highest(query string) int {
	for n := 9; n > 0; n-- {
		if strings.Contains(query, "?"+strconv.Itoa(n)) {
			return n
		}
	}
	return strings.Count(query, "?")
}

// TestAsAModel fills a history from a log in random portions, with revisions out of order,
// crashes before and after commits, and compares it with the newest revisions.
func TestAsAModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		entities := []Entity{{"key", "k1", ""}, {"key", "k2", ""}, {"principal", "", "p1"}, {"pair", "k1", "p1"}, {"pair", "k2", "p1"}}
		var log []*otellog.Record
		type cell struct {
			e     Entity
			start int64
		}
		windows, anomalies := map[cell][2]int64{}, map[string][2]int64{}
		for i := range 300 {
			e := entities[rng.IntN(len(entities))]
			start, revision := base+300*rng.Int64N(20), rng.Int64N(4)
			if rng.IntN(4) > 0 {
				log = append(log, windowOf(e, start, 300, revision, int64(i)))
				if w, had := windows[cell{e, start}]; !had || w[0] <= revision {
					windows[cell{e, start}] = [2]int64{revision, int64(i)}
				}
				continue
			}
			id := fmt.Sprint("a", rng.IntN(10))
			log = append(log, anomalyOf(id, entities[0], start, revision, "rate", "high", 7))
			if a, had := anomalies[id]; !had || a[0] <= revision {
				anomalies[id] = [2]int64{revision, start}
			}
		}
		path := filepath.Join(t.TempDir(), "h.db")
		s := open(t, path, DefaultLimits())
		for next := int64(0); next < int64(len(log)); {
			until := min(next+1+rng.Int64N(40), int64(len(log)))
			for _, r := range log[next:until] {
				if err := s.Add(r); err != nil {
					t.Fatal(err)
				}
			}
			s.Position("t", 0, until)
			switch rng.IntN(4) {
			case 0: // a crash before the commit
				s.Close()
				s = open(t, path, DefaultLimits())
			case 1: // a failure of another reader
				s.Forget()
			default:
				if err := s.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			offsets, err := s.Offsets(t.Context(), "t")
			if err != nil {
				t.Fatal(err)
			}
			next = offsets[0]
		}
		total := int64(0)
		for c, want := range windows {
			id, err := s.EntityID(t.Context(), c.e)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Windows(t.Context(), id, 300, c.start, c.start+1)
			if err != nil || len(got) != 1 || got[0].Calls != want[1] || Sums(got)[semconv.KeytrailWindowCallsDecrypt] != want[1] {
				t.Fatalf("seed %d: %v at %s has %+v, %v; want %d calls", seed, c.e, at(c.start), got, err, want[1])
			}
			total += want[1]
		}
		o, err := s.Overview(t.Context(), View{Scope: "key", From: base, Until: base + 6000, Bucket: 6000, Rows: 5})
		if err != nil || o.Calls[0] != total {
			t.Fatalf("seed %d: the ticks add up to %v, %v; want %d", seed, o.Calls, err, total)
		}
		marked := map[int64]int64{}
		for _, a := range anomalies {
			marked[(a[1]-base)/300]++
		}
		o, err = s.Overview(t.Context(), View{Scope: "key", From: base, Until: base + 6000, Bucket: 300, Rows: 5})
		if err != nil || len(o.Rows) != 1 || len(o.Rows[0].Cells) != len(marked) || o.Facets[0].Count != int64(len(anomalies)) {
			t.Fatalf("seed %d: the overview has %+v and %v, %v; want cells %v", seed, o.Rows, o.Facets, err, marked)
		}
		for _, c := range o.Rows[0].Cells {
			if c.Anomalies != marked[c.Column] {
				t.Fatalf("seed %d: column %d has %d anomalies, want %d", seed, c.Column, c.Anomalies, marked[c.Column])
			}
		}
		list, err := s.Anomalies(t.Context(), Selection{From: base, Until: base + 6000, Limit: 100})
		if err != nil || len(list) != len(anomalies) {
			t.Fatalf("seed %d: %d anomalies, %v; want %d", seed, len(list), err, len(anomalies))
		}
		for _, l := range list {
			id := l.Record.Str(semconv.KeytrailAnomalyID)
			if got := l.Record.Get(semconv.KeytrailAnomalyRevision).Int; got != anomalies[id][0] {
				t.Errorf("seed %d: anomaly %s has revision %d, want %d", seed, id, got, anomalies[id][0])
			}
		}
	}
}

// TestOverview holds the rows, their order, the others and the rule hits.
func TestOverview(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"), DefaultLimits())
	add := func(r *otellog.Record) {
		t.Helper()
		if err := s.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	add(windowOf(Entity{"key", "quiet", ""}, base, 300, 1, 1))
	add(windowOf(Entity{"key", "quiet", ""}, base+3000, 300, 1, 1))
	add(anomalyOf("1", Entity{"pair", "k1", "p1"}, base, 1, "rate", "high", 8.5))
	add(anomalyOf("2", Entity{"pair", "k1", "p2"}, base+300, 1, "rule", "critical", 10))
	add(anomalyOf("3", Entity{"key", "k2", ""}, base+600, 1, "rate", "low", 4))
	add(anomalyOf("4", Entity{"key", "K3", ""}, base+600, 1, "rate", "low", 3))
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	view := View{Scope: "key", From: base, Until: base + 3600, Bucket: 600, Rows: 2}
	o, err := s.Overview(t.Context(), view)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Rows) != 2 || o.Rows[0].Key != "k1" || o.Rows[1].Key != "k2" || o.Hidden != 1 || o.Others.Score != 3 {
		t.Errorf("the rows are %+v, and %d others %+v", o.Rows, o.Hidden, o.Others)
	}
	if c := o.Rows[0].Cells; len(c) != 1 || c[0] != (Cell{Column: 0, Score: 8.5, Rules: 1, Severity: 4, Anomalies: 2}) {
		t.Errorf("the cells of k1 are %+v: the score of a rule must not count as one of a detector", c)
	}
	if len(o.Calls) != 2 || o.Calls[0] != 1 || o.Calls[5] != 1 {
		t.Errorf("the columns with records are %v", o.Calls)
	}
	facets := []Facet{{"low", "rate", "open", 2}, {"high", "rate", "open", 1}, {"critical", "rule", "open", 1}}
	if !slices.Equal(o.Facets, facets) {
		t.Errorf("the facets are %+v, want %+v", o.Facets, facets)
	}
	for scope, rows := range map[string]int{"pair": 2, "principal": 2} {
		o, err := s.Overview(t.Context(), View{Scope: scope, From: base, Until: base + 3600, Bucket: 600, Rows: 9, Text: "P"})
		if err != nil || len(o.Rows) != rows || o.Rows[1].Score != 8.5 || o.Rows[1].Principal != "p1" {
			t.Errorf("the rows of scope %s are %+v, %v", scope, o.Rows, err)
		}
	}
	view.Text = "k3"
	if o, err = s.Overview(t.Context(), view); err != nil || len(o.Rows) != 1 || o.Rows[0].Key != "K3" {
		t.Errorf("the rows with k3 are %+v, %v", o.Rows, err)
	}
	a, err := s.Anomaly(t.Context(), "1")
	if err != nil || len(a.OfKey) != 1 || len(a.OfPrincipal) != 0 {
		t.Errorf("the neighbours of 1 are %d and %d, %v", len(a.OfKey), len(a.OfPrincipal), err)
	}
	if _, err := s.Anomaly(t.Context(), "9"); err != ErrNone {
		t.Errorf("an unknown anomaly: %v", err)
	}
}

// TestBounds: the retention and the bound on bytes hold, whatever is added.
func TestBounds(t *testing.T) {
	f := func(l Limits, check func(s *Store, e Extent)) {
		t.Helper()
		s := open(t, filepath.Join(t.TempDir(), "h.db"), l)
		for w := range int64(200) {
			for k := range 100 {
				e := Entity{"key", fmt.Sprint("key-", k), ""}
				if err := s.Add(windowOf(e, base+300*w, 300, 1, 5)); err != nil {
					t.Fatal(err)
				}
				if err := s.AddEvent(eventOf(k, (base+300*w)*1000), Place{}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Add(anomalyOf(fmt.Sprint(w), Entity{"pair", "key-1", "p"}, base+300*w, 1, "rate", "high", 9)); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		e, err := s.Extent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if e.Until != base+300*200 {
			t.Errorf("the newest window is gone: %+v", e)
		}
		for _, table := range []string{"windows", "marks", "anomalies", "ticks"} {
			var first int64
			if err := s.read.QueryRow("SELECT MIN(start) FROM " + table).Scan(&first); err != nil || first < e.First {
				t.Errorf("%s begins at %d, %v, before %d", table, first, err, e.First)
			}
		}
		check(s, e)
	}
	f(Limits{time.Hour, 1 << 30}, func(s *Store, e Extent) {
		if e.First < e.Until-3600-600 {
			t.Errorf("an hour is kept, and the history has %d s", e.Until-e.First)
		}
	})
	f(Limits{24 * time.Hour, 1 << 20}, func(s *Store, e Extent) {
		used, err := s.used(t.Context())
		if err != nil || used > 1<<20+1<<18 || e.Until-e.First < 3600 {
			t.Errorf("a history of 1 MiB has %d bytes, %v, of %d s", used, err, e.Until-e.First)
		}
	})
}

// TestOtherVersions: a file of another version, or a damaged one, is not read.
func TestOtherVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h.db")
	s := open(t, path, DefaultLimits())
	s.Add(windowOf(Entity{"key", "k", ""}, base, 300, 1, 1))
	s.Position("t", 0, 5)
	if err := s.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec("PRAGMA user_version=99"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path, DefaultLimits())
	if offsets, err := s.Offsets(t.Context(), "t"); err != nil || len(offsets) != 0 {
		t.Errorf("a file of another version is used: %v, %v", offsets, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	s.Close()
	os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600)
	if _, err := Open(path, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "delete the file") {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestRecords: a record that lacks what the history needs is refused and harms no other.
func TestRecords(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "h.db"), DefaultLimits())
	r := windowOf(Entity{"key", "k", ""}, base, 300, 1, 1)
	r.Attrs[2].Str = "soon"
	if err := s.Add(r); err == nil || !strings.Contains(err.Error(), `"soon"`) {
		t.Errorf("a window without a time: %v", err)
	}
	if err := s.Add(&otellog.Record{EventName: "other"}); err != nil {
		t.Errorf("another record: %v", err)
	}
}
