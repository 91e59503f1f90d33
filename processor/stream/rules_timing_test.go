package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/eventtime"
	"keytrail/processor/generate"
	"keytrail/processor/intake"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// manyRules are n rules without matches; one in ten looks at every KMS event, and the
// others at one operation each.
func manyRules(n int) string {
	var b strings.Builder
	operations := []string{"Decrypt", "GenerateDataKey", "PutKeyPolicy", "CreateGrant", "DisableKey", "ScheduleKeyDeletion", "ImportKeyMaterial", "ReEncrypt", "Encrypt"}
	for i := range n {
		what := "eventName: " + operations[i%len(operations)]
		if i%10 == 0 {
			what = "eventSource: kms.amazonaws.com"
		}
		fmt.Fprintf(&b, "---\ntitle: Rule %d\nlogsource: {product: aws, service: cloudtrail}\ndetection: {s: {%s, 'userIdentity.arn|endswith': '/nobody-%d', 'userAgent|contains': 'x%d'}, condition: s}\n", i, what, i, i)
	}
	return b.String()[len("---\n"):]
}

// The work of stage count per event: decoding, deduplicating, judging, counting.
//
//	go test -run '^$' -bench CountEvents ./processor/stream
func BenchmarkCountEvents(b *testing.B) {
	var records []*kgo.Record
	trailRecords(b, generate.Config{Seed: 3, Events: 20_000}, func(rec *otellog.Record) {
		records = append(records, &kgo.Record{Value: otellog.AppendRequest(nil, rec)})
	})
	for _, n := range []int{0, 1, 100, 1000} {
		b.Run(fmt.Sprint(n, "rules"), func(b *testing.B) {
			p := &Pipeline{now: time.Now, Log: quiet(), Topics: wire.DefaultTopics(), Window: Window{Detect: window.DefaultConfig(), IdleAfter: int64(time.Hour)}}
			p.Partitions = map[string]int32{p.Topics.Anomalies: 2, p.Topics.DeadLetter: 1}
			if n > 0 {
				p.Rules = loadRules(b, manyRules(n))
			}
			c := newCounter(p)
			var t *countTask
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(records) == 0 {
					t = &countTask{begun: true, Source: intake.NewSource(p.Window.Detect.Size), progress: eventtime.Progress{Disorder: int64(1e18)}}
					c.tasks[0], c.out, c.stats = t, nil, tally{}
				}
				r := records[i%len(records)]
				r.Offset = t.to
				if err := c.Process(r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/event")
		})
	}
}
