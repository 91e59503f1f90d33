package otlphttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
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
	case *sink.Paused:
		return fmt.Sprint("pause ", e.Cause)
	case *sink.Partial:
		return fmt.Sprint("lost ", e.Lost, " ", e.Message)
	}
	return "retry"
}

// TestSuccess sends a batch of three to a receiver with each kind of 2xx.
func TestSuccess(t *testing.T) {
	f := func(code int, contentType, body, want string) {
		t.Helper()
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil // no guess of the server's
			if contentType != "" {
				w.Header().Set("Content-Type", contentType)
			}
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		})
		err := open(t, r.URL, nil).Deliver(t.Context(), sinktest.Batch("a", "b", "c"))
		if got := kind(err); got != want {
			t.Errorf("%d, %q, %.80q: got %q (%v), want %q", code, contentType, body, got, err, want)
		}
	}
	const protobuf, inJSON = "application/x-protobuf", "application/json"
	// an answer of OTLP, in either of its forms
	f(200, protobuf, "", "accepted")
	f(200, protobuf, string(response(0, "")), "accepted")
	f(200, inJSON, "{}", "accepted")
	f(200, inJSON+"; charset=utf-8", ` {"partialSuccess":{}} `, "accepted")
	f(202, inJSON, `{"partialSuccess":null}`, "accepted")
	// nothing at all
	f(200, "", "", "accepted")
	f(204, "", "", "accepted")
	f(299, "", "", "accepted")
	// partial success
	f(200, protobuf, string(response(0, "no scope name")), "lost 0 no scope name")
	f(200, protobuf+"; charset=utf-8", string(response(2, "too\nold")), "lost 2 too old")
	f(200, protobuf, string(response(2, strings.Repeat("x", 100<<10))), "lost 2 "+strings.Repeat("x", 300)+" (cut)")
	f(200, protobuf, string(response(3, "all old")), "reject partial_success")
	f(200, protobuf, string(response(4, "more than sent")), "reject partial_success")
	f(200, protobuf, string(response(-1, "")), "accepted")
	f(200, inJSON, `{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"old"}}`, "lost 2 old")
	f(200, inJSON, `{"partialSuccess":{"rejectedLogRecords":3}}`, "reject partial_success")
	// not OTLP: a login page, a captive portal, a proxy, another service, garbage
	f(200, "text/html; charset=utf-8", "<html><form>password</form>", "pause protocol")
	f(200, "text/html", "", "pause protocol")
	f(200, "text/plain", "ok", "pause protocol")
	f(200, "", "ok", "pause protocol")
	f(203, "text/html", "<html>", "pause protocol")
	f(200, "text/plain", string(response(2, "not protobuf by its type")), "pause protocol")
	f(200, protobuf, "\xff\xff\xff", "pause protocol")
	f(200, protobuf, "<html><body>hello</body></html>", "pause protocol")
	f(200, inJSON, "", "pause protocol")
	f(200, inJSON, `{"ok":true}`, "pause protocol")
	f(200, inJSON, `{"partialSuccess":{}}{}`, "pause protocol")
	f(200, inJSON, `{"partialSuccess":{"rejectedLogRecords":"many"}}`, "pause protocol")
	// more than is read
	f(200, protobuf, string(response(2, strings.Repeat("x", 2*httpsink.MaxAnswer))), "pause protocol")
}

func TestReasonText(t *testing.T) {
	f := func(kind, body, want string) {
		t.Helper()
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(body))
		})
		err := open(t, r.URL, nil).Deliver(t.Context(), sinktest.Batch("a"))
		var rejected *sink.Rejected
		if !errors.As(err, &rejected) || rejected.Err.Error() != "status 400: "+want {
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
	f("text/plain", strings.Repeat("x", 4*httpsink.MaxAnswer), strings.Repeat("x", 300)+" (cut)")
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
