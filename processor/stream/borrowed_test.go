package stream

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// TestNormalizerKeepsCopies: output of stage normalize does not change with the reused
// memory of its input; the simulation checks count and detect for that.
func TestNormalizerKeepsCopies(t *testing.T) {
	events := trail(t, generate.Config{Seed: 3, Start: time.Now().Add(-50 * time.Hour), Duration: 24 * time.Hour, Events: 300, DuplicateShare: 0.1})
	raw := append(slices.Clone(events),
		[]byte(`{"Records":[`+string(events[0])+`,`+string(events[1])+`]}`),
		[]byte(`{"eventVersion":"1.11","eventSource":"kms.amazonaws.com","eventName":`), []byte("no JSON"), []byte(`{"eventSource":"s3.amazonaws.com"}`))
	normalized := func(lend bool) (list []string) {
		p := &Pipeline{Topics: wire.DefaultTopics(), Partitions: map[string]int32{"kms.events": 3}}
		n := newNormalizer(p)
		for i, value := range raw {
			r := &kgo.Record{Topic: p.Topics.Raw, Offset: int64(i), Key: []byte("key"), Value: bytes.Clone(value)}
			if err := n.Process(r); err != nil {
				t.Fatal(err)
			}
			for k := range r.Value {
				if lend {
					r.Value[k] = '#'
				}
			}
		}
		n.Output(time.Now(), func(r *kgo.Record) {
			text := fmt.Sprintf("%s/%d %s", r.Topic, r.Partition, r.Key)
			var rec otellog.Record
			if r.Topic == p.Topics.Events && rec.Decode(r.Value) == nil {
				rec.Observed = 0
				r.Value = otellog.AppendRequest(nil, &rec)
			}
			for _, h := range r.Headers {
				text += fmt.Sprintf(" %s=%s", h.Key, h.Value)
			}
			list = append(list, text+"\n"+string(r.Value))
		})
		return list
	}
	want, got := normalized(false), normalized(true)
	if len(want) < len(events)/2 || len(got) != len(want) { // some of the events are not KMS events
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("a record changed with what was read:\ngot  %q\nwant %q", got[i], want[i])
		}
	}
}
