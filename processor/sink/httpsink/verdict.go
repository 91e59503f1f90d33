// Package httpsink holds what sinks over HTTP share: what a status, or the lack of an
// answer, means for the records of a request, and the client.
//
// The invariant: only a status that is about the records (400, 413, 422) ever sends one
// to the dead letter, and only once it stands alone in its request. Every other answer
// keeps them in Kafka: either the request is repeated, or the sink is paused until
// somebody mends what the answer is about.
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

// Verdict says what an answer without success means for all records of its request, as
// the errors of package sink. words is what the receiver said, fit for a log: see Clean.
//
//	400, 413, 422                  halved, until one record is refused alone
//	408, 425, 429, 5xx             sent again, without end, after Retry-After
//	401, 403, 407, 501, 505, 3xx,
//	every other 4xx, anything else the sink is paused
//
// A status of 2xx is not for Verdict: its body has to be looked at. It counts as an
// answer that is not of the protocol.
func Verdict(answer *http.Response, words string, now time.Time) error {
	code := answer.StatusCode
	after := RetryAfter(answer.Header, now)
	err := fmt.Errorf("status %d: %s", code, words)
	switch {
	case code == http.StatusBadRequest && wantsTLS(words):
		return &sink.Paused{Cause: sink.CauseTLS, After: after, Err: fmt.Errorf("%w; use https in the endpoint", err)}
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: err}
	case code == http.StatusRequestEntityTooLarge:
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return &sink.Throttled{After: after, Err: err}
	case code == http.StatusNotImplemented, code == http.StatusHTTPVersionNotSupported:
		return &sink.Paused{Cause: sink.CauseProtocol, After: after, Err: err}
	case code/100 == 5:
		return &sink.Throttled{After: after, Err: err}
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired, code == http.StatusPaymentRequired:
		return &sink.Paused{Cause: sink.CauseCredentials, After: after,
			Err: fmt.Errorf("%w; check the credentials in headers", err)}
	case code/100 == 3:
		return &sink.Paused{Cause: sink.CauseRedirect, After: after,
			Err: fmt.Errorf("status %d: redirected to %s, which is not followed; set endpoint to where the receiver is", code, target(answer))}
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusGone, code == http.StatusMisdirectedRequest:
		return &sink.Paused{Cause: sink.CauseAddress, After: after, Err: fmt.Errorf("%w; check the endpoint", err)}
	}
	return &sink.Paused{Cause: sink.CauseProtocol, After: after, Err: err}
}

// wantsTLS reports whether the words of a 400 are those by which a TLS listener answers
// plain HTTP: they are about the connection and not about a record. (Go, nginx, Apache
// and Envoy all name HTTPS or SSL and HTTP.)
func wantsTLS(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "http request") && strings.Contains(words, "https") ||
		strings.Contains(words, "plain http") && (strings.Contains(words, "ssl") || strings.Contains(words, "tls"))
}

// target returns where a redirect leads, without what may be secret in it.
func target(answer *http.Response) string {
	header := answer.Header.Get("Location")
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

// Failure says what it means that there was no answer: the sink is paused where the
// receiver has no name or cannot be trusted, and everything else passes (an error that
// is not one of package sink's, for another attempt).
func Failure(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &unknown):
		return &sink.Paused{Cause: sink.CauseTLS,
			Err: fmt.Errorf("%w; set ca_file to the authority that signed the receiver's certificate", err)}
	case errors.As(err, &name):
		return &sink.Paused{Cause: sink.CauseTLS, Err: fmt.Errorf("%w; use a name of the certificate in endpoint", err)}
	case errors.As(err, &invalid):
		return &sink.Paused{Cause: sink.CauseTLS,
			Err: fmt.Errorf("%w; compare the certificate's dates with the clock", err)}
	case errors.As(err, &unverified), errors.As(err, &alert) && alert.Op == "remote error":
		return &sink.Paused{Cause: sink.CauseTLS, Err: err}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &sink.Paused{Cause: sink.CauseTLS,
			Err: fmt.Errorf("%w; the receiver does not speak TLS on this port: use http in endpoint, or its other port", err)}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &sink.Paused{Cause: sink.CauseAddress, Err: fmt.Errorf("%w; check the name in endpoint", err)}
	}
	return err
}

// NotProtocol says that an answer with success did not come from a receiver of the
// protocol: a login page, a proxy. Nobody knows whether the records arrived, so they
// stay where they are.
func NotProtocol(format string, args ...any) error {
	return &sink.Paused{Cause: sink.CauseProtocol,
		Err: fmt.Errorf(format+"; check the endpoint, and proxies on the way", args...)}
}

// RetryAfter reads the header of that name: seconds, or a date (RFC 9110, section
// 10.2.3), which is compared with the receiver's own clock where it tells its time. It
// returns 0 for a header that is missing, wrong or past. The value is not bounded; what
// waits for it is (sink.MaxPause).
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

// Clean makes a text of the receiver fit for one line of a log: at most 300 runes,
// without what does not print.
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
