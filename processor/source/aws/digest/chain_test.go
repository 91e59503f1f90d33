package digest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/s3"
)

// ledger is a trail in a Bucket, with its own times of key rotation.
type ledger struct {
	t        *testing.T
	bucket   *awstest.Bucket
	verifier *Verifier
	rotated  time.Time // when CloudTrail starts to sign with f2
	last     map[string]*Previous
}

const lane = "AWSLogs/111122223333/CloudTrail%s/eu-central-1/"

func newLedger(t *testing.T) *ledger {
	l := &ledger{t: t, bucket: &awstest.Bucket{Objects: map[string]awstest.Object{}}, rotated: nine.AddDate(1, 0, 0), last: map[string]*Previous{}}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ StartTime, EndTime float64 }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.StartTime > in.EndTime {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		at := func(seconds float64) time.Time { return time.Unix(int64(seconds), 0) }
		var list []map[string]any
		if at(in.StartTime).Before(l.rotated) {
			list = append(list, map[string]any{"Fingerprint": "f1", "Value": publicKey()})
		}
		if !at(in.EndTime).Before(l.rotated) {
			list = append(list, map[string]any{"Fingerprint": "f2", "Value": publicKey()})
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(map[string]any{"PublicKeyList": list}) // to a recorder of the server's
	}))
	t.Cleanup(keys.Close)
	cfg := l.bucket.Serve(t)
	objects := s3.NewClient(cfg)
	cfg.BaseEndpoint = aws.String(keys.URL)
	l.verifier = NewVerifier(cfg, objects)
	return l
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text)) // into memory
	z.Close()
	return b.Bytes()
}

// log writes a log file delivered at that time.
func (l *ledger) log(at time.Time, unique string) File {
	key := fmt.Sprintf(lane, "") + at.Format("2006/01/02/") + "111122223333_CloudTrail_eu-central-1_" + at.Format("20060102T1504Z_") + unique + ".json.gz"
	text := `{"Records":[{"eventID":"` + unique + `"}]}`
	l.bucket.Objects[key] = awstest.Object{Content: zipped(text)}
	return File{Bucket: "trail", Key: key, Hash: Sum([]byte(text))}
}

// options distinguish digests.
type options struct {
	trail, fingerprint string
	backfill           time.Time // time of generation
	alone              bool      // the first of a chain
	forged             bool
}

// digest writes the digest of the hour that ends at end.
func (l *ledger) digest(end time.Time, o options, logs ...File) s3.Ref {
	l.t.Helper()
	suffix := ".json.gz"
	if !o.backfill.IsZero() {
		suffix = "_backfill.json.gz"
	}
	key := fmt.Sprintf(lane, "-Digest") + end.Format("2006/01/02/") + "111122223333_CloudTrail-Digest_eu-central-1_" + o.trail + "_eu-central-1_" + end.Format(stampForm) + suffix
	d := map[string]any{"awsAccountId": "111122223333", "digestStartTime": end.Add(-time.Hour).Format(time.RFC3339), "digestEndTime": end.Format(time.RFC3339),
		"digestS3Bucket": "trail", "digestS3Object": key, "digestPublicKeyFingerprint": o.fingerprint, "digestSignatureAlgorithm": signatureAlgorithm}
	before := "null"
	if p := l.last[o.trail]; p != nil && o.backfill.IsZero() && !o.alone {
		d["previousDigestS3Bucket"], d["previousDigestS3Object"], d["previousDigestHashValue"], d["previousDigestHashAlgorithm"], d["previousDigestSignature"] =
			p.Bucket, p.Key, p.Hash, hashAlgorithm, p.Signature
		before = p.Signature
	}
	files := []map[string]string{}
	for _, f := range logs {
		files = append(files, map[string]string{"s3Bucket": f.Bucket, "s3Object": f.Key, "hashValue": f.Hash, "hashAlgorithm": hashAlgorithm})
	}
	d["logFiles"] = files
	text, err := json.Marshal(d)
	if err != nil {
		l.t.Fatal(err)
	}
	metadata := map[string]string{"signature-algorithm": signatureAlgorithm,
		"signature": signed(l.t, end.Format(time.RFC3339)+"\ntrail/"+key+"\n"+Sum(text)+"\n"+before)}
	if o.forged {
		metadata["signature"] = strings.Repeat("00", 256)
	}
	if !o.backfill.IsZero() {
		metadata["backfill-generation-timestamp"] = o.backfill.Format(time.RFC3339)
	} else {
		l.last[o.trail] = &Previous{Bucket: "trail", Key: key, Hash: Sum(text), Signature: metadata["signature"]}
	}
	l.bucket.Objects[key] = awstest.Object{Content: zipped(string(text)), Metadata: metadata}
	return s3.Ref{Bucket: "trail", Key: key}
}

func (l *ledger) want(r s3.Ref, want ...string) {
	l.t.Helper()
	findings, err := l.verifier.Check(l.t.Context(), r)
	if err != nil {
		l.t.Fatal(err)
	}
	got := []string{}
	for _, f := range findings {
		got = append(got, string(f.Kind)+" "+strings.TrimPrefix(f.Object, "s3://trail/"))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.t.Errorf("found\n%s\nwant\n%s\n%+v", strings.Join(got, "\n"), strings.Join(want, "\n"), findings)
	}
}

// hour is n hours and minutes after nine.
func hour(h, m int) time.Time {
	return nine.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
}

