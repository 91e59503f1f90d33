package s3

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// bucket is one bucket on a server, with our client of it.
type bucket struct {
	t      *testing.T
	name   string
	raw    *awss3.Client // the SDK's, past any proxy
	client *Client
}

// newBucket makes a bucket. With fails, our client connects through a proxy that fails
// those requests.
func newBucket(t *testing.T, fails func(int64, *http.Request) bool) *bucket {
	t.Helper()
	endpoint := awstest.Start(t)
	at := func(url string) aws.Config {
		cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: url})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	b := &bucket{t: t, name: "trail", raw: awss3.NewFromConfig(at(endpoint), func(o *awss3.Options) { o.UsePathStyle = true })}
	_, err := b.raw.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &b.name,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	if err != nil {
		t.Fatal(err)
	}
	if fails != nil {
		endpoint = awstest.StartFaulty(t, endpoint, fails).URL
	}
	b.client = NewClient(at(endpoint))
	return b
}

func (b *bucket) put(key, content string) {
	b.t.Helper()
	_, err := b.raw.PutObject(b.t.Context(), &awss3.PutObjectInput{Bucket: &b.name, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		b.t.Fatal(err)
	}
}

// file returns a log's key in CloudTrail's form.
func file(prefix, account, region string, at time.Time, unique string) string {
	return fmt.Sprintf("%sAWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json.gz", prefix, account, region,
		at.Format("2006/01/02"), account[strings.LastIndexByte(account, '/')+1:], region, at.Format("20060102T1504Z"), unique)
}

var day = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// follow returns a Follower whose clock stands at now.
func (b *bucket) follow(now *time.Time, change func(*FollowerConfig)) *Follower {
	b.t.Helper()
	cfg := FollowerConfig{Bucket: b.name, Overlap: DefaultOverlap, Now: func() time.Time { return *now }}
	if change != nil {
		change(&cfg)
	}
	f, err := NewFollower(b.client, cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}

// poll polls until the end of a round and returns the offered objects.
func (b *bucket) poll(f *Follower) (list []source.Object) {
	b.t.Helper()
	for {
		objects, err := f.Poll(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if len(objects) == 0 {
			return list
		}
		list = append(list, objects...)
	}
}

// want checks the keys, in order.
func (b *bucket) want(objects []source.Object, keys ...string) {
	b.t.Helper()
	var got, want []string
	for _, o := range objects {
		got = append(got, o.Name)
	}
	for _, k := range keys {
		want = append(want, "s3://"+b.name+"/"+k)
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("offered\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRowC2TrailsInS3: a trail of an organization is found in its bucket and read in the order of delivery over accounts and regions.
func TestRowC2TrailsInS3(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	var want []string
	for i := range 40 { // two accounts and two regions take turns
		account := []string{"o-abc/111122223333", "o-abc/444455556666"}[i%2]
		region := []string{"eu-central-1", "us-east-1"}[i/2%2]
		key := file("org/", account, region, day.Add(time.Duration(i)*7*time.Hour), "x")
		b.put(key, "{}")
		want = append(want, key)
	}
	b.put("org/AWSLogs/o-abc/111122223333/CloudTrail-Digest/eu-central-1/2026/11/20/d.json.gz", "{}")
	b.put("other/AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/x.json.gz", "{}")
	now := day.Add(60 * 24 * time.Hour)
	b.want(b.poll(b.follow(&now, func(c *FollowerConfig) { c.Prefix = "org" })), want...)

	some := slices.DeleteFunc(slices.Clone(want), func(k string) bool {
		return !strings.Contains(k, "/444455556666/CloudTrail/us-east-1/")
	})
	b.want(b.poll(b.follow(&now, func(c *FollowerConfig) {
		c.Prefix, c.Accounts, c.Regions = "org/", []string{"444455556666"}, []string{"us-east-1"}
	})), some...)
	for _, deep := range []string{"org/AWSLogs", "org/AWSLogs/o-abc/"} {
		b.want(b.poll(b.follow(&now, func(c *FollowerConfig) { c.Prefix = deep })), want...)
	}
	for _, deep := range []string{"org/AWSLogs/o-abc/444455556666/CloudTrail/us-east-1", "org/AWSLogs/o-abc/444455556666/CloudTrail/us-east-1/"} {
		b.want(b.poll(b.follow(&now, func(c *FollowerConfig) { c.Prefix = deep })), some...)
	}
	f := b.follow(&now, func(c *FollowerConfig) { c.Prefix = "nothing" })
	if _, err := f.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "AWSLogs/") {
		t.Errorf("a prefix without a trail gives %v", err)
	}
}

func TestFollowerPagesAndStarts(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	var keys []string
	for i := range 2300 { // more than two pages, over days and accounts of one
		key := file("", "111122223333", "eu-central-1", day.Add(time.Duration(i)*time.Minute), "x")
		b.put(key, "{}")
		keys = append(keys, key)
	}
	now := day.Add(60 * 24 * time.Hour)
	b.want(b.poll(b.follow(&now, nil)), keys...)
	b.want(b.poll(b.follow(&now, func(c *FollowerConfig) { c.Start = day.Add(2000 * time.Minute) })), keys[2000:]...)
}

func TestFollowerCheckpoint(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	path := filepath.Join(t.TempDir(), "cp")
	now := day.Add(time.Hour)
	open := func() *Follower { return b.follow(&now, func(c *FollowerConfig) { c.Checkpoint, c.Start = path, day }) }
	key := func(minute int, unique string) string {
		return file("", "111122223333", "eu-central-1", day.Add(time.Duration(minute)*time.Minute), unique)
	}
	for i := range 4 {
		b.put(key(i, "m"), "{}")
	}
	f := open()
	got := b.poll(f)
	b.want(got, key(0, "m"), key(1, "m"), key(2, "m"), key(3, "m"))
	f.Done(got[0])
	f.Done(got[2])
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	b.put(key(1, "a"), "{}") // late, and before a known key
	b.put(key(5, "m"), "{}")
	f = open()
	got = b.poll(f)
	b.want(got, key(1, "a"), key(1, "m"), key(3, "m"), key(5, "m"))
	b.want(b.poll(f)) // offered but not done: not again in this run
	for _, o := range got {
		f.Done(o)
	}
	now = now.Add(24 * time.Hour)
	b.want(b.poll(f)) // a listing: an unseen file may have appeared before it
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, _, err := loadCheckpoint(path, b.name, "", now)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, l := range c.Lanes {
		if prefix+l.Low != key(5, "m") || len(l.Done) != 0 {
			t.Errorf("the checkpoint keeps %+v, want all up to the last forgotten", l)
		}
	}
	b.want(b.poll(open()))
	b.put(key(2000, "m"), "{}")
	b.want(b.poll(open()), key(2000, "m"))
	if _, err := NewFollower(b.client, FollowerConfig{Bucket: b.name, Prefix: "x", Checkpoint: path, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "it is for s3://trail/") {
		t.Errorf("another prefix took the checkpoint: %v", err)
	}
}

func TestFollowerTriesAgain(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	good, bad := file("", "111122223333", "eu-central-1", day, "a"), file("", "111122223333", "eu-central-1", day, "b")
	b.put(good, "{}")
	b.put(bad, "{}")
	now := day
	f := b.follow(&now, nil)
	got := b.poll(f)
	b.want(got, good, bad)
	for i := range 30 { // others go on, and nothing is given up
		if !f.Retry(got[1], io.ErrUnexpectedEOF) {
			t.Fatalf("given up at try %d", i)
		}
		b.want(b.poll(f)) // not yet
		now = now.Add(20 * time.Minute)
		if i == 3 {
			f.Done(got[0])
		}
		b.want(b.poll(f), bad)
	}
	f.Done(got[1])
	now = now.Add(time.Hour)
	b.want(b.poll(f))
}

func TestOpen(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	key := "a b/+é&?.json"
	b.put(key, "hello")
	read := func(r Ref) (string, error) {
		body, err := b.client.Open(t.Context(), r)
		if err != nil {
			return "", err
		}
		defer body.Close()
		content, err := io.ReadAll(body)
		return string(content), err
	}
	if got, err := read(Ref{Bucket: b.name, Key: key}); got != "hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := read(Ref{Bucket: b.name, Key: "missing"})
	var rejected *source.Rejected
	if !asRejected(err, &rejected) || rejected.Reason != source.ReasonGone {
		t.Errorf("an object that is gone gives %v", err)
	}
	if _, err = read(Ref{Bucket: "no-such-bucket", Key: key}); err == nil || asRejected(err, &rejected) {
		t.Errorf("a bucket that is not there gives %v: it may come back", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.client.Open(ctx, Ref{Bucket: b.name, Key: key}); err == nil {
		t.Error("opened though the context is done")
	}
}

// Low passes a parked object, and the checkpoint keeps it.
func TestFollowerParks(t *testing.T) {
	t.Parallel()
	b := newBucket(t, nil)
	a, c := euFile(day, "a"), euFile(day.Add(time.Minute), "c")
	b.put(a, "{}")
	b.put(c, "{}")
	now := day.Add(time.Hour)
	path := filepath.Join(t.TempDir(), "cp")
	open := func() *Follower { return b.follow(&now, func(cfg *FollowerConfig) { cfg.Checkpoint = path }) }
	f := open()
	got := b.poll(f)
	b.want(got, a, c)
	f.Park(got[0])
	f.Done(got[1])
	now = now.Add(24 * time.Hour)
	b.want(b.poll(f))
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if low := f.lanes[euLogs].low; low != c || f.known != 0 || f.Waiting().Size != 0 {
		t.Errorf("low is %s with %d in mind and %+v, want %s", low, f.known, f.Waiting(), c)
	}
	f = open()
	got = b.poll(f)
	b.want(got, a)
	f.Park(got[0])
	b.want(b.poll(f))
	f.Done(got[0])
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(b.poll(open()))
}
