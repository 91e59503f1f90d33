package s3

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// TestMoto writes batches to moto through a proxy that fails, and some of them again, as
// processes do that die between a PUT and the commit: the bucket holds each record once.
func TestMoto(t *testing.T) {
	endpoint := awstest.Start(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	api := awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true })
	if _, err := api.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("archive"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	proxy := awstest.StartFaulty(t, endpoint, func(n int64, _ *http.Request) bool { return n%3 == 0 })
	open := func(bucket string) sink.Sink {
		c := DefaultConfig()
		c.Region, c.Endpoint, c.Bucket, c.Body = awstest.Region, proxy.URL, bucket, "otlp_json"
		c.SSE, c.StorageClass = "aws:kms", "STANDARD_IA"
		s, err := c.Open(sink.Identity{Name: "archive"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := map[string]int{}
	for part := range int32(3) {
		for from := int64(0); from < 60; from += 15 {
			batch := records("kms.events", part, from, from+15)
			for range 1 + from/15%2 { // every second batch comes twice
				s := open("archive")
				for tries := 0; s.Deliver(t.Context(), batch) != nil; tries++ {
					if tries > 20 {
						t.Fatal("the batch is never taken")
					}
					time.Sleep(time.Millisecond)
				}
			}
			for _, r := range batch {
				want[fmt.Sprintf("kms.events-%d-%d", part, r.Offset)] = 1
			}
		}
	}
	got := map[string]int{}
	for pages := awss3.NewListObjectsV2Paginator(api, &awss3.ListObjectsV2Input{Bucket: aws.String("archive")}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			out, err := api.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("archive"), Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(out.Body)
			if err != nil || out.StorageClass != types.StorageClassStandardIa || out.ServerSideEncryption != types.ServerSideEncryptionAwsKms {
				t.Errorf("%s: %v, storage class %q, encryption %q", *o.Key, err, out.StorageClass, out.ServerSideEncryption)
			}
			for _, line := range unpack(t, content) {
				for _, id := range sinktest.IDs(parse(t, line)) {
					got[id]++
				}
			}
		}
	}
	if !maps.Equal(got, want) || proxy.Broken.Load() == 0 {
		t.Errorf("the bucket has %d records, want %d; %v", len(got), len(want), slices.Sorted(maps.Keys(got)))
	}
	if err := func() (err error) {
		for range 3 { // one of which the proxy may break
			if err = open("missing").Deliver(t.Context(), records("t", 0, 0, 1)); sinktest.Verdict(err) == "paused target" {
				return nil
			}
		}
		return err
	}(); err != nil {
		t.Errorf("a missing bucket: got %v, want a pause", err)
	}
}
