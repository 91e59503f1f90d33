package count

import (
	"fmt"
	"testing"

	"keytrail/processor/generate"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// detectionsFor are n detections that match nothing; one in ten looks at every event of
// KMS, and the others at one operation each.
func detectionsFor(n int) (list []string) {
	operations := []string{"Decrypt", "GenerateDataKey", "PutKeyPolicy", "CreateGrant", "DisableKey", "ScheduleKeyDeletion", "ImportKeyMaterial", "ReEncrypt", "Encrypt"}
	for i := range n {
		what := "eventName: " + operations[i%len(operations)]
		if i%10 == 0 {
			what = "eventSource: kms.amazonaws.com"
		}
		list = append(list, fmt.Sprintf("%s, 'userIdentity.arn|endswith': '/nobody-%d', 'userAgent|contains': 'x%d'", what, i, i))
	}
	return list
}

// What the user's rules cost an event in stage count, beside decoding its record:
//
//	go test -run '^$' -bench Rules ./processor/count
func BenchmarkRules(b *testing.B) {
	g, err := generate.New(generate.Config{Seed: 3, Events: 4000})
	if err != nil {
		b.Fatal(err)
	}
	var records []*otellog.Record
	norm, dec := normalize.New(normalize.Options{}), cloudtrail.NewDecoder(decoding.Limits{})
	for e := range g.Events() {
		var ev cloudtrail.Event
		var made otellog.Record
		if dec.Decode(e.JSON, &ev) != nil {
			continue
		}
		if ok, err := norm.Record(&ev, 0, &made); ok && err == nil {
			rec := new(otellog.Record)
			if err := rec.Decode(otellog.AppendRequest(nil, &made)); err != nil {
				b.Fatal(err)
			}
			records = append(records, rec)
		}
	}
	bench := func(name string, m *Matcher) {
		b.Run(name, func(b *testing.B) {
			var call Call
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := m.Match(records[i%len(records)], &call); err != nil || call.Matched != 0 {
					b.Fatal(err, call.Matched)
				}
			}
		})
	}
	bench("0", nil)
	bench("1unwanted", NewMatcher(rulesOf(b, "eventName: DisableKey, userAgent: nobody")))
	for _, n := range []int{1, 100, 1000} {
		bench(fmt.Sprint(n), NewMatcher(rulesOf(b, detectionsFor(n)...)))
	}
}
