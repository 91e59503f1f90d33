package output

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"keytrail/plugins/internal/logging"
	"keytrail/schemas/decoding"
)

func TestFlushDeliversEveryForm(t *testing.T) {
	b := newBench(t, func(c *Config) { c.EventKey = "mine" }, seeded())
	b.flush(OK,
		flat(event(0)),
		foreign(t, map[string]any{"log": event(1) + "\n"}),
		foreign(t, map[string]any{"message": `{"Records":[` + event(2) + "," + event(3) + `]}`}),
		foreign(t, map[string]any{"mine": event(4), "log": "something else"}),
		foreign(t, map[string]any{"log": event(5) + "\n" + event(6)}),
	)
	b.wantOnce(7)
	b.flush(OK) // an empty chunk

	// A record that is the event itself has no original text: it gets one.
	b.flush(OK, foreign(t, map[string]any{
		"eventTime": "2026-03-01T12:00:00Z", "eventSource": "kms.amazonaws.com", "eventName": "Decrypt",
		"awsRegion": "eu-west-1", "eventID": id(7), "sequence": uint64(1 << 63),
	}))
	if bodies := b.events()[id(7)]; len(bodies) != 1 || !strings.Contains(bodies[0], `"sequence":9223372036854775808`) {
		t.Errorf("the record that is the event arrived as %q", bodies)
	}
	if s := b.o.Stats(); s != (Stats{Received: 8, Delivered: 8}) {
		t.Errorf("stats %+v", s)
	}
}

func TestFlushFilters(t *testing.T) {
	b := newBench(t, nil, seeded())
	b.flush(OK, flat(strings.Replace(event(9), "kms.amazonaws.com", "s3.amazonaws.com", 1)), flat(event(0)))
	b.wantOnce(1)
	if s := b.o.Stats(); s != (Stats{Received: 2, Delivered: 1, Filtered: 1, FilteredBy: decoding.Filtered{decoding.NotWanted: 1}}) {
		t.Errorf("stats %+v", s)
	}
}

// Each record that Fluent Bit hands over is counted, also one that holds nothing, and
// one that is known and about no call.
func TestFlushCountsEveryRecord(t *testing.T) {
	b := newBench(t, nil, seeded())
	nothing := []map[string]any{{"log": ""}, {"message": " \n"}, {"log": []any{}}, {"log": `{"Records":[]}`}, {"log": "CWL CONTROL MESSAGE"},
		{"log": `{"digestS3Bucket":"b","logFiles":[]}`}}
	for i, body := range nothing {
		before := b.o.Stats()
		b.flush(OK, foreign(t, body))
		s := b.o.Stats()
		if s.Received != before.Received+1 || s.Filtered+s.DeadLettered != before.Filtered+before.DeadLettered+1 {
			t.Errorf("%d: %v is not counted once: %+v after %+v", i, body, s, before)
		}
	}
	b.flush(OK, foreign(t, map[string]any{"log": ""}), flat(event(0)), foreign(t, map[string]any{"log": ""}))
	b.wantOnce(1)
}

func TestFlushPoisonGoesToTheDeadLetterTopic(t *testing.T) {
	b := newBench(t, nil, seeded())
	badTime := strings.Replace(event(8), "2026-03-01T12:00:00Z", "yesterday", 1)
	poison := map[string][]byte{
		"bad_json":      flat(`{"eventName":x}`),
		"duplicate_key": flat(`{"eventName":"a","eventName":"b"}`),
		"bad_time":      flat(badTime),
		"unknown_shape": foreign(t, map[string]any{"level": "info"}),
		"bad_msgpack":   {7},
	}
	var c [][]byte
	for i, reason := range slices.Sorted(maps.Keys(poison)) {
		c = append(c, poison[reason], flat(event(i)))
	}
	b.flush(OK, slices.Concat(c...), flat(event(5))[:20]) // and a cut record
	b.wantOnce(5)

	got := map[string]map[string]string{}
	for _, r := range b.read("kms.deadletter") {
		h := map[string]string{"value": string(r.Value)}
		for _, header := range r.Headers {
			h[header.Key] = string(header.Value)
		}
		got[h["reason"]] = h
		if h["stage"] != "out_kms" || h["detail"] == "" || len(r.Value) == 0 {
			t.Errorf("a dead letter without its origin: %v", h)
		}
	}
	for reason := range poison {
		if got[reason] == nil {
			t.Errorf("no dead letter with the reason %q: %v", reason, got)
		}
	}
	if h := got["bad_json"]; h["object"] != "a/b.json.gz" || h["index"] != "3" || h["offset"] != "99" || h["value"] != `{"eventName":x}` {
		t.Errorf("the place or the bytes are lost: %v", h)
	}
	if h := got["bad_time"]; h["value"] != badTime {
		t.Errorf("the bytes are lost: %v", h)
	}
	if h := got["unknown_shape"]; h["object"] != "trail.tag" || h["value"] != `{"level":"info"}` {
		t.Errorf("a foreign record's dead letter: %v", h)
	}
	for _, reason := range slices.Sorted(maps.Keys(poison)) {
		if n := strings.Count(b.logged(), ` records went to "kms.deadletter": `+reason+" (the first: "); n != 1 {
			t.Errorf("%d lines about %s, want one:\n%s", n, reason, b.logged())
		}
	}
	if s := b.o.Stats(); s != (Stats{Received: 11, Delivered: 5, DeadLettered: 6}) {
		t.Errorf("stats %+v", s)
	}
}

