package input

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/plugins/internal/chunk"
	"keytrail/plugins/internal/logging"
	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// TestInputFromS3 reads a trail with its digests, by an identity whose own calls stand
// in the trail too.
func TestInputFromS3(t *testing.T) {
	endpoint := awstest.Start(t)
	put, caller := trailBucket(t, endpoint)
	mine := strings.Replace(event("mine"), `"later"`, fmt.Sprintf(`"userIdentity":{"type":"AssumedRole","arn":%q},"later"`, caller), 1)
	// A bucket with a Bucket Key, and another one.
	context := `"requestParameters":{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::%s"}},"later"`
	theirs := strings.Replace(mine, `"later"`, fmt.Sprintf(context, "other"), 1)
	mine = strings.Replace(mine, `"later"`, fmt.Sprintf(context, "trail"), 1)
	put("CloudTrail", "20260301T1205Z_a", records(theirs, other("x"), mine))
	put("CloudTrail-Digest", "audit_eu-central-1_20260301T130000Z", `{}`) // signed by nobody
	put("CloudTrail-Insight", "20260301T1205Z_b", records(event("insight")))

	state := t.TempDir()
	c := DefaultConfig(SourceS3)
	c.Bucket, c.VerifyDigests, c.Settle, c.PollInterval = "trail", true, 0, 50*time.Millisecond
	c.AWS = client.Config{Region: awstest.Region, Endpoint: endpoint}
	c.Checkpoint, c.DeadLetter = filepath.Join(state, "cp"), filepath.Join(state, "dead")
	// read reads until n events have come and the checkpoint holds the marks.
	read := func(n int, marks ...string) (got, own []string) {
		in, err := New(c, logging.New("", nil, func(_ logging.Level, s string) { t.Log(s) }))
		if err != nil {
			t.Fatal(err)
		}
		in.Start()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			var w chunk.Walker
			w.Reset(drained(in), 0)
			for e := (chunk.Entry{}); w.Next(&e); {
				if e.Self {
					own = append(own, string(e.JSON))
				}
				got = append(got, string(e.JSON))
			}
			content, err := os.ReadFile(c.Checkpoint)
			done := err == nil && len(got) >= n
			for _, mark := range marks {
				done = done && strings.Contains(string(content), mark)
			}
			if done {
				break
			}
		}
		if err := in.Stop(); err != nil {
			t.Fatal(err)
		}
		in.log.Emit()
		return got, own
	}
	got, own := read(3, "20260301T130000Z", "20260301T1205Z_a")
	if len(got) != 3 || len(own) != 1 || own[0] != mine || !strings.Contains(strings.Join(got, "\n"), `"eventName":"DigestInvalid"`) {
		t.Errorf("handed over\n%s\nthe collector's own\n%s", strings.Join(got, "\n"), strings.Join(own, "\n"))
	}
	put("CloudTrail", "20260301T1210Z_c", records(event("c")))
	if got, _ := read(1, "20260301T1210Z_c"); len(got) != 1 || got[0] != event("c") {
		t.Errorf("beside what is new, what is done was read again:\n%s", strings.Join(got, "\n"))
	}
}

// trailBucket makes a bucket. It returns what puts an object of a trail's into it, and
// who the caller is.
func trailBucket(t *testing.T, endpoint string) (put func(kind, name, content string), caller string) {
	t.Helper()
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	raw := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := raw.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	put = func(kind, name, content string) {
		t.Helper()
		key := "AWSLogs/111122223333/" + kind + "/eu-central-1/2026/03/01/111122223333_" + kind + "_eu-central-1_" + name + ".json.gz"
		if _, err := raw.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: strings.NewReader(gzipped(content))}); err != nil {
			t.Fatal(err)
		}
	}
	if caller, err = client.Caller(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return put, caller
}
