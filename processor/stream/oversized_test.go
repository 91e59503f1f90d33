package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"keytrail/processor/count"
	"keytrail/processor/state"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// shipped is the Kafka record of a call with an id and names of any length.
func shipped(offset int64, at time.Time, id, key, principal, copy string) *kgo.Record {
	rec := otellog.Record{EventName: semconv.EventAWSKMSAPICall, Time: at.UnixNano()}
	rec.String(semconv.KeytrailCallID, id)
	rec.String(semconv.KeytrailCallCopy, copy)
	rec.String(semconv.AWSKMSKeyARN, key)
	rec.String(semconv.KeytrailPrincipalID, principal)
	rec.String(semconv.KeytrailOperationClass, "decrypt")
	return &kgo.Record{Topic: "kms.events", Partition: 1, Offset: offset, Value: otellog.AppendRequest(nil, &rec)}
}

// Ids and names far beyond AWS's would make records that Kafka refuses at each retry. The
// longest that are counted fit; longer ones are dead letters.
func TestOversizedCalls(t *testing.T) {
	c, task := bigCommit(0)
	task.to, task.begun = 0, true
	at, offset := time.Now().Add(-time.Minute), int64(0)
	send := func(id, key, principal, copy string) {
		t.Helper()
		if err := c.Process(shipped(offset, at, id, key, principal, copy)); err != nil {
			t.Fatal(err)
		}
		offset++
	}
	long := func(i, n int) string { return fmt.Sprintf("%0*d", n, i) }
	const huge, counted = 120 << 10, 2000
	for i := range 6 { // the samples of one window
		send(long(i, huge), "key", "p", "caller")
		send(fmt.Sprint("key ", i), long(i, huge), "p", "caller")
		send(fmt.Sprint("principal ", i), "key", long(i, huge), "caller")
	}
	for i := range counted {
		send(long(i, count.MaxID), long(i, count.MaxNames/2), long(i, count.MaxNames/2), "owner")
	}
	ids, credits, letters := 0, 0, 0
	for _, r := range output(t, c) {
		if len(r.Value) > wire.MaxValueBytes {
			t.Errorf("a record of %d bytes for %s", len(r.Value), r.Topic)
		}
		switch r.Topic {
		case c.p.Topics.Dedup:
			if string(r.Key) == state.HeadKey {
				continue
			}
			log, err := state.DecodeCounted(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			ids, credits = ids+len(log.Keys), credits+len(log.Credits)
		case c.p.Topics.DeadLetter:
			if letters++; !strings.Contains(fmt.Sprintf("%s", r.Headers), "{reason bad_record}") {
				t.Errorf("a letter with %s", r.Headers)
			}
		}
	}
	if ids != counted || credits != counted || letters != 18 {
		t.Errorf("%d ids, %d credits and %d letters, want %d, %d and 18", ids, credits, letters, counted, counted)
	}
}

// Notices about principals with the longest names fit as well.
func TestOversizedNotices(t *testing.T) {
	c, _ := bigCommit(0)
	d := newDetector(c.p)
	sent := 0
	d.emit = func(r *kgo.Record) {
		if len(r.Value) > wire.MaxValueBytes {
			t.Errorf("a record of %d bytes for %s", len(r.Value), r.Topic)
		}
		f, err := wire.NewDecoder(r.Value).Frame()
		if err != nil {
			t.Fatal(err)
		}
		sent += len(f.Partials)
	}
	task := d.newTask(0)
	for i := range 2500 {
		task.notices = append(task.notices, wire.Partial{Entity: wire.Entity{Scope: wire.ScopePrincipal, Principal: fmt.Sprintf("%0*d", count.MaxNames, i)}})
	}
	d.notify(task, true)
	if sent != 2500 {
		t.Errorf("%d notices, want 2500", sent)
	}
}

// A record with the attributes' names of an older version is a dead letter, and not a call
// of nobody.
func TestOldSchema(t *testing.T) {
	c, task := bigCommit(0)
	task.to, task.begun = 0, true
	rec := otellog.Record{EventName: semconv.EventAWSKMSAPICall, Time: time.Now().UnixNano()}
	rec.String(semconv.KeytrailCallID, "call")
	rec.String("keytrail.principal", "mallory")
	r := &kgo.Record{Topic: "kms.events", Partition: 1, Value: otellog.AppendRequest(nil, &rec)}
	if err := c.Process(r); err != nil || len(c.out) != 1 || len(task.Keys) != 0 {
		t.Fatalf("%v, %d dead letters, %d calls", err, len(c.out), len(task.Keys))
	}
	if reason := headerOf(c.out[0], "reason"); reason != "old_schema" {
		t.Errorf("the reason is %q", reason)
	}
}
