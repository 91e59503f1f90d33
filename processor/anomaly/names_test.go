package anomaly

import (
	"testing"

	"keytrail/processor/entity"
	"keytrail/schemas/otellog"
	"keytrail/schemas/registry"
	"keytrail/schemas/wire"
)

// FuzzNamesAreTheRegistrys holds that whatever callers are called, and whatever they call
// their keys, the attributes of windows and anomalies have the registry's names.
func FuzzNamesAreTheRegistrys(f *testing.F) {
	f.Add("arn:aws:kms:eu-central-1:111122223333:key/k", "arn:aws:iam::111122223333:role/r", "reason", byte(0), int64(1))
	f.Add("keytrail.window.calls", "class", "a.b", byte(255), int64(-1))
	reg, err := registry.Load(registry.Files())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key, principal, text string, n byte, number int64) {
		e := wire.Entity{Scope: wire.Scope(n % 3), Key: key, Principal: principal}
		w := entity.Window{Partial: wire.Partial{Entity: e}, Closed: n&4 != 0, Bound: &wire.Binding{Key: text}}
		for id := range wire.NumCounters {
			w.Counters = append(w.Counters, wire.Counter{ID: id, N: number})
		}
		a := Anomaly{
			ID: text, Kind: Kind(text), Detector: text, Reason: text, Contributors: []string{text}, Calls: []string{text}, Techniques: []string{text},
			Entity: e, Bound: w.Bound, Score: float64(n % 12), End: number,
		}
		var rec otellog.Record
		WindowRecord(&rec, &w, 1, number)
		checkNames(t, reg, &rec)
		AnomalyRecord(&rec, &a, number)
		checkNames(t, reg, &rec)
	})
}

func checkNames(t *testing.T, reg *registry.Registry, rec *otellog.Record) {
	t.Helper()
	known := map[string]bool{}
	for _, e := range reg.Events {
		if e.Name == rec.EventName {
			for _, u := range e.Uses() {
				known[u.ID] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, a := range rec.Attrs {
		if !known[a.Key] || seen[a.Key] {
			t.Errorf("%s has an attribute %q, which the registry does not give it, or has it twice", rec.EventName, a.Key)
		}
		seen[a.Key] = true
	}
}
