package explain_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/explain"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

const (
	keyARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	user   = "arn:aws:iam::111122223333:user/a.b"
	size   = int64(5 * time.Minute)
)

var (
	noon    = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC).UnixNano()
	subject = wire.Entity{Scope: wire.ScopeKey, Key: keyARN}
)

// anomalyOf returns an anomaly's record as detect writes it, and in the form of the wire.
func anomalyOf(id string, change func(*anomaly.Anomaly), observed int64) *otellog.Record {
	a := anomaly.Anomaly{
		ID: id, Kind: anomaly.KindRate, Detector: "rate", Score: 9.5, Reason: "Too many.", Observed: 30, Expected: 7.25,
		Calls: []string{"one", "two"}, Techniques: []string{"T1530"}, Entity: subject, Start: noon, End: noon + size, At: noon + size, Began: noon,
	}
	if change != nil {
		change(&a)
	}
	var rec otellog.Record
	anomaly.AnomalyRecord(&rec, &a, observed)
	return &rec
}

// windowOf returns a window's record as detect writes it.
func windowOf(e wire.Entity, start int64, calls int64, change func(*entity.Window)) *otellog.Record {
	w := entity.Window{Partial: wire.Partial{Entity: e, Start: start}, Closed: true, Revision: 1}
	count.Put(&w.Partial, wire.CounterCalls, calls)
	if change != nil {
		change(&w)
	}
	var rec otellog.Record
	anomaly.WindowRecord(&rec, &w, size, 1)
	return &rec
}

