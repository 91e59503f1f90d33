package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// topics are the topics of the run, those of the default configuration.
var topics = wire.DefaultTopics()

const (
	windowSize = 5 * time.Minute
	// disorder is by how much event time copies of a call are moved back. A call is
	// late when its window's end plus the allowed lateness of 1 h is behind the
	// watermark, which is 15 min behind the youngest event: never below 75 min.
	disorder = time.Hour
	// sentinels close the last windows: they come last, this long after the others.
	sentinels     = 2 * time.Hour
	sentinelCalls = 200 // so that each of a few partitions gets some
)

// load is what is sent, in this order, and what must come of it.
type load struct {
	records [][]byte
	calls   int // different ones that count
	wanted  int // records that become log records
	letters map[string]int
	end     time.Time // windows that begin at this time or later may still be open
	want    *oracle.Result
	// operations are what a correlation of the user's rules must count.
	operations operations
}

// item is one record to send, in the order of at.
type item struct {
	at   int64
	json []byte
}

// makeLoad makes the records of a run. Their event times end a day ago and pass
// much faster than the clock.
func makeLoad(o options) (*load, error) {
	rng := rand.New(rand.NewPCG(o.seed, 0xca05))
	hours := max(4, int(o.duration.Minutes()*4))
	start := time.Now().Add(-24*time.Hour - time.Duration(hours)*time.Hour).Truncate(time.Hour)
	g, err := generate.New(generate.Config{
		Seed: o.seed, Start: start, Duration: time.Duration(hours) * time.Hour, Keys: 60, Principals: 120,
		Events: min(int(o.duration.Seconds())*o.rate, hours*1_000_000), DuplicateShare: -1,
	})
	if err != nil {
		return nil, err
	}
	judge, err := oracle.New(windowSize)
	if err != nil {
		return nil, err
	}
	l := &load{letters: map[string]int{}, operations: operations{}}
	seen := map[string]bool{}
	var items []item
	add := func(at time.Time, json []byte) { items = append(items, item{at.UnixNano(), json}) }
	var last generate.Event
	for e := range g.Events() {
		last = e
		if err := l.operations.add(seen, e); err != nil {
			return nil, err
		}
		for range 1 + rng.IntN(3) {
			judge.AddRecord(e.JSON)
			add(e.Time.Add(time.Duration(rng.Int64N(int64(disorder)))), e.JSON)
		}
		if e.Time.Sub(start) > time.Duration(hours)*time.Hour/4 && bytes.Contains(e.JSON, kms) && rng.IntN(200) == 0 {
			l.oddity(rng, e, add)
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	for i := range sentinelCalls {
		json := moved(last, last.Time.Add(sentinels), fmt.Sprintf("5e571e1%d-0000-4000-8000-%012d", i%10, i))
		judge.AddRecord(json)
		items = append(items, item{0, json})
	}
	for _, it := range items {
		l.records = append(l.records, it.json)
	}
	l.want, l.end = judge.Result(), last.Time.Add(sentinels-windowSize)
	l.calls = l.want.Counted
	l.wanted = l.want.Counted + l.want.Duplicates + l.letters["late"] + l.letters["future"]
	return l, nil
}

// kms is in the events that become log records.
var kms = []byte(`"eventSource":"kms.amazonaws.com"`)

// oddity adds a record that must not be counted: late by two days, two days
// ahead of the clock, cut, or of another service.
func (l *load) oddity(rng *rand.Rand, e generate.Event, add func(time.Time, []byte)) {
	id := fmt.Sprintf("0dd00000-0000-4000-8000-%012d", rng.Int64N(1e12))
	switch rng.IntN(4) {
	case 0:
		add(e.Time, moved(e, e.Time.Add(-20*24*time.Hour), id))
		l.letters["late"]++
	case 1:
		add(e.Time, moved(e, time.Now().Add(48*time.Hour).Truncate(time.Second), id))
		l.letters["future"]++
	case 2:
		add(e.Time, e.JSON[:len(e.JSON)/2])
		l.letters["truncated"]++
	case 3:
		add(e.Time, []byte(`{"eventVersion":"1.11","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventTime":"`+e.Time.Format(time.RFC3339)+`","eventID":"`+id+`"}`))
	}
}

// moved is an event's record at another time and with another id.
func moved(e generate.Event, to time.Time, id string) []byte {
	out := e.JSON
	for _, f := range []struct{ name, value string }{{"eventTime", to.UTC().Format(time.RFC3339)}, {"eventID", id}, {"sharedEventID", id}} {
		name := []byte(`"` + f.name + `":"`)
		at := bytes.Index(out, name)
		if at < 0 {
			continue
		}
		at += len(name)
		rest := bytes.IndexByte(out[at:], '"')
		out = slices.Concat(out[:at], []byte(f.value), out[at+rest:])
	}
	return out
}

// send produces the records over the duration, into one partition: the order in
// which they are counted is then the order in which they are sent.
func (l *load) send(ctx context.Context, brokers []string, duration time.Duration) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	start := time.Now()
	failed := make(chan error, 1)
	for i, json := range l.records {
		if due := time.Duration(float64(duration) * float64(i) / float64(len(l.records))); due > time.Since(start)+10*time.Millisecond {
			time.Sleep(due - time.Since(start))
		}
		cl.Produce(ctx, &kgo.Record{Topic: topics.Raw, Value: json}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("cannot send: %w", err)
	default:
		return nil
	}
}

// read calls f for every committed record of a topic.
func read(ctx context.Context, brokers []string, topic string, f func(*kgo.Record) error) error {
	counts, err := kafka.EnsureTopics(ctx, kafka.Config{Brokers: brokers, ClientID: "chaos"}, 1, []kafka.Topic{{Name: topic, Partitions: 1}})
	if err != nil {
		return err
	}
	var all []int32
	for p := range counts[topic] {
		all = append(all, p)
	}
	if len(all) == 0 {
		return errors.New("no topic " + topic)
	}
	return kafka.ReadLog(ctx, kafka.Config{Brokers: brokers, ClientID: "chaos"}, topic, all, f)
}
