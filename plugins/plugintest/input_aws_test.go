package plugintest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/tinylib/msgp/msgp"
	"golang.org/x/sync/errgroup"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// awsPatience is how long a test waits for what must come: visibilities of 10 s end
// several times in it.
const awsPatience = 4 * time.Minute

// cloud is a bucket and a queue on a server, and a proxy in front of it that fails
// every tenth request of the plugin.
type cloud struct {
	t     *testing.T
	s3    *s3.Client
	sqs   *sqs.Client
	queue string // its URL, by way of the proxy
	proxy *awstest.Faulty
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	endpoint := awstest.Start(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{t: t, s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), sqs: sqs.NewFromConfig(cfg)}
	_, err = c.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("trail")})
	if err != nil {
		t.Fatal(err)
	}
	c.queue = *out.QueueUrl
	c.proxy = awstest.StartFaulty(t, endpoint, func(n int64, _ *http.Request) bool { return n%10 == 0 })
	return c
}

// fill writes objects, each with its own events, in two accounts and two regions,
// and returns their keys and the events' ids.
func (c *cloud) fill(objects, each int) (keys []string, ids map[string]bool) {
	c.t.Helper()
	ids = make(map[string]bool, objects*each)
	event := events(c.t)[0]
	begin := time.Now().UTC().Add(-12 * time.Hour)
	var g errgroup.Group
	g.SetLimit(4)
	for i := range objects {
		list := numbered(c.t, event, i*each, each)
		for n := range list {
			ids[fmt.Sprintf("%08x-0000-4000-8000-000000000000", i*each+n)] = true
		}
		account := []string{"111122223333", "444455556666"}[i%2]
		region := []string{"eu-central-1", "us-east-1"}[i/2%2]
		at := begin.Add(time.Duration(i) * 6 * time.Hour / time.Duration(objects))
		key := fmt.Sprintf("AWSLogs/o-abc/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%06d.json.gz",
			account, region, at.Format("2006/01/02"), account, region, at.Format("20060102T1504Z"), i)
		keys = append(keys, key)
		g.Go(func() error {
			_, err := c.s3.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: aws.String("trail"), Key: &key,
				Body: strings.NewReader(zip(`{"Records":[` + strings.Join(list, ",") + `]}`))})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		c.t.Fatal(err)
	}
	return keys, ids
}

// notify sends a notification for each key, and for every second key another, in
// random order. A key that is named once has one chance.
func (c *cloud) notify(keys []string) {
	c.t.Helper()
	twice := append([]string{}, keys...)
	for i := 0; i < len(keys); i += 2 {
		twice = append(twice, keys[i])
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
	for begin := 0; begin < len(twice); begin += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &c.queue}
		for i, key := range twice[begin:min(begin+10, len(twice))] {
			body := fmt.Sprintf(`{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","awsRegion":%q,`+
				`"s3":{"bucket":{"name":"trail"},"object":{"key":%q}}}]}`, awstest.Region, url.QueryEscape(key))
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body})
		}
		if out, err := c.sqs.SendMessageBatch(c.t.Context(), in); err != nil || len(out.Failed) > 0 {
			c.t.Fatalf("cannot send: %v, %v", out, err)
		}
	}
}

// empty waits until the queue holds nothing, hidden or not.
func (c *cloud) empty() {
	c.t.Helper()
	var left map[string]string
	for deadline := time.Now().Add(awsPatience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		out, err := c.sqs.GetQueueAttributes(c.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &c.queue, AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}})
		if err != nil {
			c.t.Fatal(err)
		}
		if left = out.Attributes; left["ApproximateNumberOfMessages"] == "0" && left["ApproximateNumberOfMessagesNotVisible"] == "0" {
			return
		}
	}
	c.t.Fatalf("the queue still holds %v", left)
}

// living is a host process that reads until it is killed.
type living struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    string
	stderr bytes.Buffer
}

// launch starts in_kms in a host that keeps what it gets in memory for two
// seconds before it is safe, as Fluent Bit's ring does for a quarter of one.
func launch(t *testing.T, b built, properties ...string) *living {
	t.Helper()
	l := &living{t: t, out: filepath.Join(t.TempDir(), "records")}
	args := append([]string{b.in, "--calls", "1000000", "--tick-ms", "20", "--ring-ms", "2000", "--out", l.out}, props(properties...)...)
	l.cmd = exec.CommandContext(context.Background(), b.host, args...)
	l.cmd.Stderr = &l.stderr
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.kill)
	return l
}

func (l *living) kill() {
	if l.cmd.ProcessState == nil {
		l.cmd.Process.Kill()
		l.cmd.Wait() // what it returns is that it was killed
	}
}