func find(t *testing.T, id string, records ...*otellog.Record) (*explain.Anomaly, error) {
	t.Helper()
	f, err := explain.NewFinder(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if err := f.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	return f.Anomaly()
}

const (
	idA = "0123456789abcdef0123456789abcdef"
	idB = "0123456789abcdff0123456789abcdef" // differs from the 15th digit on
)

func TestFinder(t *testing.T) {
	a, err := find(t, strings.ToUpper(idA[:8]), anomalyOf(idA, nil, 1), windowOf(subject, noon, 1, nil))
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != idA || a.Kind != "rate" || a.Detector != "rate" || a.Severity != "high" || a.Score != 9.5 || a.Reason != "Too many." || a.Observed != 30 || a.Expected != 7.25 ||
		!slices.Equal(a.Calls, []string{"one", "two"}) || !slices.Equal(a.Techniques, []string{"T1530"}) || a.Entity != (explain.Entity{Scope: "key", Key: keyARN}) ||
		a.Start != noon || a.End != noon+size || a.Account != "111122223333" || a.Region != "us-east-1" || a.Since != "" || a.Contributors != nil {
		t.Errorf("found %+v", a)
	}
	if _, err := find(t, idA[:8], anomalyOf(idA, nil, 1), anomalyOf(idB, nil, 1)); err == nil || !strings.Contains(err.Error(), idA+", "+idB) {
		t.Errorf("two ids give %v", err)
	}
	if a, err := find(t, idB[:15], anomalyOf(idA, nil, 1), anomalyOf(idB, nil, 1)); err != nil || a.ID != idB {
		t.Errorf("found %+v, %v", a, err)
	}
	if _, err := find(t, idA, anomalyOf(idB, nil, 1)); !errors.Is(err, explain.ErrNotFound) {
		t.Errorf("no id gives %v", err)
	}
	var many []*otellog.Record
	for i := range 20 {
		many = append(many, anomalyOf(fmt.Sprintf("%s%024x", idA[:8], i), nil, 1))
	}
	if _, err := find(t, idA[:8], many...); err == nil || !strings.Contains(err.Error(), ", others;") || len(err.Error()) > 400 {
		t.Errorf("many ids give %v", err)
	}
	for _, bad := range []string{"", "0123456", "0123456x", idA + "0", "0123 567"} {
		if _, err := explain.NewFinder(bad); err == nil || !strings.Contains(err.Error(), "8 to 32 hexadecimal") {
			t.Errorf("id %q gives %v", bad, err)
		}
	}
}

// Of two records of an anomaly the one with the higher revision counts, whatever the clocks of
// their processes said, and of two with the same revision the later computed one.
func TestFinderTakesTheNewest(t *testing.T) {
	next := anomalyOf(idA, func(a *anomaly.Anomaly) { a.Observed, a.Revision = 7, 2 }, 1)
	for _, order := range [][]*otellog.Record{{next, anomalyOf(idA, nil, 2)}, {anomalyOf(idA, nil, 2), next}} {
		if a, err := find(t, idA, order...); err != nil || a.Observed != 7 {
			t.Errorf("found %+v, %v; want revision 2", a, err)
		}
		list := explain.NewList(0, math.MaxInt64)
		for _, rec := range order {
			if err := list.Add(rec); err != nil {
				t.Fatal(err)
			}
		}
		for rec := range list.Records() {
			if revision := rec.Get(semconv.KeytrailAnomalyRevision).Int; revision != 2 {
				t.Errorf("the list has revision %d, want 2", revision)
			}
		}
	}
	old := anomalyOf(idA, func(a *anomaly.Anomaly) { a.Observed = 1 }, 1)
	for _, order := range [][]*otellog.Record{{old, anomalyOf(idA, nil, 2)}, {anomalyOf(idA, nil, 2), old}, {old, anomalyOf(idA, nil, 1)}} {
		if a, err := find(t, idA, order...); err != nil || a.Observed != 30 {
			t.Errorf("found %+v, %v", a, err)
		}
	}
}

// Finder accepts attributes of other versions in any form.
func TestFinderIsLenient(t *testing.T) {
	rec := anomalyOf(idA, nil, 1)
	rec.Strings("keytrail.anomaly.contributors", []string{"principal x 12", "address y 3"})
	rec.Int("keytrail.anomaly.since", 5)
	a, err := find(t, idA, rec)
	if err != nil || !slices.Equal(a.Contributors, []string{"principal x 12", "address y 3"}) || a.Since != "5" {
		t.Errorf("found %+v, %v", a, err)
	}
	rec = anomalyOf(idA, nil, 1)
	rec.Attrs = slices.DeleteFunc(rec.Attrs, func(a otellog.Attr) bool {
		return a.Key == semconv.KeytrailAnomalyExpected || a.Key == semconv.KeytrailAnomalyScore
	})
	rec.Int(semconv.KeytrailAnomalyScore, 8)
	if a, err := find(t, idA, rec); err != nil || !math.IsNaN(a.Expected) || a.Score != 8 {
		t.Errorf("found %+v, %v", a, err)
	}
	for _, row := range [][2]string{{"keytrail.window.start", "yesterday"}, {"keytrail.window.end", "2026-03-02T12:00:00Z"}, {"keytrail.window.end", "2026-03-02T12:00:00.000000001Z"}, {"keytrail.window.end", "9999-01-01T00:00:00Z"}} {
		name, bad := row[0], row[1]
		rec := anomalyOf(idA, nil, 1)
		rec.Get(name).Str = bad
		f, _ := explain.NewFinder(idA)
		if err := f.Add(rec); err == nil || !strings.Contains(err.Error(), idA) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s %s gives %v", name, bad, err)
		}
	}
}

// Every technique named in the code has a name here. The test reads the files, because
// not all lists are exported.
func TestTechniques(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range []string{"rule", "detect"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`"(T\d{4}(?:\.\d{3})?)"`).FindAllStringSubmatch(string(text), -1) {
				if found[m[1]] = true; explain.Technique(m[1]) == "" {
					t.Errorf("%s names %s, which has no name in techniques.go", file, m[1])
				}
			}
		}
	}
	if len(found) < 10 || explain.Technique("T9999") != "" {
		t.Errorf("found %v", found)
	}
}
