package stream

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/store"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// TestRemember: the page's history has each record once, over restarts of stage web, over a
// deleted file, and with a record that cannot be decoded; and events are read again by
// their places.
func TestRemember(t *testing.T) {
	p := pipeline(t, broker(t))
	path := filepath.Join(t.TempDir(), "history.db")
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Kafka.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := p.MakeTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func(n int) {
		t.Helper()
		list := []*kgo.Record{{Topic: p.Topics.Events, Value: []byte("\xff")}}
		for range n {
			rec := otellog.Record{Time: time.Date(2026, 3, 2, 9, 0, sent, 0, time.UTC).UnixNano(), Body: fmt.Sprint("body ", sent)}
			rec.String(semconv.KeytrailCallID, fmt.Sprint("call-", sent))
			rec.String(semconv.AWSKMSKeyARN, fmt.Sprint("key-", sent))
			list = append(list, &kgo.Record{Topic: p.Topics.Events, Key: fmt.Append(nil, sent), Value: otellog.AppendRequest(nil, &rec)})
			sent++
		}
		if err := client.ProduceSync(t.Context(), list...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	run := func() {
		t.Helper()
		if p.History, err = store.Open(path, store.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		stop := start(t, p, Stages{Web: true})
		all := store.Search{Until: 1 << 60, Limit: 1000, Scan: 1 << 40}
		var found store.Found
		for limit := time.Now().Add(time.Minute); found.Total < int64(sent) && time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
			if found, err = p.History.Events(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
		stop() // what a record too many would add, the next run sees
		seen := map[string]bool{}
		for _, e := range found.Events {
			rec, err := p.Event(t.Context(), e.Place)
			if err != nil {
				t.Fatal(err)
			}
			if want := "key-" + rec.Body[len("body "):]; e.Key != want || seen[e.Key] {
				t.Errorf("the event of %s is at the place of %q, or there twice", e.Key, rec.Body)
			}
			seen[e.Key] = true
		}
		if len(seen) != sent {
			t.Errorf("the history has %d events, want %d", len(seen), sent)
		}
		if err := p.History.Close(); err != nil {
			t.Fatal(err)
		}
	}
	send(40)
	run()
	send(30)
	run() // behind the stored positions
	run()
	path = filepath.Join(t.TempDir(), "history.db")
	run() // all of it again
	if _, err := p.Event(t.Context(), store.Place{Object: 0, Offset: 1 << 40}); err == nil {
		t.Error("an event that is not there is read")
	}
}

// TestGuarded: a panic below stage web is an error of this stage, which begins again.
func TestGuarded(t *testing.T) {
	p := &Pipeline{Log: slog.New(slog.DiscardHandler)}
	if err := p.guarded(func() error { panic("a damaged page") }); err == nil || !strings.Contains(err.Error(), "a damaged page") {
		t.Errorf("a panic gives %v", err)
	}
	if err := p.guarded(func() error { return nil }); err != nil {
		t.Error(err)
	}
}
