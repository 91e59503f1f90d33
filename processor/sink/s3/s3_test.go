package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/source/aws/awstest"
	"keytrail/schemas/otellog"
)

// bucket is a stand-in for PutObject: it checks the checksum, and keeps objects and headers.
type bucket struct {
	mu      sync.Mutex // guards what follows
	objects map[string][]byte
	order   []string
	header  http.Header
	deny    int    // a status; 0 takes objects
	denied  string // a part of the keys that deny is about
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	sum := sha256.Sum256(content)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.header = r.Header.Clone()
	_, known := b.objects[r.URL.Path]
	switch {
	case b.deny != 0 && strings.Contains(r.URL.Path, b.denied):
		w.WriteHeader(b.deny)
	case err != nil || r.Method != http.MethodPut ||
		r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]):
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, "<Error><Code>BadDigest</Code></Error>")
	case known && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprint(w, "<Error><Code>PreconditionFailed</Code></Error>")
	default:
		if b.objects == nil {
			b.objects = map[string][]byte{}
		}
		if !known {
			b.order = append(b.order, r.URL.Path)
		}
		b.objects[r.URL.Path] = content
		w.Header().Set("ETag", `"e"`)
	}
}

// open opens a sink for the bucket.
func (b *bucket) open(t *testing.T, change func(*Config)) sink.Sink {
	t.Helper()
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	c := DefaultConfig()
	c.Region, c.Endpoint, c.Bucket, c.Body = awstest.Region, srv.URL, "archive", "otlp_json"
	if change != nil {
		change(&c)
	}
	s, err := c.Open(sink.Identity{Name: "archive"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unpack returns the lines of an object.
func unpack(t *testing.T, object []byte) (lines []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		lines = append(lines, line)
	}
	return lines
}

func parse(t *testing.T, line string) *logs.LogsData {
	t.Helper()
	data := &logs.LogsData{}
	if err := protojson.Unmarshal([]byte(line), data); err != nil {
		t.Fatal(err)
	}
	return data
}

// records returns records with their places, one per offset, of which every third is an hour
// later.
func records(topic string, partition int32, from, to int64) (batch []sink.Record) {
	for at := from; at < to; at++ {
		var rec otellog.Record
		rec.EventName, rec.Time = "aws.kms.api_call", time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC).UnixNano()
		if at%3 == 0 {
			rec.Time += int64(time.Hour)
		}
		rec.String("log.record.uid", fmt.Sprintf("%s-%d-%d", topic, partition, at))
		batch = append(batch, sink.Record{Topic: topic, TopicID: [16]byte{0xab, 1}, Partition: partition, Offset: at,
			Value: otellog.AppendRequest(nil, &rec), EventName: rec.EventName, Ref: at})
	}
	return batch
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Subject {
		b := &bucket{}
		return sinktest.Subject{Sink: numbered{b.open(t, nil), map[any]int64{}}, Arrived: func(t *testing.T) (list []*logs.LogsData) {
			return b.records(t)
		}}
	})
}

// records returns what the bucket holds, in the order of the first writes.
func (b *bucket) records(t *testing.T) (list []*logs.LogsData) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range b.order {
		for _, line := range unpack(t, b.objects[key]) {
			list = append(list, parse(t, line))
		}
	}
	return list
}

// numbered gives the suite's records offsets, the same whenever they come.
type numbered struct {
	sink.Sink
	offsets map[any]int64
}

func (s numbered) Deliver(ctx context.Context, batch []sink.Record) error {
	return s.Sink.Deliver(ctx, s.number(slices.Clone(batch)))
}

func (s numbered) number(batch []sink.Record) []sink.Record {
	for i := range batch {
		at, known := s.offsets[batch[i].Ref]
		if !known {
			at = int64(len(s.offsets))
			s.offsets[batch[i].Ref] = at
		}
		batch[i].Topic, batch[i].Offset = "t", at
	}
	return batch
}

// TestObjects: an object per hour, with names that say what it holds, and the same bytes
// again.
func TestObjects(t *testing.T) {
	b := &bucket{}
	s := b.open(t, nil)
	batch := records("kms.events", 7, 40, 46)
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	const first = "/archive/keytrail/kms.events/dt=2026-11-30/hour=23/ab010000-00007-00000000000000000040-00000000000000000045.ndjson.gz"
	second := strings.Replace(first, "30/hour=23", "01/hour=00", 1)
	second = strings.Replace(second, "2026-11", "2026-12", 1)
	if got := slices.Sorted(maps.Keys(b.objects)); !slices.Equal(got, []string{first, second}) {
		t.Fatalf("the keys are %q", got)
	}
	if a, z := len(unpack(t, b.objects[first])), len(unpack(t, b.objects[second])); a != 4 || z != 2 {
		t.Errorf("%d and %d records, want 4 and 2", a, z)
	}
	before := maps.Clone(b.objects)
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(before, b.objects, bytes.Equal) {
		t.Error("the repetition has other keys or bytes")
	}
}

