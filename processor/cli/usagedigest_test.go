package cli

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

// TestUsageVerifiesDigests: a changed log file is a finding, and no key is safe then.
func TestUsageVerifiesDigests(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	storage := awstest.Start(t)
	target, err := url.Parse(storage)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ListPublicKeys") { // which the server lacks
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(map[string]any{"PublicKeyList": []map[string]any{{"Fingerprint": "f1", "Value": x509.MarshalPKCS1PublicKey(&key.PublicKey)}}})
	}))
	t.Cleanup(server.Close)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: storage})
	if err != nil {
		t.Fatal(err)
	}
	raw := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := raw.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}}); err != nil {
		t.Fatal(err)
	}
	put := func(key, content string, metadata map[string]string) {
		t.Helper()
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		fmt.Fprint(z, content)
		z.Close()
		if _, err := raw.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: bytes.NewReader(b.Bytes()), Metadata: metadata}); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	end := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	log := "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/20/111122223333_CloudTrail_eu-central-1_20261120T0915Z_x.json.gz"
	content := `{"Records":[{"eventVersion":"1.11","eventTime":"2026-11-20T09:10:00Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","eventID":"1","awsRegion":"eu-central-1",` +
		`"recipientAccountId":"111122223333","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/bob"},"resources":[{"ARN":"arn:aws:kms:eu-central-1:111122223333:key/b0b"}]}]}`
	put(log, content, nil)
	name := "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/11/20/111122223333_CloudTrail-Digest_eu-central-1_audit_eu-central-1_20261120T100000Z.json.gz"
	digest, err := json.Marshal(map[string]any{"awsAccountId": "111122223333", "digestStartTime": end.Add(-time.Hour).Format(time.RFC3339), "digestEndTime": end.Format(time.RFC3339),
		"digestS3Bucket": "trail", "digestS3Object": name, "digestPublicKeyFingerprint": "f1", "digestSignatureAlgorithm": "SHA256withRSA",
		"logFiles": []map[string]string{{"s3Bucket": "trail", "s3Object": log, "hashValue": sum(content), "hashAlgorithm": "SHA-256"}}})
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(end.Format(time.RFC3339) + "\ntrail/" + name + "\n" + sum(string(digest)) + "\nnull"))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	put(name, string(digest), map[string]string{"signature": hex.EncodeToString(signature), "signature-algorithm": "SHA256withRSA"})
	usage := func(path string) (int, string, string) {
		return run("usage", "-o", "json", "--verify-digests", "--aws-endpoint", server.URL, "--aws-region", awstest.Region, path)
	}
	digests := func() string {
		t.Helper()
		code, out, said := usage("s3://trail/AWSLogs")
		var r struct {
			Inputs struct{ Digests json.RawMessage }
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK {
			t.Fatalf("exit %d: %v: %s%s", code, err, out, said)
		}
		return string(r.Inputs.Digests)
	}
	if got, want := digests(), `{"checked":1,"unchecked":0,"finding_count":0,"findings":[]}`; got != want {
		t.Errorf("the digests are %s, want %s", got, want)
	}
	put(log, strings.Replace(content, "bob", "eve", 1), nil)
	if got, want := digests(), `{"checked":1,"unchecked":0,"finding_count":1,"findings":[{"kind":"LogFileChanged","at":"2026-11-20T10:00:00Z"`; !strings.HasPrefix(got, want) {
		t.Errorf("the digests are %s, want %s", got, want)
	}
	if code, _, said := usage("s3://trail/AWSLogs/111122223333/CloudTrail"); code != exitError || !strings.Contains(said, "has no digest") {
		t.Errorf("without digests: exit %d: %s", code, said)
	}
	if code, _, said := usage("trail/"); code != exitUsage || !strings.Contains(said, "--verify-digests needs s3://") {
		t.Errorf("of files: exit %d: %s", code, said)
	}
}
