package kafka

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// emptyHash is the SHA-256 of nothing.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// isolate hides the environment from AWS's SDK.
func isolate(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			os.Unsetenv(name) // t.Setenv restores it
		}
	}
	nowhere := filepath.Join(t.TempDir(), "nothing")
	t.Setenv("AWS_CONFIG_FILE", nowhere)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// The payload has the members that aws-msk-iam-auth documents, and the signature equals
// that of AWS's signer for the same request.
func TestMSKIAMPayload(t *testing.T) {
	isolate(t)
	creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SessionToken: "a session/with+signs=="}
	t.Setenv("AWS_ACCESS_KEY_ID", creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", creds.SessionToken)
	const host = "b-1.trail.abc123.c2.kafka.eu-west-1.amazonaws.com"
	m := SASL{Mechanism: MechanismMSKIAM}.client()
	session, payload, err := m.Authenticate(t.Context(), host+":9098")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("20060102T150405Z", got["x-amz-date"])
	if err != nil || time.Since(at) > 10*time.Minute {
		t.Fatalf("x-amz-date is %q: %v", got["x-amz-date"], err)
	}
	want := map[string]string{
		"version": "2020_10_22", "host": host, "user-agent": "keytrail", "action": "kafka-cluster:Connect",
		"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": creds.AccessKeyID + "/" + at.Format("20060102") + "/eu-west-1/kafka-cluster/aws4_request",
		"x-amz-date": got["x-amz-date"], "x-amz-security-token": creds.SessionToken, "x-amz-signedheaders": "host", "x-amz-expires": "300",
		"x-amz-signature": signature(t, creds, host, at),
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is %q, want %q", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d members, want %d: %v", len(got), len(want), got)
	}
	if done, _, err := session.Challenge([]byte(`{"version":"2020_10_22","request-id":"x"}`)); !done || err != nil {
		t.Errorf("the broker's answer gives %v, %v", done, err)
	}
}

// signature signs the request that the payload represents with AWS's signer.
func signature(t *testing.T, creds aws.Credentials, host string, at time.Time) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "https://"+host+"/?Action=kafka-cluster%3AConnect&X-Amz-Expires=300", nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, emptyHash, "kafka-cluster", "eu-west-1", at)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("X-Amz-Signature")
}

func TestMSKIAMWithoutCredentials(t *testing.T) {
	isolate(t)
	_, _, err := SASL{Mechanism: MechanismMSKIAM}.client().Authenticate(t.Context(), "b-1.kafka.eu-west-1.amazonaws.com:9098")
	if err == nil || !strings.Contains(err.Error(), "cannot find AWS credentials for SASL AWS_MSK_IAM (environment, shared files, web identity, role)") {
		t.Errorf("the error is %v", err)
	}
}

// The chain caches credentials from files and renews them itself.
func TestMSKIAMFromFile(t *testing.T) {
	isolate(t)
	path := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", path)
	m := SASL{Mechanism: MechanismMSKIAM}.client()
	if err := os.WriteFile(path, []byte("[default]\naws_access_key_id=AKIDFILE\naws_secret_access_key=s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, payload, err := m.Authenticate(t.Context(), "b-1.kafka.us-east-2.amazonaws.com:9098")
		if err != nil || !strings.Contains(string(payload), `AKIDFILE/`) || !strings.Contains(string(payload), `/us-east-2/`) {
			t.Fatalf("%s, %v", payload, err)
		}
	}
}
