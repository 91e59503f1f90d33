package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// awsSources read one bucket in two ways.
const awsSources = `sources:
  - {name: bucket, type: s3, s3_bucket: trail, start_time: 720h, checkpoint: %[1]q, poll_interval: 200ms, aws_region: %[2]s, aws_endpoint: %[3]q}
  - {name: queue, type: sqs, sqs_queue_url: %[4]q, sqs_buckets: [trail], sqs_visibility: 30s, aws_region: %[2]s, aws_endpoint: %[3]q}
`

// TestRunSourceAWS: one process lists a trail's bucket and receives the notifications of the
// same objects. It is killed once; each call counts once, and the queue is empty in the end.
func TestRunSourceAWS(t *testing.T) {
	endpoint := awstest.Start(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	objects, queues := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), sqs.NewFromConfig(cfg)
	if _, err := objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("trail"),
		Attributes: map[string]string{"VisibilityTimeout": "60"}})
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	deliver := func(records [][]byte) { // a file, and the notification that S3 sends of it
		t.Helper()
		at := time.Now().UTC().Add(-time.Hour)
		key := fmt.Sprintf("AWSLogs/111122223333/CloudTrail/%s/%s/111122223333_CloudTrail_%s_%s_%016d.json.gz", awstest.Region,
			at.Format("2006/01/02"), awstest.Region, at.Format("20060102T1504Z"), files)
		files++
		var body bytes.Buffer
		zip := gzip.NewWriter(&body)
		fmt.Fprintf(zip, `{"Records":[%s]}`, bytes.Join(records, []byte(",")))
		zip.Close()
		if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: bytes.NewReader(body.Bytes())}); err != nil {
			t.Fatal(err)
		}
		notice := fmt.Sprintf(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","awsRegion":%q,"s3":{"bucket":{"name":"trail"},"object":{"key":%q,"size":%d}}}]}`,
			awstest.Region, key, body.Len())
		if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &notice}); err != nil {
			t.Fatal(err)
		}
	}
	b, tr := startBroker(t), newTrail(t, 67, 1500)
	config := b.config(t, fileSink, fmt.Sprintf(awsSources, filepath.Join(t.TempDir(), "bucket.checkpoint"), awstest.Region, endpoint, *queue.QueueUrl))
	half := len(tr.records) / 2
	for from := 0; from < half; from += 50 {
		deliver(tr.records[from:min(from+50, half)])
	}
	check := startWith(t, []string{"ARCHIVE=unused"}, nil, nil, "config", "check", "--online", "-c", config)
	o := outcome{check.code(t), check.stdout.String(), check.stderr.String()}
	for _, text := range []string{`source bucket: object "s3://trail/AWSLogs/`, "source queue: queue ", `source queue: object "s3://trail/`} {
		o.found(t, "ok", "sources", text)
	}
	rest := run(t, config, inTemp(t, "archive.ndjson"), "--stages", "normalize,count,detect,forward")
	rest.ready(t)
	p := run(t, config, "unused", "--stages", "collect")
	until(t, "the first events are published", func() bool { return len(b.committed(t, "kms.events").records) > 0 })
	p.signal(t, syscall.SIGKILL)
	p.code(t)
	for from := half; from < len(tr.records); from += 50 {
		deliver(tr.records[from:min(from+50, len(tr.records))])
	}
	deliver(tr.closer)
	p = run(t, config, "unused", "--stages", "collect")
	b.equals(t, tr.want)
	// The messages that the killed process held come again when their time is over.
	until(t, "the queue is empty", func() bool {
		got, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
		return err == nil && got.Attributes["ApproximateNumberOfMessages"] == "0" && got.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
	})
	p.stop(t, syscall.SIGTERM)
	rest.stop(t, syscall.SIGTERM)
}

// lookupSource asks the event history of two Regions.
const lookupSource = `sources:
  - {name: history, type: lookup, start_time: %[3]q, regions: [us-east-1, eu-west-1], lookup_delay: 1m, checkpoint: %[1]q, poll_interval: 100ms, aws_region: us-east-1, aws_endpoint: %[2]q}
`

// TestRunSourceLookup: one process reads CloudTrail's event history and is killed once; the
// counts equal the oracle's.
func TestRunSourceLookup(t *testing.T) {
	heavy(t)
	h, b, tr := awstest.StartHistory(t), startBroker(t), trailOf(t, 73, 900, 2*time.Hour)
	for _, text := range tr.records {
		var event struct {
			EventSource, AWSRegion string
			EventTime              time.Time
		}
		if err := json.Unmarshal(text, &event); err != nil {
			t.Fatal(err)
		}
		h.Add(event.AWSRegion, event.EventSource, event.EventTime, string(text))
	}
	env := []string{"ARCHIVE=" + inTemp(t, "archive.ndjson")}
	for name, value := range awstest.Environment {
		env = append(env, name+"="+value)
	}
	config := b.config(t, fileSink, fmt.Sprintf(lookupSource, filepath.Join(t.TempDir(), "history.checkpoint"), h.URL, tr.began.Format(time.RFC3339)))
	p := startWith(t, env, nil, nil, "run", "-c", config)
	until(t, "the first events are published", func() bool { return len(b.committed(t, "kms.events").records) > 0 })
	p.signal(t, syscall.SIGKILL)
	p.code(t)
	b.evict(t, "keytrail-normalize", "keytrail-count", "keytrail-detect", "keytrail-forward-archive")
	p = startWith(t, env, nil, nil, "run", "-c", config)
	b.equals(t, tr.want)
	p.stop(t, syscall.SIGTERM)
}
