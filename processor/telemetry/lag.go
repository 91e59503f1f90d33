package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Lag is how many Kafka records wait for one stage or sink, for the gauges of that. It is
// safe for concurrent use.
type Lag struct {
	mu      sync.Mutex // guards what follows
	records int64
	at      time.Time // zero: not known yet
}

// Set notes the number of records at a time; until then the gauges show nothing. While
// nobody can tell, the last number and its time stay.
func (l *Lag) Set(records int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.at = records, at
}

// Lag adds the lag of a stage to the metrics, or that of a sink of it where sink is not
// "".
func (t *Telemetry) Lag(stage, sink string) (*Lag, error) {
	l := new(Lag)
	option := metric.WithAttributeSet(attribute.NewSet(fixed(stage, sink)...))
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.at.IsZero() {
			o.ObserveInt64(t.inst.lag, l.records, option)
			o.ObserveFloat64(t.inst.lagTime, float64(l.at.UnixMilli())/1000, option)
		}
		return nil
	}, t.inst.lag, t.inst.lagTime)
	return l, err
}
