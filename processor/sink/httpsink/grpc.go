package httpsink

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/encoding/protowire"

	"keytrail/processor/sink"
)

// This file speaks gRPC, as far as a sink needs it: calls with one message each way, over
// HTTP/2 with TLS or without it. So the settings, the limits and the verdicts on TLS are
// those of HTTP. Source: "gRPC over HTTP2" (grpc/doc/PROTOCOL-HTTP2.md).

const grpcType = "application/grpc+proto"

// OpenGRPC is Open for a receiver of gRPC, which Client.Call calls.
func (s *Settings) OpenGRPC() (*Client, error) {
	c, err := s.Open()
	if err != nil {
		return nil, err
	}
	c.grpc = true
	transport := c.http.Transport.(*http.Transport)
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	if strings.HasPrefix(c.base, "http:") {
		transport.Proxy = nil // a proxy of HTTP does not pass HTTP/2 on without TLS
	}
	return c, nil
}

// Call calls a method, "/package.Service/Method", with a message in pieces, and returns the
// answer's message. Without success it returns an error of package sink.
func (c *Client) Call(ctx context.Context, method string, message [][]byte) ([]byte, error) {
	a, err := c.Do(ctx, Request{Path: method, Type: grpcType, Body: message})
	switch {
	case err != nil && strings.Contains(err.Error(), "HTTP/1.1 header"):
		return nil, NotProtocol("%w; gRPC needs HTTP/2, mostly at port 4317", err)
	case err != nil && strings.Contains(err.Error(), "client conn could not be established"):
		// It may also be about to start or to end.
		return nil, fmt.Errorf("%w; gRPC needs a receiver of HTTP/2, mostly at port 4317", err)
	case err != nil:
		return nil, err
	case a.Status != http.StatusOK:
		return nil, a.grpcStatus()
	case !strings.HasPrefix(a.Header.Get("Content-Type"), "application/grpc"):
		return nil, NotProtocol("status %d with %q, which is not an answer of gRPC: %s", a.Status,
			Clean(a.Header.Get("Content-Type")), Clean(string(a.Body)))
	}
	said := a.Trailer
	if said.Get("Grpc-Status") == "" {
		said = a.Header // an answer without a message has no trailers
	}
	code, err := strconv.Atoi(said.Get("Grpc-Status"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of %q ended without a status of gRPC", c.base)
	case code != 0:
		words, _ := url.PathUnescape(said.Get("Grpc-Message"))
		return nil, a.verdict(code, a.hidden.Clean(Clean(words)), said.Get("Grpc-Status-Details-Bin"))
	}
	response, err := a.message()
	if err != nil {
		return nil, NotProtocol("an answer with success whose %d bytes are not one message: %w", len(a.Body), err)
	}
	return response, nil
}

// message returns the one message of an answer, at most MaxAnswer bytes of it.
func (a *Answer) message() ([]byte, error) {
	if !a.Whole || len(a.Body) < 5 || int64(binary.BigEndian.Uint32(a.Body[1:])) != int64(len(a.Body)-5) {
		return nil, errors.New("its length is another")
	}
	switch coding := a.Header.Get("Grpc-Encoding"); {
	case a.Body[0] == 0:
		return a.Body[5:], nil
	case a.Body[0] != 1 || coding != "gzip":
		return nil, fmt.Errorf("flag %d with encoding %q", a.Body[0], Clean(coding))
	}
	z, err := gzip.NewReader(bytes.NewReader(a.Body[5:]))
	if err != nil {
		return nil, err
	}
	response, whole, err := readAnswer(z)
	if err == nil && !whole {
		err = fmt.Errorf("more than %d bytes", MaxAnswer)
	}
	return response, err
}

// frame returns a message as gRPC sends it. packed says that it is compressed.
func frame(message []byte, packed bool) []byte {
	b := make([]byte, 5, 5+len(message))
	if packed {
		b[0] = 1
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// grpcStatus returns what a status of HTTP other than 200 means: it did not come from a
// receiver of gRPC, so only 413 can be about records.
func (a *Answer) grpcStatus() error {
	err := a.Verdict(Clean(string(a.Body)))
	var refused *sink.Rejected
	if errors.As(err, &refused) && refused.Reason != sink.ReasonTooLarge {
		return NotProtocol("%w", refused.Err)
	}
	return err
}

// verdict returns what a code of gRPC without success means for all records of a call:
//
//	INVALID_ARGUMENT, a message that is too large
//	or cannot be decoded                            halved, until one record is refused alone
//	CANCELLED, DEADLINE_EXCEEDED, ABORTED,
//	OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS,
//	RESOURCE_EXHAUSTED with RetryInfo               sent again without end, after RetryInfo
//	UNKNOWN, INTERNAL                               the same, as status 500 of HTTP
//	UNAUTHENTICATED, PERMISSION_DENIED,
//	UNIMPLEMENTED, NOT_FOUND, all others            the sink is paused
//
// The OTLP specification, "Failures", has clients drop the records of the last two rows; a
// sink keeps them.
func (a *Answer) verdict(code int, words, details string) error {
	name := strconv.Itoa(code)
	if code < len(grpcCodes) && code > 0 {
		name = grpcCodes[code]
	}
	err := fmt.Errorf("gRPC status %s: %s", name, words)
	after, retry := retryInfo(details)
	paused := func(cause sink.Cause, hint string) error {
		return &sink.Paused{Cause: cause, After: after, Err: fmt.Errorf("%w%s", err, hint)}
	}
	switch {
	case tooLarge(words) && (name == "RESOURCE_EXHAUSTED" || name == "OUT_OF_RANGE"):
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
	case name == "INVALID_ARGUMENT", name == "INTERNAL" && unreadable(words):
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
	case name == "RESOURCE_EXHAUSTED" && !retry:
		return paused(sink.CauseTarget, "; check the receiver's limits")
	case name == "UNAUTHENTICATED", name == "PERMISSION_DENIED":
		a.Forget()
		return paused(sink.CauseCredentials, "; check the credentials")
	case name == "UNIMPLEMENTED":
		return paused(sink.CauseProtocol, "; the receiver has no such service: check the endpoint")
	case name == "NOT_FOUND":
		return paused(sink.CauseAddress, "; check the endpoint")
	case name == "ALREADY_EXISTS", name == "FAILED_PRECONDITION":
		return paused(sink.CauseTarget, "")
	case name == strconv.Itoa(code):
		return paused(sink.CauseProtocol, "")
	}
	return &sink.Throttled{After: after, Err: err}
}

// grpcCodes are the names of the codes, by number.
var grpcCodes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// tooLarge reports whether the words are those by which an implementation refuses a message
// for its size: those of C++, Go and Python; Java and .NET; Rust.
func tooLarge(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "message") && (strings.Contains(words, "larger than max") ||
		strings.Contains(words, "exceeds maximum size") || strings.Contains(words, "exceeds the maximum") ||
		strings.Contains(words, "too large"))
}

// unreadable reports whether the words are those by which an implementation says that it
// cannot decode a message: those of Go; C++, Python and .NET; Rust; Java.
func unreadable(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "unmarshal") || strings.Contains(words, "deserializ") ||
		strings.Contains(words, "failed to decode protobuf") || strings.Contains(words, "invalid protobuf")
}

// retryInfo returns the pause of a google.rpc.RetryInfo among the details of a status, and
// whether there is one:
//
//	message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
//	message Any { string type_url = 1; bytes value = 2; }
//	message RetryInfo { google.protobuf.Duration retry_delay = 1; }
//	message Duration { int64 seconds = 1; int32 nanos = 2; }
func retryInfo(header string) (after time.Duration, ok bool) {
	status, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(header, "="))
	if err != nil {
		return 0, false
	}
	_ = Fields(status, func(number int, _ uint64, detail []byte) {
		kind, value := "", []byte(nil)
		if number == 3 {
			_ = Fields(detail, func(number int, _ uint64, data []byte) {
				switch number {
				case 1:
					kind = string(data)
				case 2:
					value = data
				}
			})
		}
		if !strings.HasSuffix(kind, "/google.rpc.RetryInfo") {
			return
		}
		ok = true
		_ = Fields(value, func(number int, _ uint64, delay []byte) {
			_ = Fields(delay, func(field int, n uint64, _ []byte) {
				switch {
				case number == 1 && field == 1:
					after += time.Duration(min(n, 1<<32)) * time.Second
				case number == 1 && field == 2:
					after += time.Duration(min(n, 1e9))
				}
			})
		})
	})
	return after, ok
}

// Fields calls f for each field of a protobuf message that has a varint, with its value and
// nil data, or is length-delimited, with its data, which is never nil. It passes over fields
// of other wire types.
func Fields(b []byte, f func(number int, varint uint64, data []byte)) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var varint uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if b = b[n:]; kind == protowire.VarintType || kind == protowire.BytesType {
			f(int(number), varint, data)
		}
	}
	return nil
}