// A late log file is in a backfill digest of its hour, which is checked like others; a
// forged one vouches for nothing.
func TestBackfillDigests(t *testing.T) {
	l := newLedger(t)
	audit := options{trail: "audit", fingerprint: "f1"}
	a, late := l.log(hour(0, 5), "a"), l.log(hour(0, 40), "late")
	l.digest(hour(1, 0), audit, a)
	two := l.digest(hour(2, 0), audit)
	l.want(two, "LogFileExtra "+late.Key)
	backfill := audit
	backfill.backfill, backfill.fingerprint = hour(30, 0), "f2"
	l.rotated = hour(29, 0) // its signing key is the one at its generation
	forged := backfill
	forged.forged = true
	bad := l.digest(hour(1, 0), forged, late)
	l.want(two, "LogFileExtra "+late.Key)
	l.want(bad, "DigestInvalid "+bad.Key)
	good := l.digest(hour(1, 0), backfill, late)
	l.want(two)
	l.want(good)
	o := l.bucket.Objects[good.Key]
	delete(o.Metadata, "backfill-generation-timestamp")
	l.want(good, "DigestInvalid "+good.Key)
	l.want(two, "LogFileExtra "+late.Key)
}

// Two trails may deliver to one folder: one's logs are not extra for the other.
func TestTrailsThatShareAFolder(t *testing.T) {
	l := newLedger(t)
	audit, other := options{trail: "audit", fingerprint: "f1"}, options{trail: "other_one", fingerprint: "f1"}
	a, b, c := l.log(hour(0, 5), "a"), l.log(hour(0, 10), "b"), l.log(hour(0, 59), "c")
	l.digest(hour(1, 0), audit, a)
	l.digest(hour(1, 0), other, b)
	two := l.digest(hour(2, 0), audit)
	third := l.digest(hour(2, 0), other, c)
	l.want(two)
	l.want(third)
	extra := l.log(hour(0, 20), "extra")
	l.want(two, "LogFileExtra "+extra.Key)
	l.want(third, "LogFileExtra "+extra.Key)
}

// Consecutive missing digests are all found, as far as the chain reaches.
func TestDigestsInARowAreGone(t *testing.T) {
	l := newLedger(t)
	audit := options{trail: "audit", fingerprint: "f1"}
	var refs []s3.Ref
	for h := range 30 { // over midnight
		refs = append(refs, l.digest(hour(h, 1), audit))
	}
	for h := range 30 {
		l.digest(hour(h, 1), options{trail: "audit_two", fingerprint: "f1"}) // another trail hides nothing
	}
	next := refs[20]
	l.want(next)
	kept := maps.Clone(l.bucket.Objects)
	var want []string
	for n := range 6 { // six missing before it
		key := refs[19-n].Key
		delete(l.bucket.Objects, key)
		want = append(want, "DigestMissing "+key)
		l.want(next, slices.Clone(want)...)
	}
	for h := range 20 { // all missing before it: the chain may have begun with the one that it names
		delete(l.bucket.Objects, refs[h].Key)
	}
	l.want(next, want[0])
	l.bucket.Objects = kept
	l.want(next)
	// A chain that starts again after a pause misses nothing.
	l.want(l.digest(hour(200, 0), options{trail: "audit", fingerprint: "f1", alone: true}))
}

// A digest near the change of keys may be signed with either.
func TestKeysNearTheirChange(t *testing.T) {
	l := newLedger(t)
	l.rotated = hour(1, 10)
	l.want(l.digest(hour(1, 0), options{trail: "early", fingerprint: "f2"}))
	l.want(l.digest(hour(3, 0), options{trail: "late", fingerprint: "f1"}))
	no := l.digest(hour(100, 0), options{trail: "never", fingerprint: "f3"})
	l.want(no, "DigestInvalid "+no.Key)
	l.verifier.keys = map[string][]byte{}
	old := l.digest(hour(100, 0), options{trail: "old", fingerprint: "f1"})
	l.want(old, "DigestInvalid "+old.Key)
}

// Bytes appended after a file's gzip member are found, also if they inflate to nothing.
func TestAppendedData(t *testing.T) {
	l := newLedger(t)
	a := l.log(hour(0, 5), "a")
	r := l.digest(hour(1, 0), options{trail: "audit", fingerprint: "f1"}, a)
	l.want(r)
	for name, more := range map[string][]byte{"a record": zipped(`{"Records":[]}`), "an empty member": zipped(""), "zeros": {0, 0}, "text": []byte("x")} {
		for key, want := range map[string]string{a.Key: "LogFileChanged " + a.Key, r.Key: "DigestInvalid " + r.Key} {
			o := l.bucket.Objects[key]
			changed := o
			changed.Content = append(slices.Clone(o.Content), more...)
			l.bucket.Objects[key] = changed
			t.Run(name, func(t *testing.T) { l.t = t; l.want(r, want) })
			l.bucket.Objects[key] = o
		}
	}
	l.t = t
	l.want(r)
}

// A digest that is too large to read is a finding, not an object that is retried forever.
func TestDigestTooLarge(t *testing.T) {
	l := newLedger(t)
	r := l.digest(hour(1, 0), options{trail: "audit", fingerprint: "f1"})
	next := l.digest(hour(2, 0), options{trail: "audit", fingerprint: "f1"})
	l.bucket.Objects[r.Key] = awstest.Object{Content: make([]byte, MaxBytes+1)}
	l.want(r, "DigestInvalid "+r.Key)
	l.want(next, "DigestChanged "+r.Key)
	l.bucket.Objects[r.Key] = awstest.Object{Content: zipped(strings.Repeat(" ", MaxBytes+1))}
	l.want(r, "DigestInvalid "+r.Key)
}
