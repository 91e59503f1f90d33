package plugintest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka/kafkatest"
)

// wantInKafka has out_kms deliver the chunks, and checks that every event's id has
// arrived. The events' calls have the events' ids.
func wantInKafka(t *testing.T, b built, chunks []string, ids map[string]bool) {
	t.Helper()
	brokers := kafkatest.Start(t).Brokers()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("kms.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 3, 1, nil, "kms.events", "kms.deadletter"); err != nil {
		t.Fatal(err)
	}
	args := append([]string{b.out}, chunks...)
	mustRun(t, b, append(args, props("brokers="+strings.Join(brokers, ","), patientFlush)...)...)
	seen := map[string]bool{}
	for len(seen) < len(ids) && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Key)] = true })
	}
	missing(t, ids, seen)
}

// seenIn notes the ids of the events that a host has written.
func seenIn(t *testing.T, path string, seen map[string]bool) {
	t.Helper()
	rest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(rest) > 0 {
		v, behind, err := msgp.ReadIntfBytes(rest)
		if err != nil {
			return // the host is writing, or was killed while it did
		}
		event := v.([]any)[1].(map[string]any)["event"].(string)
		seen[idOf(t, event)] = true
		rest = behind
	}
}

// missing checks that every id was seen.
func missing(t *testing.T, ids, seen map[string]bool) {
	t.Helper()
	n := 0
	for id := range ids {
		if !seen[id] {
			if n++; n <= 5 {
				t.Errorf("event %s did not arrive", id)
			}
		}
	}
	if n > 0 {
		t.Errorf("%d of %d events did not arrive", n, len(ids))
	}
}
