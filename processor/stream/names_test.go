package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// describeNames formats a window's names and calls.
func describeNames(rec *otellog.Record) (name, text string) {
	return windowName(rec), fmt.Sprintf("calls=%d denied=%d key=%q alias=%q primary=%q multi=%v",
		rec.Get(semconv.KeytrailWindowCallsTotal).Int, rec.Get(semconv.KeytrailWindowDenied).Int, rec.Str(semconv.AWSKMSKeyARN),
		rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyPrimaryARN), rec.Get(semconv.AWSKMSKeyMultiRegion) != nil)
}

// judged is the oracle's result for these records, in the form of describeNames.
func judged(t *testing.T, records [][]byte, size time.Duration) map[string]string {
	t.Helper()
	judge, err := oracle.New(size)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		judge.AddRecord(r)
	}
	want := map[string]string{}
	for _, row := range judge.Result().Rows {
		key, alias, primary := row.Key, "", row.Bound
		if strings.Contains(row.Key, ":alias/") {
			alias, primary = row.Key, ""
			if row.Bound != "" {
				key = row.Bound
			}
		}
		want[fmt.Sprintf("%s %q %q %s", row.Scope, row.Key, row.Principal, row.Start.UTC().Format(time.RFC3339))] = fmt.Sprintf(
			"calls=%d denied=%d key=%q alias=%q primary=%q multi=%v", row.Calls, row.Denied, key, alias, primary, strings.Contains(key, ":key/mrk-"))
	}
	return want
}

// Bindings of aliases and multi-Region keys survive a restart, even weeks of event time
// later: the final windows name the same keys as the oracle, across several partitions,
// disorder and duplicates.
func TestNamesAreKnownAfterARestart(t *testing.T) {
	events := generate.Names(6, time.Now().AddDate(0, 0, -110).Truncate(time.Hour))
	slices.SortStableFunc(events, func(a, b generate.Event) int { return a.Delivered.Compare(b.Delivered) })
	var before, after [][]byte // the first three bursts, and the rest
	for _, e := range events {
		if e.Time.Before(events[0].Time.AddDate(0, 0, 57)) {
			before = append(before, e.JSON)
		} else {
			after = append(after, e.JSON)
		}
	}
	size := time.Duration(pipeline(t, nil).Window.Detect.Size)
	want, without := judged(t, slices.Concat(before, after), size), judged(t, after, size)
	remembered := 0
	for name, text := range without {
		if want[name] != text {
			remembered++
		}
	}
	if remembered < 20 {
		t.Fatalf("%d windows need what was known before the restart: this tests too little", remembered)
	}

	brokers := broker(t)
	one, two := pipeline(t, brokers), pipeline(t, brokers)
	stop := start(t, one, all)
	produce(t, brokers, one.Topics.Raw, before)
	caughtUp(t, brokers, one)
	stop()
	stop = start(t, two, all)
	produce(t, brokers, one.Topics.Raw, after)
	caughtUp(t, brokers, two)
	stop()
	start(t, closing(t, brokers), all)
	eventuallyAs(t, brokers, describeNames, want)
}
