package awssink

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keytrail/processor/sink/sinktest"
)

// answered returns an error of the SDK about an answer.
func answered(status int, err error) error {
	return &smithy.OperationError{ServiceID: "X", OperationName: "Y", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{}}}, Err: err}}
}

// TestCodes: each code has its meaning, whatever the status, and only what is about a record
// may end one.
func TestCodes(t *testing.T) {
	for _, c := range []struct {
		code   string
		status int
		want   string
	}{
		{"ThrottlingException", 400, "again"}, {"SlowDown", 503, "again"}, {"RequestTimeout", 400, "again"},
		{"KMS.ThrottlingException", 400, "again"}, {"Throttled", 403, "paused credentials"}, {"InternalError", 500, "again"},
		{"AccessDenied", 403, "paused credentials"}, {"AccessDeniedException", 400, "paused credentials"},
		{"ExpiredToken", 400, "paused credentials"}, {"InvalidClientTokenId", 403, "paused credentials"},
		{"KMS.DisabledException", 400, "paused credentials"}, {"KMSAccessDenied", 400, "paused credentials"},
		{"AWS.SimpleQueueService.NonExistentQueue", 400, "paused target"}, {"QueueDoesNotExist", 400, "paused target"},
		{"NoSuchBucket", 404, "paused target"}, {"NotFound", 404, "paused target"},
		{"PermanentRedirect", 301, "paused redirect"}, {"AuthorizationHeaderMalformed", 400, "paused address"},
		{"InvalidParameter", 400, "halved invalid"}, {"InvalidMessageContents", 400, "halved invalid"},
		{"AWS.SimpleQueueService.BatchRequestTooLong", 400, "halved too_large"},
		{"SomethingNew", 400, "paused protocol"}, {"SomethingNew", 500, "again"},
		{"UnknownError", 400, "halved invalid"}, {"UnknownError", 404, "paused address"}, // as of any HTTP receiver
	} {
		err := Verdict(answered(c.status, &smithy.GenericAPIError{Code: c.code, Message: "words"}))
		if got := sinktest.Verdict(err); got != c.want || !strings.Contains(err.Error(), "words") {
			t.Errorf("%s with %d: got %q (%v), want %q", c.code, c.status, got, err, c.want)
		}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{answered(400, &smithy.GenericAPIError{Code: "InvalidParameter", Message: "Invalid parameter: TopicArn"}), "paused address"},
		{answered(200, fmt.Errorf("decode: %w", io.ErrUnexpectedEOF)), "again"},
		{answered(200, errors.New("invalid character '<'")), "paused protocol"},
		{&noCredentials{errors.New("no role")}, "paused credentials"},
		{errors.New("connection reset by peer"), "again"},
	} {
		if got := sinktest.Verdict(Verdict(c.err)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
	if Verdict(nil) != nil {
		t.Error("nil is an error")
	}
}

// TestCharacters: nothing that SQS refuses stays, and JSON keeps its meaning.
func TestCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"{\"a\":\"\uFFFE\"}": `{"a":"\ufffe"}`, "a\x00b\uFFFF": "a\uFFFDb\uFFFD", "tab\tend\n": "tab\tend\n", "\xff": "\uFFFD",
	} {
		if got := characters(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestToken: ids of FIFO queues hold what AWS allows, and stay different.
func TestToken(t *testing.T) {
	long := strings.Repeat("k", 129)
	for _, text := range []string{"", "with blank", "größe", long} {
		if got := token(text); len(got) != 64 {
			t.Errorf("%q: got %q, want a digest", text, got)
		}
	}
	if token(long) == token(long+"k") || token("a-0") != "a-0" {
		t.Error("two ids are the same, or a good one was changed")
	}
}
