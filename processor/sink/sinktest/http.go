package sinktest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"keytrail/processor/sink"
)

// HTTP runs the part of the suite that holds for every sink over HTTP: no status, no broken
// answer and no TLS error ends a record that it is not about. open opens a sink for an
// endpoint that trusts the system's authorities, with a time limit per request.
func HTTP(t *testing.T, open func(t *testing.T, endpoint string, timeout time.Duration) sink.Sink) {
	t.Helper()
	deliver := func(t *testing.T, limit time.Duration, answer http.HandlerFunc) error {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the sink has gone
			answer(w, r)
		}))
		defer server.Close()
		defer server.CloseClientConnections()
		s := open(t, server.URL, limit)
		err := s.Deliver(t.Context(), Batch("a", "b", "c"))
		if closed := s.Close(); closed != nil {
			t.Error(closed)
		}
		return err
	}
	for code, want := range statuses {
		t.Run(fmt.Sprint("status ", code), func(t *testing.T) {
			err := deliver(t, 10*time.Second, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://user:hunter2@siem.invalid/?token=hunter2")
				w.WriteHeader(code)
			})
			if got := Verdict(err); got != want {
				t.Errorf("got %q (%v), want %q", got, err, want)
			}
		})
	}
	broken := map[string]http.HandlerFunc{
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"200 and silence": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"200 that breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		},
		"hang-up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"503 without end": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
	}
	for name, answer := range broken {
		t.Run(name, func(t *testing.T) {
			if err := deliver(t, 300*time.Millisecond, answer); Verdict(err) != "again" {
				t.Errorf("got %q (%v), want the batch to be sent again", Verdict(err), err)
			}
		})
	}
	t.Run("an unknown authority", func(t *testing.T) {
		server := httptest.NewTLSServer(http.NotFoundHandler())
		defer server.Close()
		s := open(t, server.URL, 10*time.Second)
		defer s.Close()
		if err := s.Deliver(t.Context(), Batch("a")); Verdict(err) != "paused tls" {
			t.Errorf("got %q (%v), want a pause", Verdict(err), err)
		}
	})
}

// statuses are the verdicts about statuses without a body.
var statuses = map[int]string{
	301: "paused redirect", 302: "paused redirect", 307: "paused redirect", 308: "paused redirect",
	400: "halved invalid", 413: "halved too_large", 422: "halved invalid",
	401: "paused credentials", 403: "paused credentials", 407: "paused credentials",
	404: "paused address", 405: "paused address", 410: "paused address",
	406: "paused protocol", 415: "paused protocol", 501: "paused protocol", 505: "paused protocol",
	408: "again", 425: "again", 429: "again", 500: "again", 502: "again", 503: "again", 504: "again",
}

// Verdict names what an answer means for a batch as a whole: "accepted", "again", "halved
// REASON", "rejected REASON", "paused CAUSE" or "lost".
func Verdict(err error) string {
	var rejected *sink.Rejected
	var paused *sink.Paused
	var partial *sink.Partial
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &paused):
		return "paused " + string(paused.Cause)
	case errors.As(err, &rejected) && rejected.Split:
		return "halved " + string(rejected.Reason)
	case errors.As(err, &rejected):
		return "rejected " + string(rejected.Reason)
	case errors.As(err, &partial):
		return "lost"
	}
	return "again"
}
