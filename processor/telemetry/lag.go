package telemetry

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Lag is how many Kafka records wait for one stage, for the gauge of that. It is
// safe for concurrent use.
type Lag struct {
	records atomic.Int64
	known   atomic.Bool
}

// Set notes the number of records; until then the gauge shows nothing.
func (l *Lag) Set(records int64) {
	l.records.Store(records)
	l.known.Store(true)
}

// Lag adds the lag of a stage to the metrics.
func (t *Telemetry) Lag(stage string) (*Lag, error) {
	l := new(Lag)
	option := metric.WithAttributeSet(attribute.NewSet(attribute.String(labelStage, stage)))
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if l.known.Load() {
			o.ObserveInt64(t.inst.lag, l.records.Load(), option)
		}
		return nil
	}, t.inst.lag)
	return l, err
}