// TestBadRecord: it is rejected, and the others are stored under the names of the batch.
func TestBadRecord(t *testing.T) {
	b := &bucket{deny: http.StatusServiceUnavailable}
	s := b.open(t, nil)
	batch := records("t", 0, 0, 3)
	batch[0].Value = []byte("\xff\xff")
	var rejected *sink.Rejected
	var again *sink.Throttled
	if err := s.Deliver(t.Context(), batch); !errors.As(err, &again) || !slices.Equal(again.Records, []int{1, 2}) {
		t.Errorf("without a receiver: got %v, want records 1 and 2 to be sent again", err)
	}
	b.deny = 0
	if err := s.Deliver(t.Context(), batch); !errors.As(err, &rejected) || !slices.Equal(rejected.Records, []int{0}) {
		t.Errorf("got %v, want record 0 rejected", err)
	}
	if len(b.objects) != 1 || !strings.Contains(b.order[0], "-00000000000000000000-00000000000000000002.") {
		t.Errorf("the objects are %q", b.order)
	}
	b.deny = http.StatusRequestEntityTooLarge
	if err := s.Deliver(t.Context(), records("t", 0, 5, 8)); sinktest.Verdict(err) != "paused protocol" {
		t.Errorf("413: got %v, want a pause", err)
	}
}

// TestHalfStored: with retry.max_attempts, the records of an object that S3 does not take go to
// the dead letter. Those of the stored object of the same batch do not, and its name stays.
func TestHalfStored(t *testing.T) {
	b := &bucket{deny: http.StatusServiceUnavailable, denied: "hour=00"}
	s := b.open(t, nil)
	var dead []any
	r, err := sink.NewRunner(sink.Options{Name: "archive", Sink: s, Batch: sink.DefaultBatch(),
		Retry: sink.Retry{Base: time.Millisecond, Cap: time.Millisecond, MaxAttempts: 2},
		Log:   slog.New(slog.DiscardHandler),
		DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, _ error) error {
			if dead = append(dead, rec.Ref); reason != sink.ReasonExhausted {
				t.Errorf("record %v is refused with %s", rec.Ref, reason)
			}
			return nil
		}})
	if err == nil {
		err = r.Deliver(t.Context(), records("t", 0, 0, 6))
	}
	if err != nil || !slices.Equal(dead, []any{int64(0), int64(3)}) {
		t.Errorf("dead letters %v (%v), want records 0 and 3", dead, err)
	}
	if len(b.order) != 1 || !strings.Contains(b.order[0], "hour=23/") || !strings.Contains(b.order[0], "-00000000000000000000-00000000000000000005.") ||
		len(unpack(t, b.objects[b.order[0]])) != 4 {
		t.Errorf("the objects are %q", b.order)
	}
}

// TestSettings: the request has what the settings say.
func TestSettings(t *testing.T) {
	b := &bucket{}
	s := b.open(t, func(c *Config) {
		c.SSE, c.KMSKeyID, c.StorageClass, c.BucketOwner, c.WriteOnce = "aws:kms", "alias/archive", "STANDARD_IA", "111122223333", true
	})
	for range 2 {
		var known *sink.Duplicate
		err := s.Deliver(t.Context(), records("t", 0, 1, 3))
		if errors.As(err, &known); err != nil && (known == nil || known.Records != 2) {
			t.Errorf("got %v, want two known records", err)
		}
	}
	for name, value := range map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     "alias/archive",
		"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true", "X-Amz-Storage-Class": "STANDARD_IA",
		"X-Amz-Expected-Bucket-Owner": "111122223333", "If-None-Match": "*"} {
		if got := b.header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
}

// TestValidate: a name from the configuration cannot leave its place in the key.
func TestValidate(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Bucket = "Upper" }, func(c *Config) { c.Bucket = "arn:aws:s3:::bucket" },
		func(c *Config) { c.Prefix = "/root/" }, func(c *Config) { c.Prefix = "a//b" }, func(c *Config) { c.Prefix = "a b" },
		func(c *Config) { c.SSE = "rot13" }, func(c *Config) { c.KMSKeyID = "x" }, func(c *Config) { c.StorageClass = "CHEAP" },
		func(c *Config) { c.BucketOwner = "me" }, func(c *Config) { c.Endpoint = "http://minio.example:9000" },
		func(c *Config) { c.Region = "nowhere" },
	} {
		c := DefaultConfig()
		c.Bucket = "archive"
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if change(&c); c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	c := DefaultConfig()
	c.Bucket = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
