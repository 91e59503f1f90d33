package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
	mirror "keytrail/processor/sink/kafka"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// door is a sink that keeps what it takes.
type door struct {
	taken  []string
	answer func(batch []sink.Record) error
	closed int
}

func (d *door) Deliver(_ context.Context, batch []sink.Record) error {
	var err error
	if d.answer != nil {
		err = d.answer(batch)
	}
	var refused *sink.Rejected
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	for i, r := range batch {
		if refused != nil && slices.Contains(refused.Records, i) {
			continue
		}
		d.taken = append(d.taken, fmt.Sprintf("%s/%d/%d %s %s", r.Topic, r.Partition, r.Offset, r.Key, r.EventName))
	}
	return err
}

func (d *door) Close() error { d.closed++; return nil }

// fixture is an installation with dead letters.
type fixture struct {
	box    Box
	client *kgo.Client
	input  string // the topic of raw input
	doors  map[string]*door
	again  []string // letters that a sink refused again
}

func start(t *testing.T, brokers []string, prefix string) *fixture {
	t.Helper()
	f := &fixture{doors: map[string]*door{"siem": {}, "other": {}}, input: prefix + "raw"}
	f.box = Box{Topic: prefix + "deadletter", Kafka: kafka.Config{Brokers: brokers, ClientID: "test",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	var err error
	if f.client, err = kgo.NewClient(append(f.box.Kafka.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	made, err := kadm.NewClient(f.client).CreateTopics(t.Context(), 2, 1, nil, f.box.Topic, f.input)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// put writes a dead letter as the stages do.
func (f *fixture) put(t *testing.T, partition int32, key string, d wire.DeadLetter) {
	t.Helper()
	r := &kgo.Record{Topic: f.box.Topic, Partition: partition, Value: d.Raw, Key: []byte(key)}
	for _, h := range d.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if err := f.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// refused puts the letter of a window that a sink refused.
func (f *fixture) refused(t *testing.T, partition int32, to string, n int) {
	t.Helper()
	raw := otellog.AppendRequest(nil, &otellog.Record{Time: 1, EventName: "keytrail.window"})
	f.put(t, partition, fmt.Sprint("key", n), wire.DeadLetter{Stage: "forward", Reason: "rejected_invalid", Sink: to, Raw: raw,
		Detail: fmt.Sprintf("sink %s: status 400: no field %d", to, n), Object: "kms.windows/1", Offset: int64(n)})
}

// prepare returns a replay.
func (f *fixture) prepare(filter Filter) *Replay {
	return &Replay{Box: f.box, Filter: filter, Raw: f.input, TransactionalID: "test-deadletter", Log: f.box.Kafka.Log,
		Open: func(name string) (Destination, error) {
			retry := sink.Retry{Base: time.Millisecond, Cap: time.Millisecond}
			return Destination{Sink: f.doors[name], Batch: sink.DefaultBatch(), Retry: retry}, nil
		},
		Refused: func(l *Letter, reason sink.Reason, why error) {
			f.again = append(f.again, fmt.Sprintf("%s %s %v", l.At, reason, why))
		}}
}

// replay runs a replay and returns its totals as text.
func (f *fixture) replay(t *testing.T, filter Filter, apply bool) (string, error) {
	t.Helper()
	r := f.prepare(filter)
	totals, err := r.Run(t.Context(), apply)
	var text []string
	for _, one := range totals {
		text = append(text, fmt.Sprintf("%s%s%s %d/%d-%d", one.Sink, strings.Replace(one.Topic, f.input, "kms.raw", 1), one.Why, one.Put, one.Letters, one.Refused))
	}
	slices.Sort(text)
	return strings.Join(text, "; "), err
}

// raw returns the values of the topic of raw input.
func (f *fixture) raw(t *testing.T) (list []string) {
	t.Helper()
	err := kafka.ReadLog(t.Context(), f.box.Kafka, f.input, []int32{0, 1}, func(r *kgo.Record) error {
		list = append(list, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestReplay runs the tests below with one broker.
func TestReplay(t *testing.T) {
	brokers := kafkatest.Start(t).Brokers()
	for name, test := range map[string]func(*testing.T, *fixture){"once": putsBackOnce, "paused": endsAtAPausedSink,
		"many": manyLetters, "objects": toObjects, "placeless": placeless, "no-topic": noTopic,
		"only-one": onlyOne, "markers": markersStay} {
		t.Run(name, func(t *testing.T) { test(t, start(t, brokers, name+".")) })
	}
}

// putsBackOnce: each letter goes to its own target once, however often a replay runs; letters
// that cannot be put back, that are refused again or that the filter leaves out stay open.
func putsBackOnce(t *testing.T, f *fixture) {
	for n := range 3 {
		f.refused(t, int32(n%2), "siem", n)
	}
	f.refused(t, 1, "other", 7)
	f.put(t, 0, "", wire.DeadLetter{Stage: "normalize", Reason: "too_many", Raw: []byte("input"), Object: "kms.raw/0/4"})
	f.put(t, 0, "", wire.DeadLetter{Stage: "in_kms", Reason: "bad_json", Raw: []byte("inp"), Cut: true})
	f.put(t, 0, "", wire.DeadLetter{Stage: "count", Reason: "late", Raw: []byte("x")})

	want := "kms.raw 0/1-0; only the beginning of their bytes is kept 0/1-0; other 0/1-0; siem 0/3-0; " +
		"stage count has read them, and would refuse them again 0/1-0"
	if got, err := f.replay(t, Filter{}, false); got != want || err != nil {
		t.Errorf("dry run: %s (%v), want %s", got, err, want)
	}
	if len(f.doors["siem"].taken)+len(f.raw(t)) > 0 {
		t.Error("a dry run has put something back")
	}
	poison := func(batch []sink.Record) error {
		for i, r := range batch {
			if string(r.Key) == "key1" {
				return &sink.Rejected{Records: []int{i}, Reason: sink.ReasonInvalid, Err: errors.New("still no field 1")}
			}
		}
		return nil
	}
	f.doors["siem"].answer = poison
	if got, err := f.replay(t, Filter{Sink: "siem"}, true); got != "siem 2/3-1" || err != nil {
		t.Errorf("replay to one sink: %s (%v)", got, err)
	}
	if len(f.again) != 1 || !strings.Contains(f.again[0], "still no field 1") || len(f.doors["other"].taken) > 0 {
		t.Errorf("refused again: %q; another sink has %q", f.again, f.doors["other"].taken)
	}
	f.doors["siem"].answer = nil
	if got, err := f.replay(t, Filter{}, true); !strings.Contains(got, "siem 1/1-0") || !strings.Contains(got, "kms.raw 1/1-0") || err != nil {
		t.Errorf("replay of all: %s (%v)", got, err)
	}
	if got, err := f.replay(t, Filter{}, true); strings.Contains(got, "siem") || strings.Contains(got, "kms.raw") || err != nil {
		t.Errorf("a second replay of all: %s (%v)", got, err)
	}
	taken := slices.Sorted(slices.Values(f.doors["siem"].taken))
	if want := []string{"kms.windows/1/0 key0 keytrail.window", "kms.windows/1/1 key1 keytrail.window",
		"kms.windows/1/2 key2 keytrail.window"}; !slices.Equal(taken, want) {
		t.Errorf("siem took %q, want %q", taken, want)
	}
	if got := f.raw(t); !slices.Equal(got, []string{"input"}) {
		t.Errorf("kms.raw has %q, want the input once", got)
	}
	groups, err := f.box.List(t.Context(), Filter{})
	var text []string
	for _, g := range groups {
		text = append(text, fmt.Sprintf("%s %s %s %d %d", g.Stage, g.Reason, g.Sink, g.Open, g.Done))
	}
	if got, want := strings.Join(text, "; "), "count late  1 0; in_kms bad_json  1 0; forward rejected_invalid other 0 1; "+
		"forward rejected_invalid siem 0 3; normalize too_many  0 1"; got != want || err != nil {
		t.Errorf("list: %s (%v), want %s", got, err, want)
	}
	if f.doors["siem"].closed != 2 {
		t.Errorf("the sink was closed %d times, want once a replay", f.doors["siem"].closed)
	}
}

// endsAtAPausedSink: a sink that takes nothing ends the replay with its words, and
// its letters stay open.
func endsAtAPausedSink(t *testing.T, f *fixture) {
	f.refused(t, 0, "siem", 1)
	f.doors["siem"].answer = func([]sink.Record) error {
		return &sink.Paused{Cause: sink.CauseCredentials, Err: errors.New("no such token")}
	}
	got, err := f.replay(t, Filter{}, true)
	if err == nil || !strings.Contains(err.Error(), "no such token") || got != "siem 0/1-0" {
		t.Errorf("got %s and error %v", got, err)
	}
	f.doors["siem"].answer = nil
	if got, err := f.replay(t, Filter{}, true); got != "siem 1/1-0" || err != nil {
		t.Errorf("with the credentials: %s (%v)", got, err)
	}
}

// manyLetters: a replay of more letters than one step puts each back once.
func manyLetters(t *testing.T, f *fixture) {
	const n = 2*stepLetters + 7
	raw := bytes.Repeat([]byte("x"), 100)
	for i := range n {
		f.put(t, int32(i%2), "", wire.DeadLetter{Stage: "forward", Reason: "rejected_invalid", Sink: "siem", Raw: raw,
			Object: "kms.events/0", Offset: int64(i)})
	}
	if got, err := f.replay(t, Filter{}, true); got != fmt.Sprintf("siem %d/%d-0", n, n) || err != nil {
		t.Errorf("got %s (%v)", got, err)
	}
	all := slices.Compact(slices.Sorted(slices.Values(f.doors["siem"].taken)))
	if len(all) != n || len(f.doors["siem"].taken) != n {
		t.Errorf("%d letters arrived, %d different ones, want %d", len(f.doors["siem"].taken), len(all), n)
	}
}

// objects is a door that takes records of one partition at a time.
type objects struct{ *door }

func (objects) Planned() {}

// toObjects: a sink that names objects by offsets gets each partition alone, in
// order.
func toObjects(t *testing.T, f *fixture) {
	for i, at := range []wire.DeadLetter{{Object: "kms.events/1", Offset: 7}, {Object: "kms.events/0", Offset: 9},
		{Object: "kms.events/1", Offset: 3}, {Object: "kms.windows/1", Offset: 1}} {
		at.Stage, at.Reason, at.Sink, at.Raw = "forward", "rejected_invalid", "siem", []byte("x")
		f.put(t, int32(i%2), "", at)
	}
	var batches []string
	f.doors["siem"].answer = func(batch []sink.Record) error {
		text := ""
		for _, r := range batch {
			text += fmt.Sprintf("%s/%d/%d ", r.Topic, r.Partition, r.Offset)
		}
		batches = append(batches, text)
		return nil
	}
	r := f.prepare(Filter{})
	r.Open = func(string) (Destination, error) {
		return Destination{Sink: objects{f.doors["siem"]}, Batch: sink.DefaultBatch(), Retry: sink.DefaultRetry()}, nil
	}
	_, err := r.Run(t.Context(), true)
	want := []string{"kms.events/0/9 ", "kms.events/1/3 kms.events/1/7 ", "kms.windows/1/1 "}
	if !slices.Equal(batches, want) || err != nil {
		t.Errorf("batches %q (%v), want %q", batches, err, want)
	}
}

// placeless: a sink that stores positions takes letters in any order, also those of one
// partition; so does one that names objects, of a topic that was made again.
func placeless(t *testing.T, f *fixture) {
	target := f.input + ".events"
	if _, err := kadm.NewClient(f.client).CreateTopics(t.Context(), 1, 1, nil, target); err != nil {
		t.Fatal(err)
	}
	raw := otellog.AppendRequest(nil, &otellog.Record{Time: 1, EventName: "aws.kms.api_call"})
	for i, at := range []int64{9, 3, 9} {
		f.put(t, 0, fmt.Sprint("key", i), wire.DeadLetter{Stage: "forward", Reason: "rejected_invalid", Sink: "siem", Raw: raw,
			Object: "kms.events/1", Offset: at})
	}
	r := f.prepare(Filter{})
	c := mirror.DefaultConfig()
	c.Brokers, c.Topics = f.box.Kafka.Brokers, mirror.Topics{Events: target, Windows: target, Anomalies: target, Incidents: target}
	r.Open = func(string) (Destination, error) {
		s, err := c.Open(sink.Identity{Name: "siem", Group: target, Log: f.box.Kafka.Log})
		return Destination{Sink: s, Batch: sink.Batch{Records: 1, Bytes: 1 << 20}, Retry: sink.DefaultRetry()}, err
	}
	if _, err := r.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var keys []string
	err := kafka.ReadLog(t.Context(), f.box.Kafka, target, []int32{0}, func(r *kgo.Record) error {
		keys = append(keys, string(r.Key))
		return nil
	})
	if want := []string{"key0", "key1", "key2"}; !slices.Equal(keys, want) || err != nil {
		t.Errorf("the target has %q (%v), want %q", keys, err, want)
	}
	to := &receiver{Destination: Destination{Sink: objects{f.doors["siem"]}}}
	one, two := r.record(to, &Letter{At: Place{0, 1}}), r.record(to, &Letter{At: Place{0, 2}})
	if one.TopicID == two.TopicID || one.TopicID == [16]byte{} {
		t.Errorf("two letters have the topic ids %x and %x", one.TopicID, two.TopicID)
	}
}

// onlyOne: while a replay runs, a second one puts nothing back. It begins after the end of the
// first.
func onlyOne(t *testing.T, f *fixture) {
	f.refused(t, 0, "siem", 1)
	var second error
	f.doors["siem"].answer = func([]sink.Record) error {
		_, second = f.prepare(Filter{}).Run(t.Context(), true)
		return nil
	}
	if got, err := f.replay(t, Filter{}, true); got != "siem 1/1-0" || err != nil {
		t.Errorf("got %s (%v)", got, err)
	}
	if second == nil || !strings.Contains(second.Error(), "another replay runs") || len(f.doors["siem"].taken) != 1 {
		t.Errorf("the second replay: %v; %q were taken", second, f.doors["siem"].taken)
	}
	f.doors["siem"].answer = nil
	if got, err := f.replay(t, Filter{}, true); got != "" || err != nil {
		t.Errorf("afterwards: %s (%v)", got, err)
	}
}

// markersStay: a marker is in the partition of its letters. If a bound of size deletes the
// other partition, nothing is put back again.
func markersStay(t *testing.T, f *fixture) {
	f.refused(t, 0, "siem", 1)
	f.refused(t, 1, "siem", 2)
	if got, err := f.replay(t, Filter{}, true); got != "siem 2/2-0" || err != nil {
		t.Fatal(got, err)
	}
	for partition := range int32(2) {
		admin := kadm.NewClient(f.client)
		ends, err := admin.ListEndOffsets(t.Context(), f.box.Topic)
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup(f.box.Topic, partition)
		var gone kadm.Offsets
		gone.Add(kadm.Offset{Topic: f.box.Topic, Partition: partition, At: end.Offset})
		if deleted, err := admin.DeleteRecords(t.Context(), gone); err != nil || deleted.Error() != nil {
			t.Fatal(err, deleted.Error())
		}
		if got, err := f.replay(t, Filter{}, true); got != "" || err != nil {
			t.Errorf("without partition %d: %s (%v)", partition, got, err)
		}
	}
}

// noTopic: an installation without the topic has no letters.
func noTopic(t *testing.T, f *fixture) {
	f.box.Topic = "kms.nothing"
	if groups, err := f.box.List(t.Context(), Filter{}); len(groups) > 0 || err != nil {
		t.Errorf("got %v (%v)", groups, err)
	}
}
