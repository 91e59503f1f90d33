package stream

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/eventtime"
	"keytrail/processor/intake"
	"keytrail/processor/window"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// lines is a log that records its lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) has(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// Calls whose records have no body are counted, logged once, and tallied.
func TestNoBodyIsTold(t *testing.T) {
	log := &lines{}
	p := &Pipeline{now: time.Now, Rules: loadRules(t, userRules), Log: slog.New(slog.NewTextHandler(log, nil)), Topics: wire.DefaultTopics(), Window: Window{Detect: window.DefaultConfig()}}
	p.Partitions = map[string]int32{p.Topics.Anomalies: 2, p.Topics.DeadLetter: 1}
	c := newCounter(p)
	task := &countTask{begun: true, Source: intake.NewSource(p.Window.Detect.Size), progress: eventtime.Progress{Disorder: int64(time.Hour)}}
	c.tasks[0] = task
	owners, callers := twoAccounts(time.Now())
	var ev cloudtrail.Event
	var rec otellog.Record
	dec := cloudtrail.NewDecoder(decoding.Limits{})
	for i, event := range [][]byte{owners, callers} {
		if err := dec.Decode(event, &ev); err != nil {
			t.Fatal(err)
		}
		if ok, err := normalize.New(normalize.Options{OmitBody: true}).Record(&ev, 1, &rec); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := c.Process(&kgo.Record{Offset: int64(i), Value: otellog.AppendRequest(nil, &rec)}); err != nil {
			t.Fatal(err)
		}
	}
	if c.stats.unmatched != 2 || c.stats.delivered != 1 || len(c.out) != 0 || log.has("the log record has no body") != 1 {
		t.Errorf("%+v, %d records out, the log says %q", c.stats, len(c.out), log.text.String())
	}
}

// In a storm of one rule, a hundred of its anomalies are published, and the partials of
// the pair, the key and the principal count the others exactly, also when a better copy
// of a call takes over its credit.
func TestStormOfARule(t *testing.T) {
	p := &Pipeline{now: time.Now, Rules: loadRules(t, userRules), Log: slog.New(slog.DiscardHandler), Topics: wire.DefaultTopics(), Window: Window{Detect: window.DefaultConfig()}}
	p.Partitions = map[string]int32{p.Topics.Anomalies: 2, p.Topics.DeadLetter: 1}
	c := newCounter(p)
	task := &countTask{begun: true, Source: intake.NewSource(p.Window.Detect.Size), progress: eventtime.Progress{Disorder: int64(time.Hour)}}
	c.tasks[0] = task
	var ev cloudtrail.Event
	var rec otellog.Record
	dec := cloudtrail.NewDecoder(decoding.Limits{})
	at := time.Now().Truncate(5 * time.Minute)
	offset := int64(0)
	process := func(event []byte) {
		if err := dec.Decode(event, &ev); err != nil {
			t.Fatal(err)
		}
		if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if err := c.Process(&kgo.Record{Offset: offset, Value: otellog.AppendRequest(nil, &rec)}); err != nil {
			t.Fatal(err)
		}
		offset++
	}
	deletion := func(n int, copied, recipient, identity string) []byte {
		return fmt.Appendf(nil, `{"eventVersion":"1.11","eventTime":"%s","eventSource":"kms.amazonaws.com","eventName":"ScheduleKeyDeletion","awsRegion":"eu-central-1","requestID":"r",
			"eventID":"%s","sharedEventID":"ffffffff-0000-4000-8000-%012d","recipientAccountId":"%s","eventType":"AwsApiCall","userIdentity":%s,
			"resources":[{"ARN":"arn:aws:kms:eu-central-1:444455556666:key/k","accountId":"444455556666","type":"AWS::KMS::Key"}]}`,
			at.UTC().Format(time.RFC3339), fmt.Sprintf("%s0000000-0000-4000-8000-%012d", copied, n), n, recipient, identity)
	}
	const calls, corrected = 3 * anomaly.StormBound, 2 * anomaly.StormBound
	for n := range calls {
		process(deletion(n, "a", "444455556666", `{"type":"AWSAccount","principalId":"AROAX:s","accountId":"111122223333"}`))
	}
	if published := len(c.out); published != anomaly.StormBound {
		t.Fatalf("%d anomalies are published, want %d", published, anomaly.StormBound)
	}
	for n := range corrected { // half were published before, and are now published again under the caller's name
		process(deletion(n, "b", "111122223333", `{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/app/s","accountId":"111122223333"}`))
	}
	if published := len(c.out); published != 2*anomaly.StormBound {
		t.Errorf("%d anomalies are published after the corrections, want %d", published, 2*anomaly.StormBound)
	}
	withheld, rules := map[wire.Scope]int64{}, map[wire.Scope]int64{}
	for p := range task.Table.All() {
		withheld[p.Scope] += count.Get(p, wire.CounterWithheld)
		rules[p.Scope] += count.Get(p, wire.CounterRule)
	}
	for _, scope := range []wire.Scope{wire.ScopeKey, wire.ScopePrincipal, wire.ScopePair} {
		if rules[scope] != calls || withheld[scope] != calls-anomaly.StormBound {
			t.Errorf("%s: %d anomalies counted, %d withheld, want %d and %d", scope, rules[scope], withheld[scope], calls, calls-anomaly.StormBound)
		}
	}
}

// Rules that can find nothing are reported at startup.
func TestRulesAtTheStart(t *testing.T) {
	log := &lines{}
	p := &Pipeline{Log: slog.New(slog.NewTextHandler(log, nil)), Read: cloud.Options{OmitBody: true}, Rules: loadRules(t, userRules)}
	if p.checkRules(Stages{Normalize: true}); log.has("THE RULES FIND NOTHING") != 1 {
		t.Errorf("the log says %q", log.text.String())
	}
	if p.checkRules(Stages{Count: true}); log.has("THE RULES FIND NOTHING") != 1 {
		t.Errorf("another process normalizes: the log says %q", log.text.String())
	}
}
