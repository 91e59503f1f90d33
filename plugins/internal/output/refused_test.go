package output

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A record that Kafka refuses stops no other, and those that Kafka has are not sent again,
// however often the chunk comes.
func TestFlushRefusedRecords(t *testing.T) {
	b := newBench(t, nil, kfake.SeedTopics(3, "kms.events"))
	var c []byte
	for i := range 40 {
		c = append(c, flat(event(i))...)
		if i%10 == 0 {
			c = append(c, flat(`{"eventName":`)...) // to a topic that does not exist
		}
	}
	for range 3 {
		b.flush(Retry, c)
		b.wantOnce(40)
	}
	if s := b.o.Stats(); s.Delivered != 40 || s.Failed != 12 {
		t.Errorf("stats %+v", s)
	}
	if err := b.kafka.CreateTopic("kms.deadletter", 2, nil); err != nil {
		t.Fatal(err)
	}
	deliver(b, c)
	b.wantOnce(40)
	if letters := b.read("kms.deadletter"); len(letters) != 4 {
		t.Errorf("%d dead letters, want 4", len(letters))
	}
}

// A flush that does not come to the refused records in time leaves them to the next one.
func TestFlushKeepsRefusedRecords(t *testing.T) {
	b := newBench(t, func(c *Config) { c.FlushTimeout = 300 * time.Millisecond }, kfake.SeedTopics(3, "kms.events"))
	c := slices.Concat(flat(event(0)), flat("{"), flat("["))
	for b.o.Stats().Failed < 2 {
		b.flush(Retry, c)
	}
	if err := b.o.room.Acquire(t.Context(), int64(b.cfg.BufferBytes)); err != nil {
		t.Fatal(err)
	}
	b.flush(Retry, c) // no room
	b.o.room.Release(int64(b.cfg.BufferBytes))
	if err := b.o.repeating.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b.flush(Retry, c) // another chunk's turn
	b.o.repeating.Release(1)
	if err := b.kafka.CreateTopic("kms.deadletter", 2, nil); err != nil {
		t.Fatal(err)
	}
	deliver(b, c)
	b.wantOnce(1)
	if letters := b.read("kms.deadletter"); len(letters) != 2 {
		t.Errorf("%d dead letters, want 2", len(letters))
	}
}

// incompressible returns an event of more than n bytes.
func incompressible(t *testing.T, n, size int) string {
	t.Helper()
	random := make([]byte, size)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(event(n), "}") + fmt.Sprintf(`,"padding":"%x"}`, random)
}

// Kafka refuses a batch for its largest record: the others arrive, each once, and so does
// what is inside one Fluent Bit record with it.
func TestFlushTopicTakesLessThanConfigured(t *testing.T) {
	b := newBench(t, nil, kfake.SeedTopics(1, "kms.deadletter"))
	if err := b.kafka.CreateTopic("kms.events", 1, map[string]string{"max.message.bytes": "20000"}); err != nil {
		t.Fatal(err)
	}
	var c []byte
	for i := range 20 {
		c = append(c, flat(event(i))...)
	}
	inside := []string{event(20), incompressible(t, 99, 40<<10), event(21)}
	c = append(c, foreign(t, map[string]any{"log": `{"Records":[` + strings.Join(inside, ",") + `]}`})...)
	for range 3 {
		b.flush(Retry, c)
	}
	b.wantOnce(22)
	if log := b.logged(); !strings.Contains(log, "some of its records are refused by Kafka: MESSAGE_TOO_LARGE") || !strings.Contains(log, "set max_message_bytes") {
		t.Errorf("the log says %q", log)
	}
}
