package sqs

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
)

// patience is how long a test waits for an event that must come.
const patience = 90 * time.Second

// bench is a bucket whose notifications go to a queue, on a server, with a Source.
type bench struct {
	t   *testing.T
	cfg aws.Config
	s3  *awss3.Client
	sqs *awssqs.Client
	url string
	arn string
	src *Source
	c   Config

	mu    sync.Mutex // guards the following
	now   time.Duration
	lines []string
}

func newBench(t *testing.T, attributes map[string]string) *bench {
	t.Helper()
	b := &bench{t: t, c: DefaultConfig()}
	var err error
	b.cfg, err = client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: awstest.Start(t)})
	b.must(err)
	b.s3 = awss3.NewFromConfig(b.cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	b.sqs = awssqs.NewFromConfig(b.cfg)
	b.url, b.arn = b.queue("trail", attributes)
	_, err = b.s3.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	b.must(err)
	b.c.QueueURL = b.url
	b.c.Now = func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return time.Now().Add(b.now)
	}
	return b
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) queue(name string, attributes map[string]string) (url, arn string) {
	b.t.Helper()
	out, err := b.sqs.CreateQueue(b.t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	b.must(err)
	return *out.QueueUrl, b.attribute(*out.QueueUrl, types.QueueAttributeNameQueueArn)
}

func (b *bench) attribute(url string, name types.QueueAttributeName) string {
	b.t.Helper()
	out, err := b.sqs.GetQueueAttributes(b.t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{name}})
	b.must(err)
	return out.Attributes[string(name)]
}

// start makes the Source.
func (b *bench) start() {
	b.t.Helper()
	var err error
	b.src, err = New(b.cfg, b.c, s3.NewClient(b.cfg), func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lines = append(b.lines, fmt.Sprintf(format, args...))
	})
	b.must(err)
}

// pass advances the Source's clock.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now += d
}

func (b *bench) send(body string) {
	b.t.Helper()
	_, err := b.sqs.SendMessage(b.t.Context(), &awssqs.SendMessageInput{QueueUrl: &b.url, MessageBody: &body})
	b.must(err)
}

func (b *bench) put(key string) {
	b.t.Helper()
	_, err := b.s3.PutObject(b.t.Context(), &awss3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: strings.NewReader("content of " + key)})
	b.must(err)
}

// poll polls until n objects were offered, and returns them by name, with the entity tag
// if there is one.
func (b *bench) poll(n int) map[string]source.Object {
	b.t.Helper()
	got := map[string]source.Object{}
	for deadline := time.Now().Add(patience); len(got) < n; {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d objects, want %d", len(got), n)
		}
		list, err := b.src.Poll(b.t.Context())
		b.must(err)
		for _, o := range list {
			name := o.Name
			if len(o.ETag) == 1 { // invented by the test
				name += " " + o.ETag
			}
			if _, twice := got[name]; twice {
				b.t.Errorf("%s was offered twice", name)
			}
			got[name] = o
		}
	}
	return got
}

// left waits until the queue has n messages, visible or not.
func (b *bench) left(url string, n int) {
	b.t.Helper()
	want := fmt.Sprint(n)
	var visible, hidden string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		visible = b.attribute(url, types.QueueAttributeNameApproximateNumberOfMessages)
		hidden = b.attribute(url, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
		if visible == want && hidden == "0" || visible == "0" && hidden == want {
			return
		}
	}
	b.t.Errorf("the queue holds %s messages and %s hidden ones, want %d", visible, hidden, n)
}

