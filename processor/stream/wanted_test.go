package stream

import (
	"reflect"
	"testing"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/generate"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// Stage count's partial decoding of a record suffices: calls, matches and anomalies of
// rules equal those of the whole record.
func TestWhatCountingWantsIsEnough(t *testing.T) {
	rules := loadRules(t, userCorrelations)
	var all, some otellog.Record // reused, like in the stage
	ofAll, ofSome := count.NewMatcher(rules), count.NewMatcher(rules)
	records, anomalies, seen := 0, 0, 0
	check := func(rec *otellog.Record) {
		data := otellog.AppendRequest(nil, rec)
		if err := all.Decode(data); err != nil {
			t.Fatal(err)
		}
		if err := some.DecodeOnly(data, count.Attributes); err != nil {
			t.Fatal(err)
		}
		var want, got count.Call
		count.FromRecord(&all, &want)
		count.FromRecord(&some, &got)
		wantFound, wrong := ofAll.Match(&all, &want)
		gotFound, err := ofSome.Match(&some, &got)
		if got != want || (err == nil) != (wrong == nil) || !reflect.DeepEqual(gotFound, wantFound) {
			t.Fatalf("%+v, %+v, %v\nof the whole record\n%+v, %+v, %v", got, gotFound, err, want, wantFound, wrong)
		}
		e := wire.Entity{Scope: wire.ScopePair, Key: got.Key, Principal: got.Principal}
		explained := func(rec *otellog.Record, c *count.Call, found count.Found) []anomaly.Anomaly {
			return append(anomaly.FromRules(rec, c.Rules, e, 0, 1), anomaly.FromSigma(rec, found.Rules, e, 0, 1)...)
		}
		a := explained(&some, &got, gotFound)
		if b := explained(&all, &want, wantFound); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\nof the whole record\n%+v", a, b)
		}
		records, anomalies, seen = records+1, anomalies+len(a), seen+len(gotFound.Observations)
	}
	for seed := range uint64(4) {
		trailRecords(t, generate.Config{Seed: seed, Events: 10_000, Duration: 30 * 24 * time.Hour}, check)
	}
	if records < 10_000 || anomalies < 10 || seen == 0 {
		t.Errorf("%d records with %d anomalies and %d observations: too few to say anything", records, anomalies, seen)
	}
}