func TestFlushTooLarge(t *testing.T) {
	b := newBench(t, func(c *Config) { c.MaxMessageBytes = 32 << 10 }, seeded())
	large := strings.TrimSuffix(event(1), "}") + `,"padding":"` + strings.Repeat("x", 40<<10) + `"}`
	b.flush(OK, flat(event(0)), flat(large))
	b.wantOnce(1)
	letters := b.read("kms.deadletter")
	if len(letters) != 1 || !strings.HasPrefix(large, string(letters[0].Value)) || len(letters[0].Value) != 16<<10 {
		t.Fatalf("%d dead letters; want one with the first 16 KiB of the event", len(letters))
	}
	headers := map[string]string{}
	for _, h := range letters[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	if headers["reason"] != "record_too_big" || headers["cut"] != "true" {
		t.Errorf("headers %v", headers)
	}
}

func TestFlushWhileKafkaIsAway(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond; c.BufferBytes = 20 * (recordCost + 3000) }, seeded())
	const n = 300 // more than the buffer holds: the first flush stops in the middle
	var c []byte
	for i := range n {
		c = append(c, flat(event(i))...)
	}
	b.broken.Store(true)
	b.flush(Retry, c)
	for b.o.Stats().InFlight == 0 { // the machine was busy with other things
		b.flush(Retry, c)
	}
	if s := b.o.Stats(); s.Received >= n {
		t.Fatalf("stats %+v: the buffer's bound did not stop the flush", s)
	}
	b.flush(Retry, c) // nothing is produced twice while it waits
	b.broken.Store(false)
	deliver(b, c)
	b.wantOnce(n)
	if s := b.o.Stats(); s != (Stats{Received: n, Delivered: n}) {
		t.Errorf("stats %+v", s)
	}
	b.o.log.Emit()
	if len(b.lines) == 0 || !strings.Contains(b.lines[0], "not acknowledged") {
		t.Errorf("the log says %q", b.lines)
	}
}

func TestFlushResumesInsideARecord(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond; c.BufferBytes = 10 * (recordCost + 3000) }, seeded())
	const n = 100
	var list []string
	for i := range n {
		list = append(list, event(i))
	}
	c := foreign(t, map[string]any{"log": `{"Records":[` + strings.Join(list, ",") + `]}`}) // one record, many events
	b.broken.Store(true)
	b.flush(Retry, c)
	b.flush(Retry, c)
	b.broken.Store(false)
	deliver(b, c)
	b.wantOnce(n)
}

func TestFlushFromManyThreads(t *testing.T) {
	b := newBench(t, func(c *Config) { c.BufferBytes = 1 << 20 }, seeded())
	const threads, chunks, each = 8, 10, 20
	var wg sync.WaitGroup
	for th := range threads {
		wg.Go(func() {
			for k := range chunks {
				var c []byte
				for i := range each {
					c = append(c, flat(event((th*chunks+k)*each+i))...)
				}
				if got := b.o.Flush(c, "t"); got != OK {
					t.Errorf("a flush returned %d", got)
				}
			}
		})
	}
	wg.Wait()
	b.wantOnce(threads * chunks * each)
}

func TestFlushMissingTopic(t *testing.T) {
	b := newBench(t, nil, kfake.SeedTopics(1, "kms.deadletter"))
	c := slices.Concat(flat(event(0)), flat(event(1)))
	b.flush(Retry, c)
	b.o.log.Emit()
	if len(b.lines) != 1 || !strings.Contains(b.lines[0], `create the topics "kms.events" and "kms.deadletter"`) {
		t.Errorf("the log says %q", b.lines)
	}
	if s := b.o.Stats(); s.Failed == 0 || s.Delivered != 0 {
		t.Errorf("stats %+v", s)
	}
	if err := b.kafka.CreateTopic("kms.events", 2, nil); err != nil {
		t.Fatal(err)
	}
	deliver(b, c)
	b.wantOnce(2)
}

