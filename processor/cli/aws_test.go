package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// run runs a command and returns its output.
func run(args ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	code = Main(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// TestScanReadsS3 scans a trail from a bucket and from a directory.
func TestScanReadsS3(t *testing.T) {
	endpoint := awstest.Start(t)
	dir := t.TempDir()
	if code, _, said := run("generate", "--out", dir, "--duration", "26h", "--events", "4000"); code != exitOK {
		t.Fatal(said)
	}
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	raw := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := raw.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(dir, "AWSLogs")
	err = filepath.WalkDir(logs, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		key := "org/" + strings.TrimPrefix(path, dir+"/")
		_, err = raw.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	at := []string{"--aws-endpoint", endpoint, "--aws-region", awstest.Region}
	_, want, _ := run("scan", "--windows", "all", "-o", "table", logs)
	code, got, said := run(append([]string{"scan", "--windows", "all", "-o", "table", "s3://trail/org/AWSLogs"}, at...)...)
	if code != exitOK || got != want || len(want) < 1000 {
		t.Errorf("exit %d, the same windows: %v (%d bytes): %s", code, got == want, len(want), said)
	}
	for path, message := range map[string]string{"s3://trail/none": "there is nothing below", "s3://no-such-bucket/x": "NoSuchBucket", "s3://": "want s3://BUCKET/PREFIX"} {
		if code, _, said := run(append([]string{"scan", path}, at...)...); code != exitError || !strings.Contains(said, message) {
			t.Errorf("%s: exit %d: %s", path, code, said)
		}
	}
}

// TestLookup prints the events of one page of an event history.
func TestLookup(t *testing.T) {
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	os.Unsetenv("AWS_PROFILE")
	const bobs = "arn:aws:kms:eu-central-1:111122223333:key/b0b"
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".LookupEvents") {
			t.Errorf("asked for %s: %v", r.Header.Get("X-Amz-Target"), err)
		}
		asked = fmt.Sprint(in["LookupAttributes"])
		event := `{"eventVersion":"1.11","eventTime":"2026-11-20T09:00:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"1",` +
			`"userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/bob"},"resources":[{"ARN":"` + bobs + `","type":"AWS::KMS::Key"}]}`
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(map[string]any{"Events": []map[string]string{{"CloudTrailEvent": event}}})
	}))
	defer server.Close()
	at := []string{"--aws-endpoint", server.URL, "--aws-region", awstest.Region}
	code, out, said := run(append([]string{"lookup", "--attribute", "Username=alice", "--since", "48h", "--until", "1h"}, at...)...)
	if code != exitOK || !strings.Contains(out, `"aws.kms.api_call"`) || strings.Count(out, "\n") != 1 || asked != "[map[AttributeKey:Username AttributeValue:alice]]" {
		t.Errorf("exit %d, asked for %s\n%s\n%s", code, asked, out, said)
	}
	code, out, said = run(append([]string{"lookup", "-o", "csv"}, at...)...)
	want := "2026-11-20T09:00:00Z,aws.kms.api_call,kms.amazonaws.com,Decrypt,ok,,,," + bobs + ",,arn:aws:iam::111122223333:user/bob,,1"
	if rows := strings.Fields(out); code != exitOK || len(rows) != 2 || !strings.HasPrefix(rows[0], "time,event,service,operation,") || rows[1] != want {
		t.Errorf("csv: exit %d\n%swant %s\n%s", code, out, want, said)
	}
	for _, args := range [][]string{{"lookup", "--attribute", "user=x"}, {"lookup", "--since", "1h", "--until", "2h"}, {"lookup", "--since", "yesterday"}} {
		if code, _, said := run(args...); code != exitUsage {
			t.Errorf("%q: exit %d: %s", args, code, said)
		}
	}
}
