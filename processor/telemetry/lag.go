package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Lag is the number of Kafka records waiting for one stage or sink, for its gauges. It is
// safe for concurrent use.
type Lag struct {
	mu      sync.Mutex // guards what follows
	records int64
	at      time.Time // zero: unknown
	gauges  metric.Registration
}

// Close removes the gauges.
func (l *Lag) Close() { _ = l.gauges.Unregister() } // it has no errors

// Set sets the number of records at a time; the gauges are hidden before the first call.
// While the lag is unknown, the last number and its time remain.
func (l *Lag) Set(records int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.at = records, at
}

// Lag adds the lag of a stage to the metrics, or of one of its sinks if sink is not "".
func (t *Telemetry) Lag(stage, sink string) (*Lag, error) {
	l := new(Lag)
	option := metric.WithAttributeSet(attribute.NewSet(fixed(stage, sink)...))
	var err error
	l.gauges, err = t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.at.IsZero() {
			o.ObserveInt64(t.inst.lag, l.records, option)
			o.ObserveFloat64(t.inst.lagTime, seconds1970(l.at), option)
		}
		return nil
	}, t.inst.lag, t.inst.lagTime)
	return l, err
}
