package digest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
)

// trail is a bucket on a server, to which the test writes logs and digests like
// CloudTrail, and a stand-in for ListPublicKeys, which the server lacks.
type trail struct {
	t        *testing.T
	raw      *awss3.Client
	objects  *s3.Client
	verifier *Verifier
	last     *Previous
	hours    int
	logs     []File // of the present hour
}

var nine = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func newTrail(t *testing.T) *trail {
	t.Helper()
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ListPublicKeys") {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(map[string]any{"PublicKeyList": []map[string]any{{"Fingerprint": "f1", "Value": publicKey()}}})
	}))
	t.Cleanup(keys.Close)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: awstest.Start(t)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{t: t, raw: awss3.NewFromConfig(cfg, func(o *awss3.Options) { o.UsePathStyle = true }), objects: s3.NewClient(cfg)}
	_, err = tr.raw.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("trail"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: awstest.Region}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseEndpoint = aws.String(keys.URL)
	tr.verifier = NewVerifier(cfg, tr.objects)
	return tr
}

func (tr *trail) put(key, content, signature string) {
	tr.t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(content))
	z.Close()
	in := &awss3.PutObjectInput{Bucket: aws.String("trail"), Key: &key, Body: bytes.NewReader(b.Bytes())}
	if signature != "" {
		in.Metadata = map[string]string{"signature": signature, "signature-algorithm": signatureAlgorithm}
	}
	if _, err := tr.raw.PutObject(tr.t.Context(), in); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *trail) remove(key string) {
	tr.t.Helper()
	if _, err := tr.raw.DeleteObject(tr.t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("trail"), Key: &key}); err != nil {
		tr.t.Fatal(err)
	}
}

// log writes a log file, some minutes into the present hour.
func (tr *trail) log(minute int) (key string) {
	at := nine.Add(time.Duration(tr.hours)*time.Hour + time.Duration(minute)*time.Minute)
	key = "AWSLogs/111122223333/CloudTrail/eu-central-1/" + at.Format("2006/01/02/") + "111122223333_CloudTrail_eu-central-1_" + at.Format("20060102T1504Z") + "_x.json.gz"
	content := fmt.Sprintf(`{"Records":[{"eventID":"%d/%d"}]}`, tr.hours, minute)
	tr.put(key, content, "")
	tr.logs = append(tr.logs, File{Bucket: "trail", Key: key, Hash: Sum([]byte(content))})
	return key
}

// digest ends the hour and writes its digest.
func (tr *trail) digest() s3.Ref {
	tr.t.Helper()
	start := nine.Add(time.Duration(tr.hours) * time.Hour)
	end := start.Add(time.Hour)
	tr.hours++
	key := "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/" + end.Format("2006/01/02/") +
		"111122223333_CloudTrail-Digest_eu-central-1_audit_eu-central-1_" + end.Format("20060102T150405Z") + ".json.gz"
	d := map[string]any{"awsAccountId": "111122223333", "digestStartTime": start.Format(time.RFC3339), "digestEndTime": end.Format(time.RFC3339),
		"digestS3Bucket": "trail", "digestS3Object": key, "digestPublicKeyFingerprint": "f1", "digestSignatureAlgorithm": signatureAlgorithm}
	before := "null"
	if p := tr.last; p != nil {
		d["previousDigestS3Bucket"], d["previousDigestS3Object"], d["previousDigestHashValue"], d["previousDigestHashAlgorithm"], d["previousDigestSignature"] =
			p.Bucket, p.Key, p.Hash, hashAlgorithm, p.Signature
		before = p.Signature
	}
	files := []map[string]string{}
	for _, f := range tr.logs {
		files = append(files, map[string]string{"s3Bucket": f.Bucket, "s3Object": f.Key, "hashValue": f.Hash, "hashAlgorithm": hashAlgorithm})
	}
	d["logFiles"], tr.logs = files, nil
	content, err := json.Marshal(d)
	if err != nil {
		tr.t.Fatal(err)
	}
	signature := signed(tr.t, end.Format(time.RFC3339)+"\ntrail/"+key+"\n"+Sum(content)+"\n"+before)
	tr.put(key, string(content), signature)
	tr.last = &Previous{Bucket: "trail", Key: key, Hash: Sum(content), Signature: signature}
	return s3.Ref{Bucket: "trail", Key: key}
}

// want checks the findings of a digest, "KIND KEY" each.
func (tr *trail) want(r s3.Ref, want ...string) {
	tr.t.Helper()
	findings, err := tr.verifier.Check(tr.t.Context(), r)
	if err != nil {
		tr.t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		got = append(got, string(f.Kind)+" "+strings.TrimPrefix(f.Object, "s3://trail/"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		tr.t.Errorf("found\n%s\nwant\n%s\n%+v", strings.Join(got, "\n"), strings.Join(want, "\n"), findings)
	}
}

// TestRowD4DigestsAreChecked: a digest's signature and chain, and the hashes of the log files that it names, are checked; missing, changed and extra files are found.
func TestRowD4DigestsAreChecked(t *testing.T) {
	tr := newTrail(t)
	a, b := tr.log(5), tr.log(10)
	one := tr.digest()
	c := tr.log(5)
	tr.log(59) // named by the next digest
	late := tr.logs[1]
	tr.logs = tr.logs[:1]
	two := tr.digest()
	tr.log(5)
	tr.logs = append(tr.logs, late)
	three := tr.digest()
	four := tr.digest()
	for _, d := range []s3.Ref{one, two, three, four} {
		tr.want(d)
	}
	if _, err := tr.verifier.Check(t.Context(), s3.Ref{Bucket: "trail", Key: "no-such"}); err == nil {
		t.Error("a digest that is gone is checked")
	}

	tr.put(a, `{"Records":[]}`, "")
	tr.want(one, "LogFileChanged "+a)
	tr.remove(b)
	tr.want(one, "LogFileChanged "+a, "LogFileMissing "+b)
	extra := strings.Replace(c, "Z_x", "Z_y", 1)
	tr.put(extra, `{"Records":[]}`, "")
	tr.want(three, "LogFileExtra "+extra)
	tr.remove(extra)

	whole, metadata, err := tr.objects.Read(t.Context(), two, MaxBytes)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	if _, err := content.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	tr.put(two.Key, strings.Replace(content.String(), c, "other", 1), metadata["signature"])
	tr.want(two, "DigestInvalid "+two.Key, "LogFileMissing other")
	tr.want(three, "DigestChanged "+two.Key)
	tr.put(two.Key, content.String(), "")
	tr.want(two, "DigestInvalid "+two.Key)
	tr.want(three, "DigestChanged "+two.Key)
	tr.put(two.Key, "no digest", "00")
	tr.want(two, "DigestInvalid "+two.Key)
	tr.remove(two.Key)
	tr.want(three, "DigestMissing "+two.Key)
}
