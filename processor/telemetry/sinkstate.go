package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// SinkState is the current state of one sink, for one gauge per state and per cause of a
// pause: 1 for the current one and 0 for the others. It is safe for concurrent use.
type SinkState struct {
	mu             sync.Mutex // guards what follows
	state, cause   string
	expires        time.Time
	states, causes []string
	gauges         metric.Registration
	oldest         func() time.Time // nil: unknown
}

// Oldest sets the function that returns the time of the oldest record without an
// acknowledgement, the zero time for none. A scrape calls it.
func (s *SinkState) Oldest(f func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = f
}

// Close removes the gauges.
func (s *SinkState) Close() { _ = s.gauges.Unregister() } // it has no errors

// SinkState adds the state of a sink to the metrics. states and causes are all possible
// values.
func (t *Telemetry) SinkState(sink string, states, causes []string) (*SinkState, error) {
	s := &SinkState{states: states, causes: causes}
	of := attribute.String(labelSink, sink)
	alone := metric.WithAttributeSet(attribute.NewSet(of))
	var err error
	s.gauges, err = t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s.mu.Lock()
		oldest := s.oldest
		s.mu.Unlock()
		if oldest != nil { // it takes locks of the sink, whose owner calls Set
			if at := oldest(); !at.IsZero() {
				o.ObserveFloat64(t.levels.unacked, seconds1970(at), alone)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, one := range s.states {
			o.ObserveInt64(t.inst.sinkState, oneIf(one == s.state), metric.WithAttributes(of,
				attribute.String(labelState, one)))
		}
		for _, one := range s.causes {
			o.ObserveInt64(t.inst.sinkPaused, oneIf(one == s.cause), metric.WithAttributes(of,
				attribute.String(labelCause, one)))
		}
		if !s.expires.IsZero() {
			o.ObserveFloat64(t.inst.sinkExpires, seconds1970(s.expires), alone)
		}
		return nil
	}, t.inst.sinkState, t.inst.sinkPaused, t.inst.sinkExpires, t.levels.unacked)
	return s, err
}

// Set sets the state, and the cause of a pause ("" for none).
func (s *SinkState) Set(state, cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.cause = state, cause
}

// Expires sets when Kafka deletes the oldest record that the sink has not taken; the zero
// time if there is none, or it is unknown.
func (s *SinkState) Expires(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expires = at
}

func oneIf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
