package s3

import (
	"context"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// locked lets several goroutines number records.
type locked struct {
	numbered
	mu sync.Mutex
}

func (s *locked) Deliver(ctx context.Context, batch []sink.Record) error {
	s.mu.Lock()
	batch = s.number(slices.Clone(batch))
	s.mu.Unlock()
	return s.Sink.Deliver(ctx, batch)
}

func TestConform(t *testing.T) {
	sinktest.Conform(t, "s3", sinktest.Door{
		HTTP: true, Upserts: true,
		// No answer of S3 is about a record, and the SDK takes 404 for the code NotFound.
		Verdicts: map[int]string{404: "paused target", 400: "paused protocol", 413: "paused protocol", 422: "paused protocol"},
		Receive: func(t *testing.T) sinktest.Receiver {
			b := &bucket{}
			srv := httptest.NewServer(b)
			t.Cleanup(srv.Close)
			return sinktest.Receiver{Address: srv.Listener.Addr().String(), Stored: func(t *testing.T) (list []string) {
				for _, one := range b.records(t) {
					list = append(list, sinktest.IDs(one)...)
				}
				return list
			}}
		},
		Open: func(t *testing.T, to sinktest.Target) sink.Sink {
			s := (&bucket{}).open(t, func(c *Config) { c.Endpoint, c.TLS, c.Timeout = to.URL(), to.TLS, to.Timeout })
			return &locked{numbered: numbered{s, map[any]int64{}}}
		},
		Except: map[sinktest.Case]string{sinktest.Partial: "S3 refuses no record; see TestBadRecord"},
	})
}
