package telemetry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Sink counts deliveries of one sink, on the way to the outcomes of Flow. It is safe for
// concurrent use.
type Sink struct {
	inst               instruments
	levels             levels
	option             metric.MeasurementOption
	rejected, attempts labeled
}

// Sink returns the counters of the sink with the given name.
func (t *Telemetry) Sink(name string) *Sink {
	labels := []attribute.KeyValue{attribute.String(labelSink, name)}
	return &Sink{
		inst: t.inst, levels: t.levels,
		option:   metric.WithAttributeSet(attribute.NewSet(labels...)),
		rejected: labeled{counter: t.inst.sinkRejected, fixed: labels, label: labelReason},
		attempts: labeled{counter: t.levels.attempts, fixed: labels, label: labelOutcome},
	}
}

// Begin creates the series of the sink with the value 0, with its reasons for refusals.
func (s *Sink) Begin(reasons ...string) {
	s.Delivered(0)
	s.Retried(0)
	s.attempts.add("delivered", 0)
	s.attempts.add("failed", 0)
	for _, reason := range reasons {
		s.Rejected(reason, 0)
	}
}

// Delivered counts records that the sink has accepted.
func (s *Sink) Delivered(n int) { s.inst.sinkDelivered.Add(context.Background(), int64(n), s.option) }

// Retried counts records sent to the sink again.
func (s *Sink) Retried(n int) { s.inst.sinkRetried.Add(context.Background(), int64(n), s.option) }

// Rejected counts records that the sink has refused for good, or accepted and
// lost, by the reason.
func (s *Sink) Rejected(reason string, n int) { s.rejected.add(reason, n) }

// WindowsPublished counts window records by their state ("open", "closed", "revised").
func (t *Telemetry) WindowsPublished(state string, n int) { t.windows.add(state, n) }

// AnomaliesPublished counts anomaly records by their kind.
func (t *Telemetry) AnomaliesPublished(kind string, n int) { t.anomalies.add(kind, n) }

// Watermark is the watermark of one stage, for the gauge of its lag. It is safe
// for concurrent use.
type Watermark struct {
	nanos atomic.Int64
	mu    sync.Mutex // guards marks
	marks map[int32]int64
}

// Partitions sets the watermarks of the partitions that the stage owns, in ns since 1970; it
// keeps the map.
func (w *Watermark) Partitions(marks map[int32]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks = marks
}

// Set sets the watermark in nanoseconds since 1970-01-01 UTC; 0 means none, and hides the
// gauge.
func (w *Watermark) Set(nanos int64) { w.nanos.Store(nanos) }

// Nanos returns what Set has set.
func (w *Watermark) Nanos() int64 { return w.nanos.Load() }

// Watermark adds the lag of a stage's watermark to the metrics: clock minus watermark at
// the time of the scrape, so that it grows while the stage stands still.
func (t *Telemetry) Watermark(stage string) (*Watermark, error) {
	w := new(Watermark)
	option := metric.WithAttributeSet(attribute.NewSet(attribute.String(labelStage, stage)))
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if nanos := w.nanos.Load(); nanos != 0 {
			o.ObserveFloat64(t.inst.watermarkLag, time.Since(time.Unix(0, nanos)).Seconds(), option)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for partition, nanos := range w.marks {
			o.ObserveFloat64(t.levels.mark, seconds1970(time.Unix(0, nanos)), metric.WithAttributes(
				attribute.String(labelStage, stage), attribute.Int(labelPartition, int(partition))))
		}
		return nil
	}, t.inst.watermarkLag, t.levels.mark)
	return w, err
}
