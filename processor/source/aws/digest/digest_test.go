package digest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
)

var testKey = func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}()

func publicKey() []byte { return x509.MarshalPKCS1PublicKey(&testKey.PublicKey) }

// signed signs a text as CloudTrail signs what its guide describes.
func signed(t *testing.T, text string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	b, err := rsa.SignPKCS1v15(rand.Reader, testKey, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

const first = `{"awsAccountId":"111122223333","digestStartTime":"2026-11-20T09:00:00Z","digestEndTime":"2026-11-20T10:00:00Z",` +
	`"digestS3Bucket":"trail","digestS3Object":"AWSLogs/1/d.json.gz","digestPublicKeyFingerprint":"f1","digestSignatureAlgorithm":"SHA256withRSA",` +
	`"newestEventTime":null,"oldestEventTime":null,"previousDigestS3Bucket":null,"previousDigestS3Object":null,"previousDigestHashValue":null,` +
	`"previousDigestHashAlgorithm":null,"previousDigestSignature":null,"logFiles":[{"s3Bucket":"trail","s3Object":"a","hashValue":"00","hashAlgorithm":"SHA-256"}]}`

func TestSignature(t *testing.T) {
	d, err := Parse([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	text := "2026-11-20T10:00:00Z\ntrail/AWSLogs/1/d.json.gz\n" + Sum([]byte(first)) + "\nnull"
	if got := string(d.ToSign()); got != text {
		t.Errorf("signed is\n%s\nwant\n%s", got, text)
	}
	if err := d.Verify(signed(t, text), publicKey()); err != nil {
		t.Error(err)
	}
	for name, signature := range map[string]string{"of another text": signed(t, text+"x"), "empty": "", "no hexadecimal": "xy", "cut": signed(t, text)[:100]} {
		if err := d.Verify(signature, publicKey()); err == nil {
			t.Errorf("a signature that is %s was taken", name)
		}
	}
	if err := d.Verify(signed(t, text), []byte("no key")); err == nil {
		t.Error("no key was taken for one")
	}
	next := strings.Replace(first, `"previousDigestSignature":null`, `"previousDigestSignature":"ab"`, 1)
	if _, err := Parse([]byte(next)); err == nil {
		t.Error("half of what is said of the digest before was taken")
	}
	for _, name := range []string{"previousDigestS3Bucket", "previousDigestS3Object", "previousDigestHashValue"} {
		next = strings.Replace(next, `"`+name+`":null`, `"`+name+`":"x"`, 1)
	}
	if d, err = Parse([]byte(next)); err != nil || !strings.HasSuffix(string(d.ToSign()), "\nab") {
		t.Errorf("the signature before is not signed: %v", err)
	}
}

func TestFindingIsAnEvent(t *testing.T) {
	f := Finding{Kind: LogFileMissing, Account: "111122223333", Region: "eu-central-1", At: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		Digest: "s3://trail/d", Object: "s3://trail/\"a\"", Detail: "gone"}
	text := f.AppendEvent(nil)
	r := cloudtrail.NewReader(strings.NewReader(string(text)), "x", decoding.Limits{})
	var ev cloudtrail.Event
	if err := r.Next(&ev); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if ev.Name != "LogFileMissing" || ev.Source != EventSource || ev.Region != f.Region || ev.RecipientAccount != f.Account || ev.Time != "2026-11-20T10:00:00Z" || len(ev.ID) != 36 {
		t.Errorf("the event is %s", text)
	}
	if again := string(f.AppendEvent(nil)); again != string(text) {
		t.Error("the same finding has two events")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(first))
	f.Add([]byte(`{"logFiles":[{}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := Parse(content)
		if err != nil {
			return
		}
		if !json.Valid(content) || d.End.IsZero() || d.Key == "" {
			t.Errorf("took %q as %+v", content, d)
		}
		if d.Verify(strings.Repeat("00", 256), publicKey()) == nil {
			t.Errorf("a made-up signature is taken for %q", content)
		}
	})
}
