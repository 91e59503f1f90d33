package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// SourceState is the progress of one source, for its gauges. It is safe for concurrent use.
type SourceState struct {
	mu      sync.Mutex // guards the following
	waiting int
	since   time.Time
	polled  time.Time
}

// SourceState adds the progress of a source to the metrics.
func (t *Telemetry) SourceState(source string) (*SourceState, error) {
	s := &SourceState{}
	of := metric.WithAttributes(fixed(StageCollect, source)...)
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		o.ObserveInt64(t.inst.sourceWaiting, int64(s.waiting), of)
		if s.waiting > 0 {
			o.ObserveFloat64(t.inst.sourceSince, seconds1970(s.since), of)
		}
		if !s.polled.IsZero() {
			o.ObserveFloat64(t.inst.sourcePoll, seconds1970(s.polled), of)
		}
		return nil
	}, t.inst.sourceWaiting, t.inst.sourceSince, t.inst.sourcePoll)
	return s, err
}

// Now returns when the source was last polled, and how many objects wait.
func (s *SourceState) Now() (polled time.Time, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polled, s.waiting
}

// Polled records that the source looked for new objects without an error.
func (s *SourceState) Polled(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polled = at
}

// Waiting sets how many objects could not be read and are tried again, and when the first
// of them failed; since has no meaning without any.
func (s *SourceState) Waiting(n int, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting, s.since = n, since
}
