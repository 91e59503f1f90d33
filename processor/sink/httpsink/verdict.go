// Package httpsink holds what sinks over HTTP share: their settings, the client, and what
// a status, or the lack of an answer, means for the records of a request.
//
// A sink embeds Settings in its Config, opens a Client with Settings.Open, sends each batch
// with Client.Do, and passes an answer without success to Answer.Verdict. It reads the body
// of an answer with success itself.
//
// The invariant: only a status that is about the records (400, 413, 422) sends a record to
// the dead letter, and only after the record was alone in its request. Every other answer
// keeps the records in Kafka: the request is repeated, or the sink is paused until somebody
// corrects what the answer is about.
package httpsink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"keytrail/processor/sink"
)

// Verdict returns what an answer without success means for all records of its request, as
// an error of package sink. words is what the receiver said, fit for a log: see Clean.
//
//	400, 413, 422                  halved, until one record is refused alone
//	408, 425, 429, 5xx             sent again without end, after Retry-After
//	401, 403, 407, 501, 505, 3xx,
//	every other 4xx, anything else the sink is paused
//
// Verdict takes a status of 2xx for an answer that is not of the protocol: the sink judges
// those by their body. After an answer about credentials, the next request reads them again.
func (a *Answer) Verdict(words string) error {
	code := a.Status
	words = a.hidden.Clean(words)
	after := RetryAfter(a.Header, time.Now())
	err := fmt.Errorf("status %d: %s", code, words)
	paused := func(cause sink.Cause, err error) error {
		return &sink.Paused{Cause: cause, After: after, Err: err}
	}
	switch {
	case code == http.StatusBadRequest && wantsTLS(words):
		return paused(sink.CauseTLS, fmt.Errorf("%w; use https in the endpoint", err))
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
	case code == http.StatusRequestEntityTooLarge:
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return &sink.Throttled{After: after, Err: err}
	case code == http.StatusNotImplemented, code == http.StatusHTTPVersionNotSupported:
		return paused(sink.CauseProtocol, err)
	case code/100 == 5:
		return &sink.Throttled{After: after, Err: err}
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired,
		code == http.StatusPaymentRequired:
		a.Forget()
		return paused(sink.CauseCredentials, fmt.Errorf("%w; check the credentials", err))
	case code/100 == 3:
		return paused(sink.CauseRedirect, fmt.Errorf("status %d: redirected to %s, which is not followed; "+
			"set endpoint to the receiver's own address", code, a.hidden.Clean(target(a.Header))))
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusGone,
		code == http.StatusMisdirectedRequest:
		return paused(sink.CauseAddress, fmt.Errorf("%w; check the endpoint", err))
	}
	return paused(sink.CauseProtocol, err)
}

// wantsTLS reports whether the words of a 400 are those by which a TLS listener answers
// plain HTTP: they are about the connection, not about a record. (Go, nginx, Apache
// and Envoy all name HTTPS or SSL and HTTP.)
func wantsTLS(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "http request") && strings.Contains(words, "https") ||
		strings.Contains(words, "plain http") && (strings.Contains(words, "ssl") || strings.Contains(words, "tls"))
}

// target returns the target of a redirect without the parts that may be secret.
func target(h http.Header) string {
	header := h.Get("Location")
	if header == "" {
		return "nowhere"
	}
	u, err := url.Parse(header)
	if err != nil {
		return "something that is not a URL"
	}
	u.User, u.RawQuery, u.Fragment, u.ForceQuery = nil, "", "", false
	return strconv.Quote(Clean(u.String()))
}

// Failure returns what the lack of an answer means: the sink is paused if the receiver's
// name does not exist or the receiver cannot be trusted. Every other error is temporary, and
// returned as it is.
func Failure(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert *net.OpError
	var dns *net.DNSError
	hint := ""
	cause := sink.CauseTLS
	switch {
	case errors.As(err, &unknown):
		hint = "set tls.ca_file to the authority that signed the receiver's certificate"
	case errors.As(err, &name):
		hint = "use a name of the certificate in endpoint, or set tls.server_name"
	case errors.As(err, &invalid):
		hint = "compare the certificate's dates with the clock"
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(alert.Error(), "application protocol"):
		hint = "the receiver does not speak HTTP/2 on this port; gRPC is mostly at port 4317"
	case errors.As(err, &alert) && alert.Op == "remote error" && strings.Contains(alert.Error(), "protocol version"):
		hint = "the receiver does not speak TLS 1.2 or newer"
	case errors.As(err, &alert) && alert.Op == "remote error":
		hint = "if the receiver asks for a client certificate, set tls.cert_file and tls.key_file"
	case errors.As(err, &unverified):
		return &sink.Paused{Cause: cause, Err: err}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		hint = "the receiver does not speak TLS on this port: use http in endpoint, or its other port"
	case errors.As(err, &dns) && dns.IsNotFound:
		cause, hint = sink.CauseAddress, "check the name in endpoint"
	default:
		return err
	}
	return &sink.Paused{Cause: cause, Err: fmt.Errorf("%w; %s", err, hint)}
}

// NotProtocol returns that an answer with success did not come from a receiver of the
// protocol but, say, from a login page or a proxy. Whether the records arrived is unknown,
// so they stay in Kafka.
func NotProtocol(format string, args ...any) error {
	return &sink.Paused{Cause: sink.CauseProtocol,
		Err: fmt.Errorf(format+"; check the endpoint, and proxies on the way", args...)}
}

// RetryAfter reads the header of that name: seconds, or a date (RFC 9110, section
// 10.2.3), which is compared with the receiver's own clock where it tells its time. It
// returns 0 for a header that is missing, wrong or past. The value is not bounded; the pause
// that follows from it is (sink.MaxPause).
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return max(0, at.Sub(now))
}

// Clean makes a text of the receiver fit for one line of a log: at most 300 runes, without
// characters that do not print.
func Clean(text string) string {
	const limit = 300
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text[:min(len(text), 4*limit)]))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + " (cut)"
	}
	return text
}
