package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/internal/chaostest"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// everyCall is a user's rule with a correlation that holds in every window of every
// operation, so that its anomalies count each operation's calls per window.
const everyCall = `title: A Call Of KMS
name: call
logsource: {product: aws, service: cloudtrail}
detection: {s: {eventSource: kms.amazonaws.com}, condition: s}
---
title: Every Operation
id: every-operation
correlation: {type: event_count, rules: [call], group-by: [eventName], timespan: 5m, condition: {lte: 1000000000}}
`

// operations counts the calls per operation and window, by both names.
type operations map[string]int

// add counts a KMS event, once per call.
func (o operations) add(seen map[string]bool, e generate.Event) error {
	var fields struct{ EventSource, EventName, EventID, SharedEventID string }
	if err := json.Unmarshal(e.JSON, &fields); err != nil {
		return err
	}
	id := fields.EventID
	if fields.SharedEventID != "" {
		id = fields.SharedEventID
	}
	if fields.EventSource == "kms.amazonaws.com" && !seen[id] {
		seen[id] = true
		o[fields.EventName+" "+e.Time.UTC().Truncate(chaostest.WindowSize).Format(time.RFC3339)]++
	}
	return nil
}

// published reads the last revision of each of the correlation's anomalies.
func published(ctx context.Context, brokers []string) (operations, error) {
	got := operations{}
	var rec otellog.Record
	err := chaostest.Read(ctx, brokers, topics.Anomalies, func(r *kgo.Record) error {
		if err := rec.Decode(r.Value); err != nil || rec.Str(semconv.KeytrailAnomalyDetector) != "sigma/every-operation" {
			return err
		}
		text := rec.Str(semconv.KeytrailWindowStart)
		_, group, found := strings.Cut(rec.Str(semconv.KeytrailAnomalyReason), ", eventName ")
		if !found {
			return fmt.Errorf("an anomaly names no group: %s", rec.Str(semconv.KeytrailAnomalyReason))
		}
		got[strings.TrimSuffix(group, ".")+" "+text] = int(rec.Get(semconv.KeytrailAnomalyObserved).Num)
		return nil
	})
	return got, err
}

// compare adds missing and excess windows of the correlation to the verdict.
func (o operations) compare(want operations, v *verdict) {
	for n, calls := range want {
		if o[n] != calls {
			v.mismatches++
			v.lost += max(0, calls-o[n])
			v.duplicated += max(0, o[n]-calls)
		}
	}
	for n, calls := range o {
		if want[n] == 0 {
			v.mismatches++
			v.duplicated += calls
		}
	}
}

// explain prints some of the differences.
func (o operations) explain(want operations) {
	left := 10
	for n, calls := range want {
		if o[n] != calls && left > 0 {
			left--
			chaostest.Say("correlation %s: got %d, want %d", n, o[n], calls)
		}
	}
	for n, calls := range o {
		if want[n] == 0 && left > 0 {
			left--
			chaostest.Say("correlation %s: got %d, want none", n, calls)
		}
	}
}
