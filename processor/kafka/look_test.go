package kafka_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/kafka"
)

// look returns the values that a look reads, sorted, and the number of unread offsets.
func (c *cluster) look(ctx context.Context, l kafka.Look) (values []string, unread int64, err error) {
	l.Most = max(l.Most, 1)
	unread, err = l.Read(ctx, c.cfg, func(_, value []byte) { values = append(values, string(value)) })
	slices.Sort(values)
	return values, unread, err
}

// sees checks the values that a look reads.
func (c *cluster) sees(l kafka.Look, unread int64, want ...string) {
	c.t.Helper()
	got, left, err := c.look(c.t.Context(), l)
	if err != nil || left != unread || !slices.Equal(got, want) {
		c.t.Errorf("%+v reads %q and leaves %d, %v; want %q and %d", l, got, left, err, want, unread)
	}
}

// A look reads committed records and waits for nothing.
func TestLookReadsTheCommitted(t *testing.T) {
	c := start(t)
	c.topics(2, "a", "empty")
	c.end(c.transaction("one", "a", 0, "x", "y"), kgo.TryAbort)
	c.produce("a", 0, "1")
	c.end(c.transaction("two", "a", 0, "2"), kgo.TryCommit)
	c.produce("a", 1, "3")
	c.end(c.transaction("three", "a", 1, "x"), kgo.TryAbort)
	c.sees(kafka.Look{Topic: "a", Most: 100}, 0, "1", "2", "3")
	c.transaction("open", "a", 0, "x")
	c.produce("a", 0, "behind the open one")
	c.sees(kafka.Look{Topic: "a", Most: 100}, 0, "1", "2", "3")
	c.sees(kafka.Look{Topic: "empty", Most: 100}, 0)
}

func TestLookIsBounded(t *testing.T) {
	c := start(t)
	c.topics(2, "a")
	for p := range int32(2) {
		for i := range 10 {
			c.produce("a", p, fmt.Sprintf("%d.%d", p, i))
		}
	}
	c.sees(kafka.Look{Topic: "a", Most: 4}, 16, "0.0", "0.1", "1.0", "1.1")
	c.sees(kafka.Look{Topic: "a", Most: 4, Newest: true}, 16, "0.8", "0.9", "1.8", "1.9")
	c.sees(kafka.Look{Topic: "a", Most: 1}, 18, "0.0", "1.0")
}

// A look reads the partition of a key, and the records since a time.
func TestLookReadsAPart(t *testing.T) {
	c := start(t)
	c.topics(4, "a")
	begin := time.Now().Add(-10 * time.Hour).Truncate(time.Millisecond)
	for i := range 20 {
		key := []byte(fmt.Sprint("key ", i%2))
		r := &kgo.Record{Topic: "a", Partition: kafka.KeyPartition(key, 4), Key: key, Value: fmt.Appendf(nil, "%02d", i), Timestamp: begin.Add(time.Duration(i) * time.Minute)}
		if err := c.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if kafka.KeyPartition([]byte("key 0"), 4) == kafka.KeyPartition([]byte("key 1"), 4) {
		t.Fatal("both keys have the same partition")
	}
	c.sees(kafka.Look{Topic: "a", Most: 100, Key: []byte("key 1")}, 0, "01", "03", "05", "07", "09", "11", "13", "15", "17", "19")
	c.sees(kafka.Look{Topic: "a", Most: 100, Since: begin.Add(16 * time.Minute)}, 0, "16", "17", "18", "19")
	c.sees(kafka.Look{Topic: "a", Most: 100, Key: []byte("key 1"), Since: begin.Add(16 * time.Minute)}, 0, "17", "19")
	c.sees(kafka.Look{Topic: "a", Most: 100, Since: begin.Add(time.Hour)}, 0)
}

func TestLookFails(t *testing.T) {
	c := start(t)
	if _, _, err := c.look(t.Context(), kafka.Look{Topic: "nowhere"}); err == nil || !strings.Contains(err.Error(), `topic "nowhere"`) {
		t.Errorf("a topic that does not exist gives %v", err)
	}
	c.topics(1, "a")
	c.produce("a", 0, "1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.look(ctx, kafka.Look{Topic: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a look that is cancelled gives %v", err)
	}
	c.cfg.Brokers = []string{"127.0.0.1:1"} // nobody listens
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := c.look(ctx, kafka.Look{Topic: "a"}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("no broker gives %v", err)
	}
}

// A deadline is not an error: the look returns the records so far and the number of unread offsets.
func TestLookStopsInTime(t *testing.T) {
	c := start(t)
	c.topics(1, "a")
	for range 3 { // more than one fetch response: kafka.Config.Options
		big := make([]byte, 700_000)
		rand.Read(big)
		c.produce("a", 0, string(big))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n := 0
	unread, err := kafka.Look{Topic: "a", Most: 100}.Read(expired{ctx, &n}, c.cfg, func(_, _ []byte) { n++ })
	if err != nil || unread+int64(n) != 3 || n == 3 {
		t.Errorf("read %d, left %d, %v", n, unread, err)
	}
}

// A look that follows reads committed records as they come, from the current end or from
// the start, until its function ends it.
func TestLookFollows(t *testing.T) {
	c := start(t)
	c.topics(2, "a")
	c.produce("a", 0, "1")
	enough := errors.New("enough")
	for _, latest := range []bool{false, true} {
		got, end := make(chan string, 100), make(chan error, 1)
		go func() {
			_, err := kafka.Look{Topic: "a", Follow: true, Latest: latest}.Each(t.Context(), c.cfg, func(r *kgo.Record) error {
				got <- string(r.Value)
				if string(r.Value) == "end" {
					return enough
				}
				return nil
			})
			end <- err
		}()
		var err error
		for wait := true; wait; { // until the look has begun, a record may be before its start
			c.end(c.transaction("refused", "a", 1, "x"), kgo.TryAbort)
			c.end(c.transaction("taken", "a", 1, "end"), kgo.TryCommit)
			select {
			case err = <-end:
				wait = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		close(got)
		var values []string
		for v := range got {
			values = append(values, v)
		}
		if slices.Contains(values, "x") || slices.Contains(values, "1") == latest || !errors.Is(err, enough) {
			t.Errorf("latest %v: a look follows %q and ends with %v", latest, values, err)
		}
	}
}

// expired is a context whose deadline passes once a record has been read.
type expired struct {
	context.Context
	read *int
}

func (e expired) Err() error {
	if *e.read > 0 {
		return context.DeadlineExceeded
	}
	return e.Context.Err()
}