func content(t *testing.T, o source.Object) string {
	t.Helper()
	body, err := o.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// logs returns the key of a log in CloudTrail's form, below a prefix.
func logs(prefix, unique string) string {
	return prefix + "AWSLogs/1/CloudTrail/eu-central-1/2026/11/20/1_CloudTrail_eu-central-1_20261120T0900Z_" + unique + ".json.gz"
}

// TestRowC2Notifications: messages of S3, SNS, EventBridge and CloudTrail name the files of a trail in a queue; a message with events is read itself.
func TestRowC2Notifications(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	_, err := b.s3.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{
		Bucket: aws.String("trail"), NotificationConfiguration: &s3types.NotificationConfiguration{
			QueueConfigurations: []s3types.QueueConfiguration{{QueueArn: &b.arn, Events: []s3types.Event{"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}}},
		},
	}) // which sends s3:TestEvent
	b.must(err)
	b.start()
	b.put(logs("plain +é/", "a"))
	b.put("plain.json.gz") // not CloudTrail's: not read
	b.put("AWSLogs/1/CloudTrail-Digest/eu-central-1/2026/11/20/1_CloudTrail-Digest_eu-central-1_t_eu-central-1_20261120T090000Z.json.gz")
	b.put(logs("", "removed"))
	_, err = b.s3.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("trail"), Key: aws.String(logs("", "removed"))})
	b.must(err)
	quoted := strings.ReplaceAll(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"trail"},"object":{"key":"`+logs("sns+1/", "a")+`","eTag":"1"}}}]}`, `"`, `\"`)
	b.send(`{"Type":"Notification","TopicArn":"arn:aws:sns:eu-central-1:1:t","Message":"` + quoted + `"}`)
	b.send(`{"s3Bucket":"trail","s3ObjectKey":["` + logs("own 1/", "1") + `","` + logs("own 1/", "2") + `"]}`)
	b.send(`{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"trail"},"object":{"key":"` + logs("bridge +/", "a") + `","etag":"2"}}}`)
	b.send(`{"detail-type":"AWS API Call via CloudTrail","source":"aws.kms","detail":{"eventSource":"kms.amazonaws.com"}}`)
	b.send("no JSON")
	b.send(`{"s3Bucket":"trail","s3ObjectKey":[7]}`)
	got := b.poll(9)
	for _, name := range []string{logs("plain +é/", "a"), logs("sns 1/", "a") + " 1", logs("own 1/", "1"), logs("own 1/", "2"), logs("bridge +/", "a") + " 2", logs("", "removed")} {
		o, ok := got["s3://trail/"+name]
		if !ok {
			t.Errorf("%q is missing in %v", name, got)
			continue
		}
		_, err := o.Open()
		var rejected *source.Rejected
		switch {
		case name == logs("plain +é/", "a"):
			if got := content(t, o); got != "content of "+name {
				t.Errorf("%q holds %q", name, got)
			}
		case !errors.As(err, &rejected) || rejected.Reason != source.ReasonGone:
			t.Errorf("%q is gone, and opening says %v", name, err)
		}
		delete(got, "s3://trail/"+name)
	}
	withoutObjects(t, b.url, got)
	if st := b.src.counts(); st.Unwanted != 2 || st.Received != 12 {
		t.Errorf("the counts are %+v", st)
	}
	if log := strings.Join(b.lines, "\n"); !strings.Contains(log, "no redrive policy") || !strings.Contains(log, "S3 tries the notifications") {
		t.Errorf("the log says\n%s", log)
	}
	if got := fmt.Sprint(b.src.Strays()); got != "map[not_cloudtrail:1]" || !strings.Contains(strings.Join(b.lines, "\n"), "plain.json.gz") {
		t.Errorf("keys that are not CloudTrail's are counted as %s", got)
	}
	b.must(b.src.Save(t.Context())) // the test event, the digest, the removal and the other key are done
	b.left(b.url, 8)
}

// withoutObjects checks three messages that name no object: one with events, one with
// text, and a bad one.
func withoutObjects(t *testing.T, url string, got map[string]source.Object) {
	t.Helper()
	var events, text, bad int
	for name, o := range got {
		if !strings.HasPrefix(name, url+"#") {
			t.Errorf("an object too much: %s", name)
		}
		_, err := o.Open()
		var rejected *source.Rejected
		switch {
		case errors.As(err, &rejected):
			bad++
			if string(rejected.Raw) != "7" {
				t.Errorf("the bad part is %q: %v", rejected.Raw, rejected)
			}
		case strings.HasPrefix(content(t, o), `{"detail-type":"AWS API Call`):
			events++
		case content(t, o) == "no JSON":
			text++
		}
	}
	if events != 1 || text != 1 || bad != 1 {
		t.Errorf("%d messages with events, %d with text, %d bad ones, want one of each", events, text, bad)
	}
}

func notify(unique, etag string) string {
	key := logs("", unique)
	return fmt.Sprintf(`{"source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"trail"},"object":{"key":%q,"etag":%q}}}`, key, etag)
}

func TestDeletedOnlyWhenDone(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.start()
	b.send(`{"s3Bucket":"trail","s3ObjectKey":["` + logs("", "a") + `","` + logs("", "b") + `"]}`)
	b.send(notify("c", "1"))
	b.send(notify("c", "1")) // a duplicate
	b.send(notify("c", "2")) // another content
	got := b.poll(4)
	b.src.Done(got["s3://trail/"+logs("", "a")])
	b.src.Done(got["s3://trail/"+logs("", "c")+" 1"])
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 2) // half of the first message, and the other content, are not done
	b.src.Done(got["s3://trail/"+logs("", "b")])
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 1)
	b.src.Done(got["s3://trail/"+logs("", "c")+" 2"])
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 0)
	if st := b.src.counts(); st.Deleted != 4 || st.Duplicate != 1 || st.Held != 0 {
		t.Errorf("the counts are %+v", st)
	}
}

func TestVisibilityIsExtended(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.c.Visibility = 4 * time.Second
	b.start()
	b.send(notify("a", "1"))
	got := b.poll(1)
	other, err := New(b.cfg, b.c, s3.NewClient(b.cfg), func(string, ...any) {})
	b.must(err)
	for end := time.Now().Add(2 * b.c.Visibility); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		b.must(b.src.Save(t.Context()))
		if b.attribute(b.url, types.QueueAttributeNameApproximateNumberOfMessages) != "0" {
			t.Fatal("a message that is held is visible to others")
		}
	}
	if b.src.counts().Extended == 0 {
		t.Error("no visibility was extended")
	}
	b.must(b.src.Close(t.Context())) // returns it at once
	b.src = other
	again := b.poll(1)
	if len(again) != 1 || len(got) != 1 {
		t.Errorf("another consumer got %v", again)
	}
	b.src.Done(again["s3://trail/"+logs("", "a")+" 1"])
	b.must(b.src.Save(t.Context()))
	b.left(b.url, 0)
}

func TestComesBackWhenItsHolderDies(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.c.Visibility = 2 * time.Second
	b.start()
	b.send(notify("a", "1"))
	first := b.poll(1) // and no Save, as if the process were gone
	b.start()
	if second := b.poll(1); len(first) != 1 || len(second) != 1 {
		t.Errorf("it did not come back: %v", second)
	}
}
