package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/processor/internal/chaostest"
	"keytrail/processor/internal/oracle"
	"keytrail/processor/kafka"
	"keytrail/schemas/wire"
)

// topics are the topics of the run, those of the default configuration.
var topics = wire.DefaultTopics()

const (
	// disorder is how far copies of a call are moved back in event time. A call is late
	// if its window's end plus the allowed lateness of 1 h is behind the watermark, which
	// is 15 min behind the youngest event: never below 75 min.
	disorder = 40 * time.Minute
	// deferred is how far, in addition, the calls of one partition are delayed in event
	// time, twice in a run: that partition falls idle, and its calls arrive when the
	// others are ahead. 40 and 20 min are less than 75.
	deferred = 20 * time.Minute
	// idleAfter is the silence after which a source is idle: shorter than deferred, which
	// passes in five seconds, and than the pauses of the sender.
	idleAfter = time.Second
	// partitions are those of kms.events.
	partitions = 6
	// pauses is how long the sender stops, twice: without input the clock, which is a day
	// ahead of the events, closes all windows.
	pauses = 8 * time.Second
)

// load is the sent records, in order, with the expected result.
type load struct {
	records [][]byte
	calls   int // distinct ones that count
	wanted  int // records that become log records
	letters map[string]int
	either  int // late better copies: each is a duplicate, or a dead letter once its id is forgotten
	want    *oracle.Result
	// operations are the expected counts of the user's correlation.
	operations operations
}

// item is one record to send, in the order of at.
type item struct {
	at   int64
	json []byte
}

// makeLoad makes the records of a run. Their event times end a day ago and advance much
// faster than the clock.
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
	judge, err := oracle.New(chaostest.WindowSize)
	if err != nil {
		return nil, err
	}
	l := &load{letters: map[string]int{}, operations: operations{}}
	seen := map[string]bool{}
	var items []item
	add := func(at time.Time, json []byte) { items = append(items, item{at.UnixNano(), json}) }
	for e := range g.Events() {
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
		// Younger calls must be sent before the better copy, to make it late.
		if rng.IntN(300) == 0 && e.Time.Before(start.Add(time.Duration(hours)*time.Hour-2*time.Hour)) {
			if err := l.better(rng, e.Time, seen, judge, add); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	for _, from := range []int{len(items) / 4, len(items) * 5 / 8} {
		fallIdle(items[from:], rng.Int32N(partitions))
	}
	for _, it := range items {
		l.records = append(l.records, it.json)
	}
	l.want = judge.Result()
	l.calls = l.want.Counted
	l.wanted = l.want.Counted + l.want.Duplicates + l.letters["late"] + l.letters["future"] + l.either
	return l, nil
}

// kms wraps events that become log records.
var kms = []byte(`"eventSource":"kms.amazonaws.com"`)

// oddity adds a record that must not count: late by two days, two days ahead of the
// clock, truncated, or of another service.
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
		add(e.Time, []byte(`{"eventVersion":"1.11","eventSource":"s3.amazonaws.com","eventName":"GetObject",`+
			`"eventTime":"`+e.Time.Format(time.RFC3339)+`","eventID":"`+id+`"}`))
	}
}

// better adds a call on another account's key: the owner's record in time, and the
// caller's once it is surely late. The call counts once, by the owner's record.
func (l *load) better(rng *rand.Rand, at time.Time, seen map[string]bool, judge *oracle.Judge,
	add func(time.Time, []byte)) error {
	const caller, owner = "111122223333", "444455556666"
	id := fmt.Sprintf("be77e700-0000-4000-8000-%012d", rng.Int64N(1e12))
	record := func(identity, recipient string, of int) []byte {
		return fmt.Appendf(nil, `{"eventVersion":"1.11","userIdentity":{%s},"eventTime":%q,`+
			`"eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-west-1",`+
			`"resources":[{"ARN":"arn:aws:kms:eu-west-1:%s:key/0000be77-0000-4000-8000-00000000000%d"}],`+
			`"eventID":"0%d%s","recipientAccountId":%q,"sharedEventID":%q}`,
			identity, at.UTC().Format(time.RFC3339), owner, at.Unix()%5, of, id[2:], recipient, id)
	}
	first := record(`"type":"AWSAccount","accountId":"`+caller+`"`, owner, 1)
	judge.AddRecord(first)
	add(at, first)
	// The watermark is 15 min behind the sent events, and a window of 5 min accepts calls
	// for an hour. Ids are remembered ten minutes longer.
	late := at.Add(83*time.Minute + time.Duration(rng.Int64N(int64(15*time.Minute))))
	add(late, record(`"type":"AssumedRole","accountId":"`+caller+
		`","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::`+caller+`:role/late"}}`, caller, 2))
	l.either++
	return l.operations.add(seen, generate.Event{Time: at, JSON: first})
}

// fallIdle moves a partition's records of the first part of items behind all others.
func fallIdle(items []item, partition int32) {
	n := 0
	for n < len(items) && items[n].at < items[0].at+int64(deferred) {
		n++
	}
	slices.SortStableFunc(items[:n], func(a, b item) int {
		return cmp.Compare(boolInt(partitionOf(a.json) == partition), boolInt(partitionOf(b.json) == partition))
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// partitionOf returns the partition of kms.events for a record's call.
func partitionOf(record []byte) int32 {
	var ids struct{ EventID, SharedEventID string }
	if err := json.Unmarshal(record, &ids); err != nil {
		return -1 // a broken record
	}
	return kafka.KeyPartition([]byte(cmp.Or(ids.SharedEventID, ids.EventID)), partitions)
}

// moved returns an event's record at another time with another id.
func moved(e generate.Event, to time.Time, id string) []byte {
	out := e.JSON
	for _, f := range []struct{ name, value string }{{"eventTime", to.UTC().Format(time.RFC3339)}, {"eventID", id},
		{"sharedEventID", id}} {
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

// send produces the records over the duration, into one partition, so that they are
// counted in the order of sending. Twice it pauses, like stopped shippers, so that all
// sources fall idle.
func (l *load) send(ctx context.Context, brokers []string, duration time.Duration) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	start := time.Now()
	failed := make(chan error, 1)
	for i, json := range l.records {
		if i == len(l.records)/3 || i == len(l.records)*3/4 {
			chaostest.Say("stop sending for %v", pauses)
			if err := cl.Flush(ctx); err != nil {
				return err
			}
			chaostest.Pause(ctx, pauses)
			start = start.Add(pauses)
		}
		due := time.Duration(float64(duration) * float64(i) / float64(len(l.records)))
		if due > time.Since(start)+10*time.Millisecond {
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
