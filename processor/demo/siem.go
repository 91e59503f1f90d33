package demo

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// SIEM is an OTLP/HTTP receiver on the loopback interface, which shows the windows and
// anomalies that it receives.
type SIEM struct {
	URL    string
	server *http.Server
	show   *Show
	file   *os.File // for the records, as OTLP/JSON lines; nil to keep none

	mu     sync.Mutex
	last   time.Time // of the last record
	buf    []byte
	failed error // of the first write to file that failed
}

// maxBody bounds one request: the sink sends at most 4 MiB.
const maxBody = 16 << 20

// StartSIEM starts a SIEM that shows records, and keeps them in the file at path if that is
// not "".
func StartSIEM(show *Show, path string) (*SIEM, error) {
	s := &SIEM{show: show, last: time.Now()}
	if path != "" {
		f, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("cannot keep the SIEM's records: %w", err)
		}
		s.file = f
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start the SIEM: %w", err)
	}
	s.URL = "http://" + l.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(s.logs), ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l)
	return s, nil
}

// Close ends the server and returns the file's error, if any.
func (s *SIEM) Close() error {
	s.server.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.failed
	if cerr := s.file.Close(); err == nil {
		err = cerr
	}
	s.file = nil // a request that is still being read keeps nothing
	if err != nil {
		return fmt.Errorf("cannot keep the SIEM's records: %w", err)
	}
	return nil
}

// logs is POST /v1/logs.
func (s *SIEM) logs(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/logs" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range otellog.Split(body) {
		var rec otellog.Record
		if err := rec.Decode(one); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.take(&rec)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

// readBody reads a request's body, gzip or plain.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	in := io.Reader(http.MaxBytesReader(w, r.Body, maxBody))
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = io.LimitReader(zip, 4*maxBody)
	}
	return io.ReadAll(in)
}

// take shows one record. s.mu is held.
func (s *SIEM) take(rec *otellog.Record) {
	s.last = time.Now()
	if s.file != nil {
		s.buf = append(otellog.AppendJSON(s.buf[:0], rec), '\n')
		if _, err := s.file.Write(s.buf); err != nil && s.failed == nil {
			s.failed = err
		}
	}
	switch rec.EventName {
	case semconv.EventKeytrailAnomaly:
		s.show.anomaly(rec)
	case semconv.EventKeytrailWindow:
		s.show.window(rec)
	}
}

// settle is how long nothing must arrive, once the last windows have closed, for
// everything to count as arrived: a second for each of the three hops between the stages
// and the SIEM, and one to spare.
const settle = 4 * time.Second

// Quiet waits until nothing more arrives; idle is the silence after which the last windows
// close.
func (s *SIEM) Quiet(ctx context.Context, idle time.Duration) error {
	closed := time.Now().Add(idle + time.Second) // stages look once a second
	for {
		s.mu.Lock()
		from := s.last
		s.mu.Unlock()
		if from.Before(closed) {
			from = closed
		}
		wait := time.Until(from.Add(settle))
		if wait <= 0 {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil // --for: what is here is shown
			}
			return ctx.Err()
		}
	}
}