// grown waits until so many bytes of records are safe.
func (l *living) grown(size int64) {
	l.t.Helper()
	for deadline := time.Now().Add(awsPatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if info, err := os.Stat(l.out); err == nil && info.Size() >= size {
			return
		}
	}
	l.kill()
	l.t.Fatalf("%s has not grown to %d bytes; the host says\n%s", l.out, size, l.stderr.String())
}

// chunks cuts what hosts have written at records, into files of a few megabytes, as
// Fluent Bit's storage does; the last record of a killed host may be cut, and is not
// used. It returns them as the host's flags, and how many records they hold.
func chunks(t *testing.T, hosts ...*living) (args []string, records int) {
	t.Helper()
	dir := t.TempDir()
	write := func(chunk []byte) {
		path := filepath.Join(dir, strconv.Itoa(len(args)))
		if err := os.WriteFile(path, chunk, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--in", path)
	}
	for _, l := range hosts {
		rest, err := os.ReadFile(l.out)
		if err != nil {
			t.Fatal(err)
		}
		chunk := rest
		for len(rest) > 0 {
			behind, err := msgp.Skip(rest)
			if err != nil {
				break
			}
			rest = behind
			records++
			if n := len(chunk) - len(rest); n > 8<<20 {
				write(chunk[:n])
				chunk = rest
			}
		}
		if n := len(chunk) - len(rest); n > 0 {
			write(chunk[:n])
		}
	}
	return args, records
}

// TestInputSQSThroughFaultsToKafka kills the reader of a queue twice, while every tenth
// of its requests fails: each event arrives in Kafka.
func TestInputSQSThroughFaultsToKafka(t *testing.T) {
	c := newCloud(t)
	b := plugins(t)
	objects, each := 400, 250
	keys, ids := c.fill(objects, each)
	c.notify(keys)
	state := t.TempDir()
	dead := filepath.Join(state, "dead")
	start := func() *living {
		return launch(t, b, "source=sqs", "sqs_queue_url="+c.queue, "aws_endpoint="+c.proxy.URL, "aws_region="+awstest.Region,
			"dead_letter="+dead, "settle=4s", "sqs_visibility=10s", "sqs_max_messages=300", "readers=8")
	}
	var hosts []*living
	for range 2 { // killed in the middle, with messages in hand
		l := start()
		hosts = append(hosts, l)
		l.grown(20 << 20)
		l.kill()
	}
	hosts = append(hosts, start())
	c.empty()
	hosts[2].kill()
	args, records := chunks(t, hosts...)
	t.Logf("%d events, %d records, %d of the requests failed", len(ids), records, c.proxy.Broken.Load())
	if c.proxy.Broken.Load() < 50 {
		t.Errorf("only %d requests failed", c.proxy.Broken.Load())
	}
	if letters, err := os.ReadFile(dead); err == nil && len(letters) > 0 {
		t.Errorf("dead letters, where everything can be read:\n%.2000s", letters)
	}
	wantInKafka(t, b, args, ids)
}

// TestInputS3ThroughFaults kills the reader of a bucket again and again, while every
// tenth of its requests fails: each event arrives, and what was done is not read
// again.
func TestInputS3ThroughFaults(t *testing.T) {
	c := newCloud(t)
	b := plugins(t)
	objects, each := 200, 100
	_, ids := c.fill(objects, each)
	checkpoint := filepath.Join(t.TempDir(), "cp")
	start := func() *living {
		return launch(t, b, "source=s3", "s3_bucket=trail", "aws_endpoint="+c.proxy.URL, "aws_region="+awstest.Region,
			"checkpoint="+checkpoint, "settle=4s", "poll_interval=1s", "queue_records=2000", "batch_bytes=64K")
	}
	var hosts []*living
	for i := range 2 {
		l := start()
		hosts = append(hosts, l)
		l.grown(int64(i+1) * 4 << 20)
		l.kill()
	}
	last := start()
	hosts = append(hosts, last)
	seen := map[string]bool{}
	for deadline := time.Now().Add(awsPatience); len(seen) < len(ids) && time.Now().Before(deadline); time.Sleep(time.Second) {
		for _, l := range hosts {
			seenIn(t, l.out, seen)
		}
	}
	missing(t, ids, seen)
	// The checkpoint comes to hold all objects: then a new reader has nothing to do.
	for deadline := time.Now().Add(awsPatience); ; time.Sleep(200 * time.Millisecond) {
		content, err := os.ReadFile(checkpoint)
		if err == nil && bytes.Contains(content, []byte(fmt.Sprintf("_%06d.json.gz", objects-1))) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the checkpoint never held the last object: %s, %v", content, err)
		}
	}
	last.kill()
	_, records := chunks(t, hosts...)
	t.Logf("%d events, %d records, %d of the requests failed", len(ids), records, c.proxy.Broken.Load())
	if records > 3*len(ids) {
		t.Errorf("%d records of %d events: what was done was read again", records, len(ids))
	}
}
