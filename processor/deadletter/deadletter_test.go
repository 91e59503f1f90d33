package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/sink"
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
	doors  map[string]*door
	again  []string // letters that a sink refused again
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{doors: map[string]*door{"siem": {}, "other": {}}}
	f.box = Box{Topic: "kms.deadletter", Kafka: kafka.Config{Brokers: kafkatest.Start(t).Brokers(), ClientID: "test",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	var err error
	if f.client, err = kgo.NewClient(append(f.box.Kafka.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	made, err := kadm.NewClient(f.client).CreateTopics(t.Context(), 2, 1, nil, "kms.deadletter", "kms.raw")
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

// replay runs a replay and returns its totals as text.
func (f *fixture) replay(t *testing.T, filter Filter, apply bool) (string, error) {
	t.Helper()
	r := &Replay{Box: f.box, Filter: filter, Raw: "kms.raw", TransactionalID: "test-deadletter", Log: f.box.Kafka.Log,
		Open: func(name string) (Destination, error) {
			retry := sink.Retry{Base: time.Millisecond, Cap: time.Millisecond}
			return Destination{Sink: f.doors[name], Batch: sink.DefaultBatch(), Retry: retry}, nil
		},
		Refused: func(l *Letter, reason sink.Reason, why error) {
			f.again = append(f.again, fmt.Sprintf("%s %s %v", l.At, reason, why))
		}}
	totals, err := r.Run(t.Context(), apply)
	var text []string
	for _, one := range totals {
		text = append(text, fmt.Sprintf("%s%s%s %d/%d-%d", one.Sink, one.Topic, one.Why, one.Put, one.Letters, one.Refused))
	}
	slices.Sort(text)
	return strings.Join(text, "; "), err
}

// raw returns the values of the topic of raw input.
func (f *fixture) raw(t *testing.T) (list []string) {
	t.Helper()
	err := kafka.ReadLog(t.Context(), f.box.Kafka, "kms.raw", []int32{0, 1}, func(r *kgo.Record) error {
		list = append(list, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestReplay: each letter goes to its own target once, however often a replay runs; letters
// that cannot be put back, that are refused again or that the filter leaves out stay open.
func TestReplay(t *testing.T) {
	f := start(t)
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

// TestReplayEndsAtAPausedSink: a sink that takes nothing ends the replay with its words, and
// its letters stay open.
func TestReplayEndsAtAPausedSink(t *testing.T) {
	f := start(t)
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

// TestManyLetters: a replay of more letters than one step puts each back once.
func TestManyLetters(t *testing.T) {
	f := start(t)
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

// TestNoTopic: an installation without the topic has no letters.
func TestNoTopic(t *testing.T) {
	f := start(t)
	f.box.Topic = "kms.nothing"
	if groups, err := f.box.List(t.Context(), Filter{}); len(groups) > 0 || err != nil {
		t.Errorf("got %v (%v)", groups, err)
	}
}

// FuzzMarks: a marker names the places that it was made of, and no others.
func FuzzMarks(f *testing.F) {
	f.Add(uint64(1), 10)
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		random := rand.New(rand.NewPCG(seed, 1))
		var places []Place
		for range max(0, min(n, 1000)) {
			places = append(places, Place{random.Int32N(3), random.Int64N(200) + 65_400})
		}
		m := marks{}
		if err := m.parse(ranges(slices.Clone(places))); err != nil {
			t.Fatal(err)
		}
		for p := range int32(4) {
			for at := int64(65_300); at < 65_700; at++ {
				if place := (Place{p, at}); m.has(place) != slices.Contains(places, place) {
					t.Fatalf("%v: marked %v", place, m.has(place))
				}
			}
		}
	})
}

// TestPlaces: what is not a place or a range is an error.
func TestPlaces(t *testing.T) {
	for _, text := range []string{"", "1", "/", "1/", "-1/2", "1/-2", "1/2/3", "a/2", "4294967296/1"} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q: %v, want an error", text, p)
		}
	}
	for _, text := range []string{"0/5-4", "0/1-x", "0/1-9223372036854775807", "x"} {
		if err := (marks{}).parse(text); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}
