package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/generate"
	"keytrail/processor/sink"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// expected is the result of scanning the records: the same counting code without Kafka,
// which package scan's tests compare with the oracle.
func expected(t *testing.T, records [][]byte, size int64) map[string]string {
	t.Helper()
	norm, table := normalize.New(normalize.Options{}), count.NewTable(size)
	seen, best := map[string]count.Call{}, []string{}
	var rec otellog.Record
	var call count.Call
	dec := cloudtrail.NewDecoder(decoding.Limits{})
	for _, r := range records {
		var ev cloudtrail.Event
		if dec.Decode(r, &ev) != nil {
			continue
		}
		if ok, err := norm.Record(&ev, 0, &rec); err != nil || !ok {
			continue
		}
		count.FromRecord(&rec, &call)
		old, known := seen[call.IDText]
		if !known || call.Copy > old.Copy {
			own := call.Clone()
			if !known {
				best = append(best, own.IDText)
			}
			seen[own.IDText] = own
		}
	}
	for _, id := range best {
		c := seen[id]
		table.Add(&c, 1)
	}
	want := map[string]string{}
	for p := range table.All() {
		w := entity.Window{Partial: *p, Closed: true}
		anomaly.WindowRecord(&rec, &w, size, 0)
		name, text := describe(&rec)
		want[name] = text
	}
	return want
}

// describe formats a window record's counts, except those that depend on baselines.
func describe(rec *otellog.Record) (name, text string) {
	var parts []string
	for _, a := range rec.Attrs {
		if a.Kind == otellog.KindInt && a.Key != semconv.KeytrailWindowRevision && !strings.HasPrefix(a.Key, "keytrail.window.anomalies.") {
			parts = append(parts, fmt.Sprintf("%s=%d", a.Key, a.Int))
		}
	}
	slices.Sort(parts)
	return windowName(rec), strings.Join(parts, " ")
}

// windowName names a window by its entity: an alias, if its calls named only that.
func windowName(rec *otellog.Record) string {
	key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
	return fmt.Sprintf("%s %q %q %s", rec.Str(semconv.KeytrailWindowScope), key, rec.Str(semconv.KeytrailPrincipalID), rec.Str(semconv.KeytrailWindowStart))
}

// finals reads the final windows from the topic: the highest revision of each, in the
// form of describe.
func finals(t *testing.T, brokers []string, describe func(*otellog.Record) (name, text string)) map[string]string {
	t.Helper()
	found, revisions := map[string]string{}, map[string]int64{}
	var rec otellog.Record
	readTopic(t, brokers, "kms.windows", 2, func(r *kgo.Record) error {
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		if rec.Str(semconv.KeytrailWindowState) != "final" {
			return nil
		}
		name, text := describe(&rec)
		name = strings.Clone(name)
		revision := rec.Get(semconv.KeytrailWindowRevision).Int
		if revision <= revisions[name] {
			t.Errorf("window %s: revision %d after %d", name, revision, revisions[name])
		}
		revisions[name], found[name] = revision, text
		return nil
	})
	return found
}

// eventually waits until the final windows have the expected counts.
func eventually(t *testing.T, brokers []string, want map[string]string) {
	t.Helper()
	eventuallyAs(t, brokers, describe, want)
}

// eventuallyAs waits until the final windows, in the form of describe, are the expected
// ones.
func eventuallyAs(t *testing.T, brokers []string, describe func(*otellog.Record) (name, text string), want map[string]string) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		got := finals(t, brokers, describe)
		wrong := diff(got, want)
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("final windows differ: got %d, want %d; %s", len(got), len(want), wrong)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func diff(got, want map[string]string) string {
	for name, text := range want {
		if got[name] != text {
			return fmt.Sprintf("%s:\n got %q\nwant %q", name, got[name], text)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return "a window that should not be: " + name + " " + got[name]
		}
	}
	return ""
}

// memory is a sink that keeps its records.
type memory struct {
	mu      sync.Mutex
	records map[string]int // event names
	ids     map[string]int // anomaly ids
}

func (m *memory) Deliver(_ context.Context, batch []sink.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var rec otellog.Record
	for _, r := range batch {
		m.records[r.EventName]++
		if err := rec.Decode(r.Value); err != nil {
			return err
		}
		if id := rec.Str(semconv.KeytrailAnomalyID); id != "" {
			m.ids[strings.Clone(id)]++
		}
	}
	return nil
}

func (m *memory) Close() error { return nil }

