package otlphttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// contentType is the media type of requests and of their answers.
const contentType = "application/x-protobuf"

// jsonType is the other media type of OTLP/HTTP.
const jsonType = "application/json"

// judge returns what an answer means for a batch of n records.
func judge(a *httpsink.Answer, n int) error {
	kind := a.Media()
	if !a.OK() {
		return a.Verdict(reasonText(a.Body, kind == contentType))
	}
	// "OTLP/HTTP Response": the type is that of the request. Some receivers answer in
	// JSON all the same, and some with nothing at all (Loki, VictoriaLogs).
	var lost int64
	var message string
	var err error
	switch {
	case !a.Whole:
		return httpsink.NotProtocol("status %d with more than %d bytes of %q, which no OTLP receiver sends",
			a.Status, len(a.Body), httpsink.Clean(kind))
	case kind == contentType:
		lost, message, err = parseResponse(a.Body)
	case kind == jsonType:
		lost, message, err = parseJSON(a.Body)
	case kind == "" && len(a.Body) == 0:
		return nil
	default:
		err = errors.New("another type")
	}
	if err != nil {
		return httpsink.NotProtocol("status %d with %d bytes of %q, which is not an answer of OTLP (%w): %s",
			a.Status, len(a.Body), httpsink.Clean(kind), err, reasonText(a.Body, false))
	}
	return partial(lost, message, n)
}

// judgeGRPC returns what the message of an answer with success means for a batch of n
// records.
func judgeGRPC(message []byte, n int) error {
	lost, words, err := parseResponse(message)
	if err != nil {
		return httpsink.NotProtocol("an answer of %d bytes that is not one of OTLP: %w", len(message), err)
	}
	return partial(lost, words, n)
}

// partial returns what a partial success means for a batch of n records.
func partial(lost int64, message string, n int) error {
	switch {
	case lost <= 0 && message == "":
		return nil
	case lost >= int64(n):
		// All of them, so it is known which: they can go to the dead letter.
		return &sink.Rejected{Reason: sink.ReasonPartial, Err: fmt.Errorf("all records rejected: %q",
			httpsink.Clean(message))}
	}
	return &sink.Partial{Lost: int(max(lost, 0)), Message: httpsink.Clean(message)}
}

// reasonText returns the words of a refusal, for a person: the message of a
// google.rpc.Status where the body is protobuf, and else the body itself.
func reasonText(said []byte, protobuf bool) string {
	text := string(said)
	if protobuf {
		text = ""
		_ = httpsink.Fields(said, func(number int, _ uint64, data []byte) {
			if number == 2 { // Status.message
				text = string(data)
			}
		})
	}
	if text = httpsink.Clean(text); text == "" {
		return "no reason given"
	}
	return text
}

// parseJSON reads an ExportLogsServiceResponse, or one for metrics, in OTLP's JSON form, in which numbers of
// 64 bits may be text. A member that OTLP does not know is refused: such an answer is
// some other service's.
func parseJSON(b []byte) (lost int64, message string, err error) {
	var answer struct {
		PartialSuccess *struct {
			Rejected json.Number `json:"rejectedLogRecords"`
			Points   json.Number `json:"rejectedDataPoints"`
			Message  string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil {
		return 0, "", err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return 0, "", errors.New("something stands behind its end")
	}
	p := answer.PartialSuccess
	if p == nil {
		return 0, "", nil
	}
	if n := cmp.Or(p.Rejected, p.Points); n != "" {
		if lost, err = strconv.ParseInt(string(n), 10, 64); err != nil {
			return 0, "", err
		}
	}
	return lost, p.Message, nil
}

// parseResponse reads an ExportLogsServiceResponse:
//
//	message ExportLogsServiceResponse { ExportLogsPartialSuccess partial_success = 1; }
//	message ExportLogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }
func parseResponse(b []byte) (lost int64, message string, err error) {
	var inner error
	err = httpsink.Fields(b, func(number int, _ uint64, data []byte) {
		if number != 1 || data == nil {
			return
		}
		inner = errors.Join(inner, httpsink.Fields(data, func(number int, varint uint64, data []byte) {
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
