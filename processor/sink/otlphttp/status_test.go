package otlphttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// rawServer answers every request on every connection with what answer returns, byte
// for byte, and closes the connection: net/http would not send every status.
func rawServer(t *testing.T, answer func() string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, req.Body); err == nil {
					_, _ = io.WriteString(c, answer())
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// wantOf is the table of the documentation: the end of a batch for each status.
func wantOf(code int) string {
	switch {
	case code == 101:
		return "pause protocol" // another protocol
	case code/100 == 1:
		return "retry" // only an announcement came
	case code/100 == 2:
		return "accepted"
	case code/100 == 3:
		return "pause redirect"
	case slices.Contains([]int{400, 422}, code):
		return "halve invalid"
	case code == 413:
		return "halve too_large"
	case slices.Contains([]int{408, 425, 429}, code):
		return "retry after 0s"
	case slices.Contains([]int{401, 402, 403, 407}, code):
		return "pause credentials"
	case slices.Contains([]int{404, 405, 410, 421}, code):
		return "pause address"
	case code/100 == 4, code == 501, code == 505, code > 599:
		return "pause protocol"
	}
	return "retry after 0s"
}

// TestEveryStatus sends a batch to a receiver that answers with each status that there
// can be.
func TestEveryStatus(t *testing.T) {
	code := 0
	url := rawServer(t, func() string {
		return fmt.Sprintf("HTTP/1.1 %d Something\r\nLocation: https://u:hunter2@other.example/v1?token=hunter2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", code)
	})
	s := open(t, url, nil)
	for code = 100; code <= 699; code++ {
		err := s.Deliver(t.Context(), sinktest.Batch("a", "b", "c"))
		if got, want := kind(err), wantOf(code); got != want {
			t.Errorf("status %d: got %q (%v), want %q", code, got, err, want)
		}
		if err == nil {
			continue
		}
		if code/100 != 1 && !strings.Contains(err.Error(), fmt.Sprint("status ", code)) {
			t.Errorf("status %d is not named: %v", code, err)
		}
		if strings.Contains(err.Error(), "hunter2") || code/100 == 3 && !strings.Contains(err.Error(), `"https://other.example/v1"`) {
			t.Errorf("status %d: the target of a redirect is missing, or shows a secret: %v", code, err)
		}
	}
}

// TestNoStatusKillsTheOthers holds the invariant of package httpsink with a Runner: of a
// batch with one record that the receiver refuses with a status, no other record goes to
// the dead letter, and this one only for a status that is about records. For any other,
// all is delivered once the receiver has been mended.
func TestNoStatusKillsTheOthers(t *testing.T) {
	for code := 300; code <= 599; code++ {
		attempts, code := 0, code
		r := newReceiver(t, nil)
		r.answer = func(w http.ResponseWriter, _ *http.Request) {
			data := r.data()
			if slices.Contains(sinktest.IDs(data[len(data)-1]), "poison") {
				if attempts++; attempts <= 20 {
					w.WriteHeader(code)
				}
			}
		}
		var dead []string
		runner, err := sink.NewRunner(sink.Options{
			Name: "siem", Sink: open(t, r.URL, nil), Batch: sink.DefaultBatch(), Log: quiet(),
			Retry:  sink.Retry{Base: time.Millisecond, Cap: time.Millisecond, MaxAttempts: 1000},
			Random: func() float64 { return 0 },
			DeadLetter: func(_ context.Context, rec sink.Record, reason sink.Reason, err error) error {
				dead = append(dead, fmt.Sprint(rec.Ref, " ", reason, " ", err))
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := runner.Deliver(t.Context(), sinktest.Batch("r0", "r1", "r2", "r3", "r4", "poison", "r6")); err != nil {
			t.Fatal(err)
		}
		about := slices.Contains([]int{400, 413, 422}, code)
		if about && (len(dead) != 1 || !strings.HasPrefix(dead[0], "poison ") || !strings.Contains(dead[0], fmt.Sprint("status ", code))) || !about && len(dead) > 0 {
			t.Errorf("status %d: dead letters %q", code, dead)
		}
	}
}

// TestRetryAfterIsHeard holds that a pause that the receiver asks for, in either form,
// reaches the Runner.
func TestRetryAfterIsHeard(t *testing.T) {
	for _, code := range []int{401, 408, 425, 429, 500, 503} {
		for _, header := range []string{"7", time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat)} {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(code)
			})
			err := open(t, r.URL, nil).Deliver(t.Context(), sinktest.Batch("a"))
			var after time.Duration
			var throttled *sink.Throttled
			var paused *sink.Paused
			if errors.As(err, &throttled) {
				after = throttled.After
			} else if errors.As(err, &paused) {
				after = paused.After
			}
			if after < 5*time.Second || after > 7*time.Second {
				t.Errorf("status %d, Retry-After %q: a pause of %v (%v), want 7s", code, header, after, err)
			}
		}
	}
}

// TestEndlessAnswers holds that a receiver that never ends cannot hold a batch for longer
// than the time limit, nor take more memory than the bound.
func TestEndlessAnswers(t *testing.T) {
	f := func(name string, write func(w http.ResponseWriter, req *http.Request), want string) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { write(w, req) }))
		t.Cleanup(server.Close)
		s := open(t, server.URL, func(c *Config) { c.Timeout = 300 * time.Millisecond })
		err := s.Deliver(t.Context(), sinktest.Batch("a"))
		if got := kind(err); got != want {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, want)
		}
	}
	flood := func(code int) func(w http.ResponseWriter, req *http.Request) {
		return func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			for req.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
	}
	drip := func(code int) func(w http.ResponseWriter, req *http.Request) {
		return func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			_ = http.NewResponseController(w).Flush()
			<-req.Context().Done()
		}
	}
	f("a flood with 200", flood(200), "pause protocol")
	f("a flood with 503", flood(503), "retry after 0s")
	f("a flood with 400", flood(400), "halve invalid")
	f("200 and then silence", drip(200), "retry")
	f("401 and then silence", drip(401), "pause credentials")
	// half open: the connection is there, and nobody reads
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := open(t, "http://"+l.Addr().String(), func(c *Config) { c.Timeout = 100 * time.Millisecond })
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != "retry" || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("half open: got %v", err)
	}
	// a name that nobody has (RFC 6761, section 6.4)
	s = open(t, "http://siem.invalid:4318", func(c *Config) { c.Insecure = true })
	if err := s.Deliver(t.Context(), sinktest.Batch("a")); kind(err) != "pause address" {
		var dns *net.DNSError
		if errors.As(err, &dns) && !dns.IsNotFound {
			t.Skipf("NOT TESTED: this machine cannot say that a name does not exist: %v", err)
		}
		t.Errorf("a name that nobody has: got %v", err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