// A chunk that found no room says so, and not that none of its records are acknowledged.
func TestFlushWithoutRoom(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 50 * time.Millisecond }, seeded())
	if err := b.o.room.Acquire(t.Context(), int64(b.cfg.BufferBytes)); err != nil {
		t.Fatal(err)
	}
	b.flush(Retry, flat(event(0)))
	b.o.log.Emit()
	b.o.room.Release(int64(b.cfg.BufferBytes))
	if len(b.lines) != 1 || !strings.Contains(b.lines[0], "had no room for it within 50ms") {
		t.Errorf("the log says %q", b.lines)
	}
}

func TestNobodyListens(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 200 * time.Millisecond; c.Brokers = []string{"127.0.0.1:1"} })
	b.flush(Retry, flat(event(0)))
	for b.o.Stats().InFlight == 0 || b.o.brokerErr.Load() == nil { // until the client has tried to connect
		b.flush(Retry, flat(event(0)))
	}
	b.o.lastWarn.Store(int64(-warnEvery)) // the next warning is not held back
	b.flush(Retry, flat(event(0)))
	b.close() // must end
	if text := strings.Join(b.lines, "\n"); !strings.Contains(text, "connection refused") || !strings.Contains(text, "1 records were not acknowledged") {
		t.Errorf("the log says\n%s", text)
	}
}

func TestFlushSurvivesAPanicOfTheDecoder(t *testing.T) {
	b := newBench(t, nil, seeded())
	b.o.workers.New = func() any {
		w := newWorker(&b.cfg)
		w.decoder = nil // the first record panics
		return w
	}
	b.flush(OK, flat(event(9)), flat(event(0)))
	b.wantOnce(1)
	letters := b.read("kms.deadletter")
	if len(letters) != 1 || string(letters[0].Value) != event(9) {
		t.Errorf("%d dead letters, want event 9 alone", len(letters))
	}
	b.o.log.Emit()
	if len(b.lines) != 1 || !strings.Contains(b.lines[0], "panicked") {
		t.Errorf("the log says %q", b.lines)
	}
}

func TestFlushKeepsNothingOfTheChunk(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond }, seeded())
	c := slices.Concat(flat(event(0)), flat(`{"eventName":`))
	again := bytes.Clone(c)
	b.broken.Store(true)
	if got := b.o.Flush(c, "t"); got != Retry {
		t.Fatalf("the flush returned %d", got)
	}
	for i := range c { // Fluent Bit frees it, and others write there
		c[i] = 0xff
	}
	b.broken.Store(false)
	deliver(b, again)
	b.wantOnce(1)
	if letters := b.read("kms.deadletter"); len(letters) != 1 || string(letters[0].Value) != `{"eventName":` {
		t.Errorf("dead letters: %v", letters)
	}
}

// FuzzFlushRecord: whatever the chunk, no record panics, and each unit is
// counted once as produced or filtered.
func FuzzFlushRecord(f *testing.F) {
	f.Add(slices.Concat(flat(event(1)), flat("{")))
	f.Add(foreign(f, map[string]any{"log": `{"Records":[` + event(1) + `,{}]}`}))
	f.Add([]byte{0x92, 1, 0x81, 0xa1, 'x', 0xc0, 7, 0xc1})
	cfg := DefaultConfig()
	cfg.Brokers = []string{"127.0.0.1:1"}
	var lines []string
	o, err := New(cfg, "out_kms.0", logging.New("", nil, func(_ logging.Level, s string) { lines = append(lines, s) }))
	if err != nil {
		f.Fatal(err)
	}
	o.client.Close() // a closed client fails each record at once: no network, no buffer
	f.Fuzz(func(t *testing.T, c []byte) {
		before := o.Stats()
		a := newAttempt(&ledger{})
		err := o.walk(t.Context(), a, c, "tag")
		if errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := a.wait(t.Context()); errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for { // the rest of the acknowledgements
			if pending, _ := a.state(); pending == 0 {
				break
			}
			<-a.changed
		}
		s := o.Stats()
		if s.Received-before.Received != s.Filtered-before.Filtered+s.Failed-before.Failed {
			t.Fatalf("the counts do not add up: %+v after %+v", s, before)
		}
		o.log.Emit()
		if len(lines) > 0 {
			t.Fatalf("a panic: %q", lines)
		}
	})
}
