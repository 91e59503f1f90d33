package sns

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
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

const topicARN = "arn:aws:sns:" + awstest.Region + ":111122223333:keytrail"

// open opens a sink for a topic at an endpoint.
func open(t *testing.T, endpoint, topic, form string) sink.Sink {
	t.Helper()
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	c := DefaultConfig()
	c.Endpoint, c.Body, c.TopicARN = endpoint, form, topic
	s, err := c.Open(sink.Identity{Name: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func arrived(t *testing.T, m *awstest.Messages) (list []*logs.LogsData) {
	t.Helper()
	for _, one := range m.Taken() {
		d := &logs.LogsData{}
		if err := protojson.Unmarshal([]byte(one.Body), d); err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		m := &awstest.Messages{}
		return sinktest.Subject{Sink: open(t, m.Start(t), topicARN, "otlp_json"),
			Arrived: func(t *testing.T) []*logs.LogsData { return arrived(t, m) }}
	})
}

// TestEntries: each message of a request has its own end.
func TestEntries(t *testing.T) {
	m := &awstest.Messages{Fault: func(body string) (string, string, bool) {
		switch {
		case strings.Contains(body, `"bad"`):
			return "InvalidParameter", "the message", true
		case strings.Contains(body, `"busy"`):
			return "InternalError", "later", false
		}
		return "", "", false
	}}
	err := open(t, m.Start(t), topicARN, "otlp_json").Deliver(t.Context(), sinktest.Batch("bad", "a", "busy"))
	var rejected *sink.Rejected
	var throttled *sink.Throttled
	if !errors.As(err, &rejected) || !errors.As(err, &throttled) || !slices.Equal(rejected.Records, []int{0}) ||
		!slices.Equal(throttled.Records, []int{2}) || len(m.Taken()) != 1 {
		t.Errorf("got %v, want record 0 rejected and record 2 to be sent again", err)
	}
}

// anomaly returns the record of an anomaly.
func anomaly(id, severity, reason string) sink.Record {
	var rec otellog.Record
	rec.EventName, rec.Time = semconv.EventKeytrailAnomaly, time.Date(2026, 11, 30, 8, 5, 0, 0, time.UTC).UnixNano()
	rec.Severity, rec.Body = otellog.SeverityError, reason
	rec.Where(semconv.CloudAccountID, "111122223333")
	rec.Where(semconv.CloudRegion, "eu-central-1")
	rec.String(semconv.KeytrailAnomalyID, id)
	rec.Int(semconv.KeytrailAnomalyRevision, 2)
	rec.String(semconv.KeytrailAnomalySeverity, severity)
	rec.String(semconv.KeytrailAnomalyState, "open")
	rec.String(semconv.KeytrailAnomalyKind, "rate")
	rec.String(semconv.KeytrailAnomalyReason, reason)
	rec.String(semconv.AWSKMSAliasARN, "arn:aws:kms:eu-central-1:111122223333:alias/payments-größe\nBcc: x")
	rec.String(semconv.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/app")
	return sink.Record{Value: otellog.AppendRequest(nil, &rec), EventName: rec.EventName, Key: []byte(id), Ref: id}
}

// TestMail: people can read the message, its subject is one that SNS takes, and no text of an
// event begins a line.
func TestMail(t *testing.T) {
	m := &awstest.Messages{}
	s := open(t, m.Start(t), topicARN, BodyMail)
	if err := s.Deliver(t.Context(), []sink.Record{anomaly("0f1e", "high", "412 calls, 3 expected\nAccount: 0")}); err != nil {
		t.Fatal(err)
	}
	got := m.Taken()[0]
	const want = "412 calls, 3 expected Account: 0\n\nEvent: keytrail.anomaly\nTime: 2026-11-30T08:05:00Z\n" +
		"Account: 111122223333\nRegion: eu-central-1\nSeverity: high\nState: open\nKind: rate\n" +
		"Alias: arn:aws:kms:eu-central-1:111122223333:alias/payments-größe Bcc: x\n" +
		"Principal: arn:aws:iam::111122223333:role/app\nAnomaly id: 0f1e\n"
	if got.Body != want {
		t.Errorf("the mail is\n%s\nwant\n%s", got.Body, want)
	}
	if got.Subject != "Keytrail high rate on x" && got.Subject != "Keytrail high rate on alias/payments-gr??e Bcc: x" {
		t.Errorf("the subject is %q", got.Subject)
	}
	for name, value := range map[string]string{"severity": "high", "state": "open", "kind": "rate", "account": "111122223333",
		"region": "eu-central-1", "event_name": "keytrail.anomaly", "anomaly_id": "0f1e", "revision": "2"} {
		if got.Attributes[name] != value {
			t.Errorf("attribute %s is %q, want %q", name, got.Attributes[name], value)
		}
	}
}

// TestMailOfAnEnd: the subject of an anomaly's end is not that of an anomaly.
func TestMailOfAnEnd(t *testing.T) {
	var rec otellog.Record
	rec.EventName = semconv.EventKeytrailAnomaly
	rec.String(semconv.KeytrailAnomalySeverity, "high")
	rec.String(semconv.KeytrailAnomalyKind, "rate")
	rec.String(semconv.KeytrailAnomalyState, "ended")
	if got := subject(&rec); got != "Keytrail ended: high rate" {
		t.Errorf("the subject is %q", got)
	}
	rec = otellog.Record{EventName: semconv.EventKeytrailIncident}
	rec.String(semconv.KeytrailIncidentSeverity, "critical")
	rec.String(semconv.KeytrailIncidentState, "ended")
	rec.String(semconv.KeytrailPrincipalID, "arn:aws:iam::111122223333:role/app")
	if got := subject(&rec); got != "Keytrail ended: critical incident on role/app" {
		t.Errorf("the subject of an incident is %q", got)
	}
	if text, err := (mail{}).Append(nil, &rec); err != nil || !strings.Contains(string(text), "\nState: ended\n") {
		t.Errorf("the mail is %q, %v", text, err)
	}
}

// TestMoto publishes through a proxy that fails, to a queue that subscribes to high anomalies:
// all of them arrive.
func TestMoto(t *testing.T) {
	endpoint := awstest.Start(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	topics, queues := awssns.NewFromConfig(cfg), awssqs.NewFromConfig(cfg)
	topic, err := topics.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("keytrail")})
	if err != nil {
		t.Fatal(err)
	}
	queue, err := queues.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("high")})
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := queues.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topics.Subscribe(t.Context(), &awssns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"),
		Endpoint:   aws.String(attributes.Attributes["QueueArn"]),
		Attributes: map[string]string{"RawMessageDelivery": "true", "FilterPolicy": `{"severity":["high","critical"]}`}}); err != nil {
		t.Fatal(err)
	}
	proxy := awstest.StartFaulty(t, endpoint, func(n int64, _ *http.Request) bool { return n%3 == 0 })
	c := DefaultConfig()
	c.Endpoint, c.TopicARN, c.Body = proxy.URL, *topic.TopicArn, BodyMail
	s, err := c.Open(sink.Identity{Name: "mail"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := sink.NewRunner(sink.Options{Name: "mail", Sink: s, Batch: sink.Batch{Records: 25, Bytes: 1 << 20},
		Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond},
		DeadLetter: func(_ context.Context, rec sink.Record, _ sink.Reason, why error) error {
			t.Errorf("record %v went to the dead letter: %v", rec.Ref, why)
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	var batch []sink.Record
	want := map[string]bool{}
	for i := range 100 {
		id := fmt.Sprintf("id%03d", i)
		severity := []string{"low", "high"}[i%2]
		if want[id] = true; severity == "low" {
			delete(want, id)
		}
		batch = append(batch, anomaly(id, severity, "more calls than expected"))
	}
	if err := r.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for {
		out, err := queues.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			_, id, _ := strings.Cut(strings.TrimSpace(*m.Body), "Anomaly id: ")
			if delete(want, id); !strings.Contains(*m.Body, "Severity: high") {
				t.Errorf("the filter policy let through\n%s", *m.Body)
			}
			if _, err := queues.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: queue.QueueUrl,
				ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(want) > 0 || proxy.Broken.Load() == 0 {
		t.Errorf("%d anomalies did not arrive: %v; %d requests failed", len(want), want, proxy.Broken.Load())
	}
	missing := open(t, endpoint, *topic.TopicArn+"-none", BodyMail)
	if err := missing.Deliver(t.Context(), batch[:1]); sinktest.Verdict(err) != "paused target" {
		t.Errorf("a missing topic: got %q (%v), want a pause", sinktest.Verdict(err), err)
	}
}