var all = Stages{Normalize: true, Count: true, Detect: true, Forward: true}

// The whole path: raw CloudTrail records, with copies and broken ones, to final windows,
// anomalies at a sink and dead letters; and the counters add up.
func TestWholeWay(t *testing.T) {
	brokers := broker(t)
	records := trail(t, generate.Config{Seed: 5, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 6000, DuplicateShare: 0.1})
	p := pipeline(t, brokers)
	m := &memory{records: map[string]int{}, ids: map[string]int{}}
	p.Sinks = []Destination{{Name: "memory", Sink: m, From: sink.Earliest(), Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry(), Events: true, Anomalies: true, Windows: WindowsAll}}
	stop := start(t, p, all)
	broken := [][]byte{[]byte(`{"eventVersion":`), []byte(`nonsense`), []byte(`{"eventName":"Decrypt","eventSource":"kms.amazonaws.com","eventTime":"yesterday"}`)}
	produce(t, brokers, p.Topics.Raw, append(broken, records...))
	caughtUp(t, brokers, p)
	stop()
	last := closing(t, brokers)
	last.Sinks = p.Sinks
	stop = start(t, last, all)
	eventually(t, brokers, expected(t, records, p.Window.Detect.Size))
	waitFor(t, "the sink has what it should", func() bool {
		ids, _ := published(t, brokers)
		m.mu.Lock()
		defer m.mu.Unlock()
		for id, n := range ids {
			if m.ids[id] < n {
				return false
			}
		}
		return len(m.ids) > 5 && m.records[semconv.EventKeytrailWindow] > 1000 && m.records[semconv.EventAWSKMSAPICall] > 5000
	})
	stop()
	if n := length(t, brokers, p.Topics.DeadLetter); n < len(broken) {
		t.Errorf("%d records in the dead letter topic, want the %d broken ones", n, len(broken))
	}
	balanced(t, p, last)
	// A sink may get an anomaly any number of times: a rebalance repeats the last batch.
	ids, versions := published(t, brokers)
	for id, n := range versions {
		if n > 3 {
			t.Errorf("anomaly %s was published %d times", id, n)
		}
	}
	for id := range m.ids {
		if ids[id] == 0 {
			t.Errorf("anomaly %s is at the sink and was not published", id)
		}
	}
}

// published returns the number of copies of each anomaly in the topic.
func published(t *testing.T, brokers []string) (ids, versions map[string]int) {
	t.Helper()
	ids, versions = map[string]int{}, map[string]int{}
	var rec otellog.Record
	readTopic(t, brokers, "kms.anomalies", 2, func(r *kgo.Record) error {
		err := rec.Decode(r.Value)
		id := strings.Clone(rec.Str(semconv.KeytrailAnomalyID))
		ids[id]++
		versions[id+" until "+rec.Str(semconv.KeytrailWindowEnd)]++ // an ongoing one has a later end
		return err
	})
	return ids, versions
}

// balanced checks that the counters of ended pipelines add up.
func balanced(t *testing.T, list ...*Pipeline) {
	t.Helper()
	for _, p := range list {
		balances, err := p.Telemetry.Balances(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range balances {
			if err := b.Check(0); err != nil {
				t.Error(err)
			}
			t.Logf("%+v", b)
		}
	}
}

// Restarts, a second instance that joins and leaves, and duplicates across all of it: the
// final windows stay exact, because state is restored from its log before the first
// record.
func TestRestartsKeepCountsExact(t *testing.T) {
	brokers := broker(t)
	records := trail(t, generate.Config{Seed: 9, Start: time.Now().Add(-50 * time.Hour), Duration: 48 * time.Hour, Events: 5000, DuplicateShare: 0.2})
	one := pipeline(t, brokers)
	stop := start(t, one, all)
	third := len(records) / 3
	produce(t, brokers, one.Topics.Raw, records[:third])
	waitForGroup(t, brokers, "test-detect")
	stop()

	two, three := pipeline(t, brokers), pipeline(t, brokers)
	stop = start(t, two, all)
	produce(t, brokers, one.Topics.Raw, append(slices.Clone(records[third-200:third]), records[third:2*third]...)) // some twice
	stopThree := start(t, three, all)
	waitForMembers(t, brokers, "test-count", 2)
	produce(t, brokers, one.Topics.Raw, records[2*third:])
	stopThree()
	caughtUp(t, brokers, two)
	stop()
	start(t, closing(t, brokers), all)
	eventually(t, brokers, expected(t, records, one.Window.Detect.Size))
}
