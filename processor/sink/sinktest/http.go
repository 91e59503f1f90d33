package sinktest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// httpStatuses: no status ends a record that it is not about, and no redirect is followed.
func httpStatuses(t *testing.T, d Door) {
	for code, want := range statuses {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			if other, ok := d.Verdicts[code]; ok {
				want = other
			}
			err := d.answered(t, patient, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://user:hunter2@siem.invalid/?token=hunter2")
				w.WriteHeader(code)
			})
			if got := Verdict(err); got != want {
				t.Errorf("got %q (%v), want %q", got, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// httpFaults: a batch without a whole answer is sent again, and no answer fills the memory.
func httpFaults(t *testing.T, d Door) {
	flood := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			sent := 0
			for r.Context().Err() == nil {
				n, err := w.Write(make([]byte, 64<<10))
				if sent += n; err != nil {
					break
				}
			}
			if sent > 64<<20 {
				t.Errorf("the sink read %d MiB of an answer with status %d", sent>>20, status)
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
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
		"hang-up":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"503 without end": flood(http.StatusServiceUnavailable),
		"200 without end": flood(http.StatusOK),
	} {
		t.Run(name, func(t *testing.T) {
			err := d.answered(t, brief, answer)
			if got := Verdict(err); got != "again" && (name != "200 without end" || about(got)) {
				t.Errorf("got %q (%v), want the batch to be sent again", got, err)
			}
		})
	}
}

// answered delivers a batch to a receiver that gives one answer to every request.
func (d Door) answered(t *testing.T, limit time.Duration, answer http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the sink has gone
		answer(w, r)
	}))
	defer server.Close()
	defer server.CloseClientConnections()
	s := d.Open(t, Target{Address: server.Listener.Addr().String(), Timeout: limit})
	err := s.Deliver(t.Context(), Batch("a", "b", "c"))
	if closed := s.Close(); closed != nil {
		t.Error(closed)
	}
	return err
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
