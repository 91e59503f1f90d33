package sqs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// open opens a sink for a queue of an endpoint.
func open(t *testing.T, endpoint, queue string) sink.Sink {
	t.Helper()
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	c := DefaultConfig()
	c.Region, c.Endpoint, c.Body, c.QueueURL = awstest.Region, endpoint, "otlp_json", endpoint+"/111122223333/"+queue
	s, err := c.Open(sink.Identity{Name: "queue"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// data returns the records in messages.
func data(t *testing.T, bodies []string) (list []*logs.LogsData) {
	t.Helper()
	for _, text := range bodies {
		one := &logs.LogsData{}
		if err := protojson.Unmarshal([]byte(text), one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func bodies(m *awstest.Messages) (list []string) {
	for _, one := range m.Taken() {
		list = append(list, one.Body)
	}
	return list
}

// idsOf returns the ids of the records in messages.
func idsOf(t *testing.T, bodies []string) (list []string) {
	for _, one := range data(t, bodies) {
		list = append(list, sinktest.IDs(one)...)
	}
	return list
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		m := &awstest.Messages{}
		return sinktest.Subject{Sink: open(t, m.Start(t), "q"),
			Arrived: func(t *testing.T) []*logs.LogsData { return data(t, bodies(m)) }}
	})
}

// TestEntries: each message of a request has its own end.
func TestEntries(t *testing.T) {
	m := &awstest.Messages{Fault: func(body string) (string, string, bool) {
		switch {
		case strings.Contains(body, `"bad"`):
			return "InvalidMessageContents", "a character", true
		case strings.Contains(body, `"busy"`):
			return "InternalError", "later", false
		}
		return "", "", false
	}}
	s := open(t, m.Start(t), "q")
	err := s.Deliver(t.Context(), sinktest.Batch("a", "bad", "b", "busy", "c"))
	var rejected *sink.Rejected
	var throttled *sink.Throttled
	if !errors.As(err, &rejected) || !errors.As(err, &throttled) || !slices.Equal(rejected.Records, []int{1}) ||
		!slices.Equal(throttled.Records, []int{3}) {
		t.Errorf("got %v, want record 1 rejected and record 3 to be sent again", err)
	}
	if got := idsOf(t, bodies(m)); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("the queue has %q", got)
	}
}

// TestFaultOfTheSender: a fault that AWS calls the sender's, and that is about a KMS key,
// costs no record.
func TestFaultOfTheSender(t *testing.T) {
	m := &awstest.Messages{Fault: func(string) (string, string, bool) { return "KMS.AccessDeniedException", "key", true }}
	s := open(t, m.Start(t), "q")
	if err := s.Deliver(t.Context(), sinktest.Batch("a", "b")); sinktest.Verdict(err) != "paused credentials" {
		t.Errorf("got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
}

// TestFIFO: the messages of one entity keep their order, and a repetition is dropped.
func TestFIFO(t *testing.T) {
	m := &awstest.Messages{}
	s := open(t, m.Start(t), "q.fifo")
	for range 2 {
		if err := s.Deliver(t.Context(), sinktest.Batch("a", "b", "c")); err != nil {
			t.Fatal(err)
		}
	}
	if got := idsOf(t, bodies(m)); !slices.Equal(got, []string{"a", "b", "c"}) || m.Requests() != 6 {
		t.Errorf("the queue has %q after %d requests", got, m.Requests())
	}
	if one := m.Taken()[0]; one.Dedup != "a" || one.Group == "" || one.Attributes["event_id"] != "a" ||
		one.Attributes["account"] != "111122223333" || one.Attributes["event_name"] != "aws.kms.api_call" {
		t.Errorf("the message is %+v", one)
	}
}

// TestPublications: a window or an anomaly that is published again with the same revision,
// while its window is open, is not a repetition.
func TestPublications(t *testing.T) {
	m := &awstest.Messages{}
	s := open(t, m.Start(t), "q.fifo")
	var batch []sink.Record
	for _, uid := range []string{"w-0.1", "w-0.2", "w-0"} {
		r := &otellog.Record{EventName: semconv.EventKeytrailWindow, Time: 1}
		r.String(semconv.KeytrailWindowID, "w")
		r.Int(semconv.KeytrailWindowRevision, 0)
		r.String(semconv.LogRecordUID, uid)
		batch = append(batch, sink.Record{Value: otellog.AppendRequest(nil, r), EventName: r.EventName})
	}
	for range 2 {
		if err := s.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.Taken()); n != len(batch) {
		t.Errorf("the queue has %d messages, want %d", n, len(batch))
	}
}

// TestLimits: requests stay below the limits, and a record over them goes to the dead letter.
func TestLimits(t *testing.T) {
	m := &awstest.Messages{}
	s := open(t, m.Start(t), "q")
	batch := sinktest.Batch("a", "b", "huge")
	for i, size := range []int{200 << 10, 100 << 10, 300 << 10} {
		id := []string{"a", "b", "huge"}[i]
		batch[i].Value = sinktest.Sized(id, size)
	}
	err := s.Deliver(t.Context(), batch)
	var rejected *sink.Rejected
	if !errors.As(err, &rejected) || !slices.Equal(rejected.Records, []int{2}) || rejected.Reason != sink.ReasonTooLarge ||
		!strings.Contains(err.Error(), "max_message is 262144") {
		t.Errorf("got %v, want record 2 refused for its size", err)
	}
	if got := idsOf(t, bodies(m)); !slices.Equal(got, []string{"a", "b"}) || m.Requests() != 2 {
		t.Errorf("the queue has %q after %d requests", got, m.Requests())
	}
}

// TestMoto delivers to moto through a proxy that fails: nothing is lost, and a FIFO queue has
// each record once.
func TestMoto(t *testing.T) {
	endpoint := awstest.Start(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	api := awssqs.NewFromConfig(cfg)
	proxy := awstest.StartFaulty(t, endpoint, func(n int64, r *http.Request) bool { return n%4 == 0 })
	for _, name := range []string{"q", "q.fifo"} {
		in := &awssqs.CreateQueueInput{QueueName: &name}
		if strings.HasSuffix(name, ".fifo") {
			in.Attributes = map[string]string{"FifoQueue": "true"}
		}
		queue, err := api.CreateQueue(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		c := DefaultConfig()
		c.Region, c.Endpoint, c.Body, c.QueueURL = awstest.Region, proxy.URL, "otlp_json", *queue.QueueUrl
		s, err := c.Open(sink.Identity{Name: "queue"})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 120 {
			want = append(want, fmt.Sprint("id-", i))
		}
		deliverAll(t, s, want)
		got := receiveAll(t, api, *queue.QueueUrl)
		if slices.Sort(want); name == "q" {
			got = slices.Compact(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %d records, want %d: %q", name, len(got), len(want), got)
		}
	}
	c := DefaultConfig()
	c.Region, c.Endpoint, c.QueueURL = awstest.Region, endpoint, endpoint+"/111122223333/none"
	s, err := c.Open(sink.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); sinktest.Verdict(err) != "paused target" {
		t.Errorf("a missing queue: got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
}

// deliverAll delivers records until they are taken.
func deliverAll(t *testing.T, s sink.Sink, ids []string) {
	t.Helper()
	r, err := sink.NewRunner(sink.Options{Name: "queue", Sink: s, Batch: sink.Batch{Records: 25, Bytes: 1 << 20},
		Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond},
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, why error) error {
			t.Errorf("record %v went to the dead letter (%s): %v", rec.Ref, reason, why)
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Deliver(t.Context(), sinktest.Batch(ids...)); err != nil {
		t.Fatal(err)
	}
}

// receiveAll empties a queue, and returns the sorted ids of the records.
func receiveAll(t *testing.T, api *awssqs.Client, queue string) (got []string) {
	t.Helper()
	for {
		out, err := api.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			slices.Sort(got)
			return got
		}
		for _, m := range out.Messages {
			got = append(got, idsOf(t, []string{aws.ToString(m.Body)})...)
			if _, err := api.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &queue,
				ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestTurn: each request of ten messages is one Deliver if the turn is over.
func TestTurn(t *testing.T) {
	m := &awstest.Messages{}
	s := open(t, m.Start(t), "q").(*Sink)
	s.Turn = 0
	var ids []string
	for i := range 25 {
		ids = append(ids, fmt.Sprint("id-", i))
	}
	sinktest.Turns(t, s, ids, func() []string { return idsOf(t, bodies(m)) })
}
