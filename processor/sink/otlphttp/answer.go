package otlphttp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"keytrail/processor/sink"
)

// contentType is the media type of requests, and of the answers that are read.
const contentType = "application/x-protobuf"

// judge says what an answer means for a batch of n records. said is the body,
// cut to maxAnswer.
func judge(answer *http.Response, said []byte, n int, now time.Time) error {
	protobuf := false
	if kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err == nil {
		protobuf = kind == contentType
	}
	code := answer.StatusCode
	if code/100 == 2 {
		if !protobuf {
			return nil
		}
		return partial(said, n)
	}
	err := fmt.Errorf("status %d: %s", code, reasonText(said, protobuf))
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &sink.Throttled{After: retryAfter(answer.Header.Get("Retry-After"), now), Err: err}
	case http.StatusBadRequest:
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
	case http.StatusRequestEntityTooLarge:
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
	case http.StatusUnauthorized, http.StatusForbidden:
		return &sink.Rejected{Reason: sink.ReasonUnauthorized, Err: err}
	}
	if code/100 == 3 {
		return fmt.Errorf("status %d: redirected to %q, which is not followed: set endpoint to where it leads",
			code, answer.Header.Get("Location"))
	}
	if code < 400 || code > 599 {
		return fmt.Errorf("status %d, which no OTLP receiver sends", code)
	}
	return &sink.Rejected{Reason: sink.ReasonRefused, Err: err}
}

// partial reads the answer of a success. An answer that can not be read is a
// success: the status has said so.
func partial(said []byte, n int) error {
	lost, message, err := parseResponse(said)
	switch {
	case err != nil || lost <= 0 && message == "":
		return nil
	case lost >= int64(n):
		// All of them: then it is known which, and they can go to the dead letter.
		return &sink.Rejected{Reason: sink.ReasonPartial, Err: fmt.Errorf("all records rejected: %q", clean(message))}
	}
	return &sink.Partial{Lost: int(max(lost, 0)), Message: clean(message)}
}

// retryAfter reads the header of that name: seconds, or a date (RFC 9110,
// section 10.2.3). It returns 0 for a header that is missing, wrong or past.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// reasonText returns what a refusal says, for a person: the message of a
// google.rpc.Status where the body is protobuf, and else the body itself.
func reasonText(said []byte, protobuf bool) string {
	text := string(said)
	if protobuf {
		text = ""
		_ = fields(said, func(number int, _ uint64, data []byte) {
			if number == 2 { // Status.message
				text = string(data)
			}
		})
	}
	if text = clean(text); text == "" {
		return "no reason given"
	}
	return text
}

// clean makes a text of the far end fit for one line of a log: at most 300
// runes, control characters replaced.
func clean(text string) string {
	const limit = 300
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*limit)]))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + " (cut)"
	}
	return text
}

// parseResponse reads an ExportLogsServiceResponse:
//
//	message ExportLogsServiceResponse { ExportLogsPartialSuccess partial_success = 1; }
//	message ExportLogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }
func parseResponse(b []byte) (lost int64, message string, err error) {
	var inner error
	err = fields(b, func(number int, _ uint64, data []byte) {
		if number != 1 || data == nil {
			return
		}
		inner = errors.Join(inner, fields(data, func(number int, varint uint64, data []byte) {
			switch {
			case number == 1 && data == nil:
				lost = int64(varint)
			case number == 2 && data != nil:
				message = string(data)
			}
		}))
	})
	return lost, message, errors.Join(err, inner)
}

var errProtobuf = errors.New("not a protobuf message")

// fields calls f for each field of a protobuf message: with the value of a
// varint field and nil data, or with the data of a length-delimited one, never
// nil. Fields of other wire types are passed over. (Protobuf encoding guide,
// "Message Structure".)
func fields(b []byte, f func(number int, varint uint64, data []byte)) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
			return errProtobuf
		}
		b = b[n:]
		number, size := int(tag>>3), uint64(0)
		switch tag & 7 {
		case 0: // varint
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errProtobuf
			}
			f(number, v, nil)
			b = b[n:]
			continue
		case 1: // 64 bits
			size = 8
		case 2: // length-delimited
			if size, n = binary.Uvarint(b); n <= 0 || size > uint64(len(b)-n) {
				return errProtobuf
			}
			b = b[n:]
			f(number, 0, b[:size:size])
		case 5: // 32 bits
			size = 4
		default: // groups, which OTLP does not use
			return errProtobuf
		}
		if size > uint64(len(b)) {
			return errProtobuf
		}
		b = b[size:]
	}
	return nil
}
