package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/generate"
	"keytrail/schemas/wire"
)

// load sends the records of a synthetic trail again and again, each time with new ids and the
// present as their time.
type load struct {
	templates []template
	sent      int // records that Kafka has acknowledged
}

// template is a CloudTrail record without its time and ids.
type template struct {
	parts [][]byte // around the fields
	ids   []bool   // whether a field is an id rather than the time
}

// templates is how many records the trail has.
const templates = 50_000

func newLoad(o options) (*load, error) {
	g, err := generate.New(generate.Config{Seed: 1, Start: time.Now().Add(-10 * 24 * time.Hour).Truncate(time.Hour),
		Duration: 10 * 24 * time.Hour, Keys: o.keys, Principals: o.principals, Events: templates})
	if err != nil {
		return nil, err
	}
	l := &load{}
	for e := range g.Events() {
		l.templates = append(l.templates, cut(slices.Clone(e.JSON)))
	}
	return l, nil
}

// cut cuts the values of the time and the ids out of a record.
func cut(record []byte) (t template) {
	type span struct {
		from, to int
		id       bool
	}
	var spans []span
	for name, id := range map[string]bool{`"eventTime":"`: false, `"eventID":"`: true, `"sharedEventID":"`: true} {
		if at := bytes.Index(record, []byte(name)); at >= 0 {
			at += len(name)
			spans = append(spans, span{at, at + bytes.IndexByte(record[at:], '"'), id})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	from := 0
	for _, s := range spans {
		t.parts, t.ids = append(t.parts, record[from:s.from]), append(t.ids, s.id)
		from = s.to
	}
	t.parts = append(t.parts, record[from:])
	return t
}

// record returns the n-th record of the load.
func (l *load) record(n uint64, now time.Time) []byte {
	t := &l.templates[n%uint64(len(l.templates))]
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], n*0x9e3779b97f4a7c15) // spread over the partitions
	binary.BigEndian.PutUint64(raw[8:], n)
	digits := hex.EncodeToString(raw[:])
	id := fmt.Sprintf("%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
	out := make([]byte, 0, 2048)
	for i, part := range t.parts {
		out = append(out, part...)
		switch {
		case i == len(t.ids):
		case t.ids[i]:
			out = append(out, id...)
		default:
			out = now.UTC().AppendFormat(out, time.RFC3339)
		}
	}
	return out
}

// send sends records at the rate until the duration has passed or ctx is done.
func (l *load) send(ctx context.Context, brokers []string, o options) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	var failed error
	answered := func(_ *kgo.Record, err error) { // one after another
		if err != nil {
			failed = err
		} else {
			l.sent++
		}
	}
	topic := wire.DefaultTopics().Raw
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began, n := time.Now(), uint64(0)
	for time.Since(began) < o.duration {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for due := uint64(now.Sub(began).Seconds() * float64(o.rate)); n < due; n++ {
				cl.Produce(ctx, &kgo.Record{Topic: topic, Value: l.record(n, now)}, answered)
			}
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	return failed
}

// freeAddress returns an address of the loopback interface on which nothing listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
