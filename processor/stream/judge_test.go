package stream

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/dedup"
	"keytrail/processor/detect"
	"keytrail/processor/eventtime"
	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/normalize"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// lines is a log that keeps what it is told.
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

// Calls whose records have no body are counted, told of once, and tallied.
func TestNoBodyIsTold(t *testing.T) {
	log := &lines{}
	p := &Pipeline{now: time.Now, Rules: loadRules(t, userRules), Log: slog.New(slog.NewTextHandler(log, nil)), Topics: wire.DefaultTopics(), Window: Window{Detect: detect.DefaultConfig()}}
	p.Partitions = map[string]int32{p.Topics.Anomalies: 2, p.Topics.DeadLetter: 1}
	c := newCounter(p)
	task := &countTask{begun: true, seen: dedup.NewSet(), credits: map[wire.CallID]count.Call{}, table: count.NewTable(p.Window.Detect.Size), progress: eventtime.Progress{Disorder: int64(time.Hour)}}
	c.tasks[0] = task
	owners, callers := twoAccounts(time.Now())
	var ev cloudtrail.Event
	var rec otellog.Record
	dec := cloudtrail.NewDecoder(cloudtrail.Limits{})
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

// Rules that can find nothing are told of at the start.
func TestRulesAtTheStart(t *testing.T) {
	log := &lines{}
	p := &Pipeline{Log: slog.New(slog.NewTextHandler(log, nil)), Normalize: normalize.Options{OmitBody: true}, Rules: loadRules(t, userRules)}
	if p.checkRules(Stages{Normalize: true}); log.has("THE RULES FIND NOTHING") != 1 {
		t.Errorf("the log says %q", log.text.String())
	}
	if p.checkRules(Stages{Count: true}); log.has("THE RULES FIND NOTHING") != 1 {
		t.Errorf("another process normalizes: the log says %q", log.text.String())
	}
}
