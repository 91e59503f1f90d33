package otlphttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// response encodes an ExportLogsServiceResponse with a partial success.
func response(lost int64, message string) []byte {
	b, err := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{
		RejectedLogRecords: lost, ErrorMessage: message,
	}})
	if err != nil {
		panic(fmt.Sprintf("BUG: cannot encode a response: %v", err))
	}
	return b
}

// kind names what an answer means to the Runner.
func kind(err error) string {
	switch e := err.(type) {
	case nil:
		return "accepted"
	case *sink.Throttled:
		return fmt.Sprint("retry after ", e.After)
	case *sink.Rejected:
		if e.Split {
			return fmt.Sprint("halve ", e.Reason)
		}
		return fmt.Sprint("reject ", e.Reason)
	case *sink.Partial:
		return fmt.Sprint("lost ", e.Lost, " ", e.Message)
	}
	return "retry"
}

// TestAnswers sends a batch of three to a receiver with each kind of answer.
func TestAnswers(t *testing.T) {
	f := func(code int, header, body, want string) {
		t.Helper()
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			if name, text, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, text)
			}
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		})
		err := open(t, r.URL, nil).Deliver(t.Context(), sinktest.Batch("a", "b", "c"))
		if got := kind(err); got != want {
			t.Errorf("%d, %s: got %q (%v), want %q", code, header, got, err, want)
		}
	}
	protobuf := "Content-Type: application/x-protobuf"
	// any 2xx accepts, whatever its body
	f(200, protobuf, "", "accepted")
	f(200, "Content-Type: text/html", "<html>", "accepted")
	f(200, protobuf, "\xff\xff\xff", "accepted")
	f(202, "", "{}", "accepted")
	f(204, "", "", "accepted")
	f(299, "", "", "accepted")
	// partial success
	f(200, protobuf, string(response(0, "")), "accepted")
	f(200, protobuf, string(response(0, "no scope name")), "lost 0 no scope name")
	f(200, protobuf+"; charset=utf-8", string(response(2, "too\nold")), "lost 2 too old")
	f(200, protobuf, string(response(3, "all old")), "reject partial_success")
	f(200, protobuf, string(response(4, "more than sent")), "reject partial_success")
	f(200, protobuf, string(response(-1, "")), "accepted")
	f(200, "Content-Type: text/plain", string(response(2, "not protobuf by its type")), "accepted")
	// more than is read
	f(200, protobuf, string(response(2, strings.Repeat("x", 2*maxAnswer))), "accepted")
	// to be retried (OTLP specification, "Retryable Response Codes", and 408)
	for _, code := range []int{408, 429, 502, 503, 504} {
		f(code, "", "", "retry after 0s")
		f(code, "Retry-After: 7", "busy", "retry after 7s")
	}
	// not by the receiver's will
	for _, code := range []int{301, 302, 307, 308} {
		f(code, "Location: http://127.0.0.1:1/", "", "retry")
	}
	f(600, "", "", "retry")
	// refused
	f(400, "", "bad", "halve invalid")
	f(413, "", "", "halve too_large")
	f(401, "", "", "reject unauthorized")
	f(403, "", "", "reject unauthorized")
	for _, code := range []int{402, 404, 405, 406, 415, 422, 499, 500, 501, 505} {
		f(code, "", "", "reject refused")
	}
}

func TestReasonText(t *testing.T) {
	f := func(kind, body, want string) {
		t.Helper()
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(body))
		})
		err := open(t, r.URL, nil).Deliver(t.Context(), sinktest.Batch("a"))
		var rejected *sink.Rejected
		if !errors.As(err, &rejected) || rejected.Err.Error() != "status 404: "+want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	status := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3)
	status = protowire.AppendString(protowire.AppendTag(status, 2, protowire.BytesType), "no such tenant")
	f("application/x-protobuf", string(status), "no such tenant")
	f("application/x-protobuf", "not protobuf", "no reason given")
	f("text/plain", "", "no reason given")
	f("text/plain", "page not\r\n\x1b[31mfound\n", "page not   [31mfound")
	f("text/plain", strings.Repeat("é", 400), strings.Repeat("é", 300)+" (cut)")
	f("text/plain", strings.Repeat("x", 4*maxAnswer), strings.Repeat("x", 300)+" (cut)")
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f := func(header string, want time.Duration) {
		t.Helper()
		if got := retryAfter(header, now); got != want {
			t.Errorf("Retry-After %q: got %v, want %v", header, got, want)
		}
	}
	f("", 0)
	f("0", 0)
	f("120", 2*time.Minute)
	f("-1", 0)
	f("1.5", 0)
	f("soon", 0)
	f("99999999999999999999", 0)
	f("18446744073709551615", 9223372036*time.Second)
	f("Sun, 22 Nov 2026 10:00:30 GMT", 30*time.Second)
	f("Sun, 22 Nov 2026 09:00:00 GMT", 0)
}

// FuzzParseResponse holds the hand-written reader against protowire, an
// independent one: what one can read the other must read, with the same result.
func FuzzParseResponse(f *testing.F) {
	f.Add(response(3, "old"))
	f.Add(append(response(1, "a"), response(2, "b")...))
	f.Add([]byte("\x0a\x04\x08\x01\x10\x01\x15\x00\x00\x00\x00"))
	f.Add([]byte("\x0d\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lost, message, err := parseResponse(b)
		wantLost, wantMessage, wantOK := reference(b)
		if (err == nil) != wantOK {
			t.Fatalf("%x: got error %v, want readable: %v", b, err, wantOK)
		}
		if err == nil && (lost != wantLost || message != wantMessage) {
			t.Errorf("%x: got %d %q, want %d %q", b, lost, message, wantLost, wantMessage)
		}
	})
}

func reference(b []byte) (lost int64, message string, ok bool) {
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeField(b)
		if n < 0 || wire == protowire.StartGroupType {
			return 0, "", false
		}
		_, _, skip := protowire.ConsumeTag(b)
		field := b[skip:n]
		b = b[n:]
		if number != 1 || wire != protowire.BytesType {
			continue
		}
		inner, _ := protowire.ConsumeBytes(field)
		for len(inner) > 0 {
			number, wire, n := protowire.ConsumeField(inner)
			if n < 0 || wire == protowire.StartGroupType {
				return 0, "", false
			}
			_, _, skip := protowire.ConsumeTag(inner)
			switch {
			case number == 1 && wire == protowire.VarintType:
				v, _ := protowire.ConsumeVarint(inner[skip:n])
				lost = int64(v)
			case number == 2 && wire == protowire.BytesType:
				v, _ := protowire.ConsumeBytes(inner[skip:n])
				message = string(v)
			}
			inner = inner[n:]
		}
	}
	return lost, message, true
}
