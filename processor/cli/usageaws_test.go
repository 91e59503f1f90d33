package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keytrail/processor/source/aws/awstest"
)

// kmsStub is a stand-in for the two calls of KMS, because moto lacks GetKeyLastUsage. It
// refuses unsigned requests and throttles the first one.
func kmsStub(t *testing.T, lastUsage, describe string) string {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct{ KeyId string }
		refuse := func(code string) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"com.amazonaws.kms#%s","message":"for %s"}`, code, in.KeyId)
		}
		if err := json.Unmarshal(body, &in); err != nil || in.KeyId != usageKey || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/kms/aws4_request") {
			t.Errorf("the request %s with %v", body, r.Header)
			refuse("InvalidSignatureException")
			return
		}
		answer := map[string]string{"TrentService.GetKeyLastUsage": lastUsage, "TrentService.DescribeKey": describe}[r.Header.Get("X-Amz-Target")]
		switch {
		case asked.Add(1) == 1:
			refuse("ThrottlingException")
		case answer == "":
			refuse("AccessDeniedException")
		default:
			io.WriteString(w, answer)
		}
	}))
	t.Cleanup(server.Close)
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
	}
	return server.URL
}

// TestRowC5LastUseOfAWS: GetKeyLastUsage has three readings, and a use that only AWS knows proves a gap.
func TestRowC5LastUseOfAWS(t *testing.T) {
	describe := func(state string) string {
		return fmt.Sprintf(`{"KeyMetadata":{"KeyId":"u","Arn":%q,"KeyState":%q,"CreationDate":1.6e9,"KeyManager":"CUSTOMER"}}`, usageKey, state)
	}
	used := func(daysAgo int, event, request string) string {
		at := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC).AddDate(0, 0, -daysAgo).Unix()
		return fmt.Sprintf(`{"KeyId":"u","KeyLastUsage":{"Operation":"Decrypt","Timestamp":%d.25,"CloudTrailEventId":%q,"KmsRequestId":%q},"TrackingStartDate":1.7e9,"KeyCreationDate":1.6e9}`, at, event, request)
	}
	old := life{uses: []int{100}}
	for name, c := range map[string]struct {
		life
		last, describe         string
		verdict, reading, join string
		reason                 string
		code                   int
	}{
		"found by event id":   {old, used(100, "u100", ""), describe("Enabled"), "safe_to_disable_first", "used", "found", "AWS knows the last use Decrypt", 0},
		"found by request id": {old, used(100, "other-copy", "r-u"), describe("Enabled"), "safe_to_disable_first", "used", "found", "", 0},
		"missing":             {old, used(50, "gone", "gone"), describe("Enabled"), "idle", "used", "missing", "its coverage has a gap", 0},
		"too recent":          {old, used(0, "new", "new"), describe("Enabled"), "in_use", "used", "too_recent", "", 0},
		"before the input":    {life{uses: nil, more: on(150, "CreateKey", "")}, used(900, "x", "x"), describe("Enabled"), "safe_to_disable_first", "used", "outside_period", "", 0},
		"never":               {life{more: on(150, "CreateKey", "")}, `{"KeyLastUsage":{},"TrackingStartDate":1.6e9,"KeyCreationDate":1.6e9}`, describe("Enabled"), "safe_to_disable_first", "never_used", "", "no use since the creation", 0},
		"unknown":             {life{more: on(150, "CreateKey", "")}, `{"KeyLastUsage":{},"TrackingStartDate":1.7e9,"KeyCreationDate":1.6e9}`, describe("Enabled"), "safe_to_disable_first", "unknown_before_tracking", "", "the key is older", 0},
		"another state":       {old, used(100, "u100", ""), describe("PendingDeletion"), "safe_to_disable_first", "used", "found", "shows the state enabled, and AWS says PendingDeletion", 0},
		"refused":             {old, "", describe("Enabled"), "safe_to_disable_first", "", "", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			url := kmsStub(t, c.last, c.describe)
			text := strings.ReplaceAll(c.json(), `"eventID":"u100"`, `"eventID":"u100","requestID":"r-u"`)
			args := []string{"usage", "--ask-aws", "--aws-region", "eu-central-1", "--aws-endpoint", url, "--key", "u", "-"}
			said := map[int]string{1: "AWS did not answer for 1 KMS key"}[c.code]
			out := keytrail(t, strings.NewReader(text), args...).wants(t, c.code, said)
			var u struct {
				Verdict string
				Reasons []string
				AWS     struct {
					Reading string `json:"last_use_reading"`
					Join    string
					State   string
					Errors  []string
				}
			}
			if err := json.Unmarshal([]byte(out.stdout), &u); err != nil {
				t.Fatal(err, out.stdout)
			}
			if u.Verdict != c.verdict || u.AWS.Reading != c.reading || u.AWS.Join != c.join || u.AWS.State == "" ||
				!strings.Contains(strings.Join(u.Reasons, " "), c.reason) || len(u.AWS.Errors) != c.code {
				t.Errorf("%+v", u)
			}
		})
	}
}
