package telemetry

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The SDK's names of the service levels and of what is behind them.
const (
	nameWindowDelay = "keytrail_window_delay" // with "_seconds", as the next
	nameEventDelay  = "keytrail_event_delay"
	nameAttempts    = "keytrail_sink_attempts"
	nameAttempt     = "keytrail_sink_attempt_duration" // with "_seconds"
	nameInFlight    = "keytrail_sink_in_flight"
	nameUnacked     = "keytrail_sink_oldest_unacknowledged_timestamp" // with "_seconds", as the next
	nameMark        = "keytrail_partition_watermark_timestamp"
	nameCoverage    = "keytrail_coverage_last_call_timestamp"
	nameAlarms      = "keytrail_ledger_alarms"
	nameAlarm       = "keytrail_ledger_alarm_timestamp" // with "_seconds"
	nameBuild       = "keytrail_build_info"
	nameSent        = "messaging.client.sent.messages" // these three by the semantic conventions 1.44
	nameConsumed    = "messaging.client.consumed.messages"
	nameOperation   = "messaging.client.operation.duration"
)

// delays are the bucket bounds of delays. The service levels are 60 s.
var delays = []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600}

// levels are the instruments of this file.
type levels struct {
	windowDelay, eventDelay, attempt, operation metric.Float64Histogram
	attempts, sent, consumed                    metric.Int64Counter
	inFlight                                    metric.Int64UpDownCounter
	unacked, mark, coverage, alarm              metric.Float64ObservableGauge
	build, alarms                               metric.Int64ObservableGauge
}

func newLevels(m metric.Meter) (l levels, err error) {
	var problems []error
	for _, h := range []struct {
		into        *metric.Float64Histogram
		bounds      []float64
		name, about string
	}{
		{&l.windowDelay, delays, nameWindowDelay, "From the time when the watermark passed the end of a window until the window was published."},
		{&l.eventDelay, delays, nameEventDelay, "From the time when an event could be read until it was in kms.events."},
		{&l.attempt, seconds, nameAttempt, "How long the attempts to deliver a batch to a sink took."},
		{&l.operation, seconds, nameOperation, "How long requests to Kafka took."},
	} {
		*h.into, err = m.Float64Histogram(h.name, metric.WithUnit("s"), metric.WithDescription(h.about),
			metric.WithExplicitBucketBoundaries(h.bounds...))
		problems = append(problems, err)
	}
	for _, c := range []struct {
		into              *metric.Int64Counter
		name, unit, about string
	}{
		{&l.attempts, nameAttempts, "{attempt}", "Attempts to deliver a batch to a sink, by their outcome."},
		{&l.sent, nameSent, "{message}", "Records sent to Kafka."},
		{&l.consumed, nameConsumed, "{message}", "Records received from Kafka."},
	} {
		*c.into, err = m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.about))
		problems = append(problems, err)
	}
	l.inFlight, err = m.Int64UpDownCounter(nameInFlight, metric.WithUnit("{batch}"),
		metric.WithDescription("Batches that are on their way to a sink."))
	problems = append(problems, err)
	for _, g := range []struct {
		into        *metric.Float64ObservableGauge
		name, about string
	}{
		{&l.unacked, nameUnacked, "Time of the oldest record that a sink has read and its receiver has not acknowledged, in seconds since 1970."},
		{&l.mark, nameMark, "Watermark of a partition that a stage owns, in seconds since 1970."},
		{&l.coverage, nameCoverage, "Time of the last call in an account and Region of telemetry.coverage, or of the start of the process, in seconds since 1970."},
		{&l.alarm, nameAlarm, "The earliest date of the open alarms of a kind in an account and Region of telemetry.coverage, such as the expiry of key material, in seconds since 1970."},
	} {
		*g.into, err = m.Float64ObservableGauge(g.name, metric.WithUnit("s"), metric.WithDescription(g.about))
		problems = append(problems, err)
	}
	l.alarms, err = m.Int64ObservableGauge(nameAlarms, metric.WithUnit("{alarm}"),
		metric.WithDescription("Open alarms of the ledgers of KMS keys, by kind."))
	problems = append(problems, err)
	l.build, err = m.Int64ObservableGauge(nameBuild, metric.WithDescription("Version and commit of the program: 1."))
	return l, errors.Join(append(problems, err)...)
}

// Build adds the version and the commit of the program to the metrics.
func (t *Telemetry) Build(version, commit string) error {
	of := metric.WithAttributes(attribute.String("version", version), attribute.String("revision", commit))
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(t.levels.build, 1, of)
		return nil
	}, t.levels.build)
	return err
}

// Delay measures one service level. It is safe for concurrent use.
type Delay struct {
	h      metric.Float64Histogram
	option metric.MeasurementOption
}

// WindowDelay returns the measure of windows: 99 % within 60 s.
func (t *Telemetry) WindowDelay() *Delay {
	return &Delay{t.levels.windowDelay, metric.WithAttributeSet(attribute.NewSet(attribute.String(labelStage, "detect")))}
}

// EventDelay returns the measure of events that a stage publishes: 99 % within 60 s.
func (t *Telemetry) EventDelay(stage string) *Delay {
	return &Delay{t.levels.eventDelay, metric.WithAttributeSet(attribute.NewSet(attribute.String(labelStage, stage)))}
}

// Record records that n items took d; a negative d, of clocks that differ, counts as 0. It
// costs some 50 ns per item.
func (d *Delay) Record(took time.Duration, n int) {
	s := max(took, 0).Seconds()
	for range n {
		d.h.Record(context.Background(), s, d.option)
	}
}

// Attempt counts the beginning of an attempt to deliver a batch. The caller calls ended with
// its outcome, nil for success.
func (s *Sink) Attempt() (ended func(error)) {
	began, ctx := time.Now(), context.Background()
	s.levels.inFlight.Add(ctx, 1, s.option)
	return func(err error) {
		s.levels.inFlight.Add(ctx, -1, s.option)
		s.levels.attempt.Record(ctx, time.Since(began).Seconds(), s.option)
		if err == nil {
			s.attempts.add("delivered", 1)
		} else {
			s.attempts.add("failed", 1)
		}
	}
}

// Messaging counts messages and requests by the semantic conventions of messaging. It is
// safe for concurrent use.
type Messaging struct {
	of       levels
	topics   sync.Map // of their names: metric.MeasurementOption for each
	requests sync.Map // of operations, by request
}

// Messaging returns the counters of clients of Kafka.
func (t *Telemetry) Messaging() *Messaging { return &Messaging{of: t.levels} }

// Sent counts records sent to a topic. Topics are those of the configuration.
func (m *Messaging) Sent(topic string, n int) {
	m.of.sent.Add(context.Background(), int64(n), m.options("send", topic))
}

// Consumed counts records received from a topic.
func (m *Messaging) Consumed(topic string, n int) {
	m.of.consumed.Add(context.Background(), int64(n), m.options("poll", topic))
}

// Took records how long a request took; operation is "send", "poll" or "commit".
func (m *Messaging) Took(operation string, d time.Duration, failed bool) {
	key := operation
	if failed {
		key += " failed"
	}
	option, ok := m.requests.Load(key)
	if !ok {
		list := operationOf(operation)
		if failed {
			list = append(list, attribute.String("error.type", "_OTHER"))
		}
		option, _ = m.requests.LoadOrStore(key, metric.WithAttributeSet(attribute.NewSet(list...)))
	}
	m.of.operation.Record(context.Background(), d.Seconds(), option.(metric.MeasurementOption))
}

// options returns the attributes of an operation on a topic.
func (m *Messaging) options(operation, topic string) metric.MeasurementOption {
	key := operation + " " + topic
	option, ok := m.topics.Load(key)
	if !ok {
		option, _ = m.topics.LoadOrStore(key, metric.WithAttributeSet(attribute.NewSet(append(operationOf(operation),
			attribute.String("messaging.destination.name", topic))...)))
	}
	return option.(metric.MeasurementOption)
}

// operationOf returns the attributes of an operation.
func operationOf(operation string) []attribute.KeyValue {
	kind := map[string]string{"send": "send", "poll": "receive", "commit": "settle"}[operation]
	return []attribute.KeyValue{attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.name", operation), attribute.String("messaging.operation.type", kind)}
}

// Coverage has the times of the last calls in the accounts and Regions that the
// configuration lists. It is safe for concurrent use.
type Coverage struct {
	mu   sync.Mutex // guards last
	last map[place]int64
}

// place is an account and a Region.
type place struct{ account, region string }

// Coverage adds the accounts and Regions of list, as in Config.Coverage, to the metrics; nil
// for none.
func (t *Telemetry) Coverage(list []string) (*Coverage, error) {
	if len(list) == 0 {
		return nil, nil
	}
	c := &Coverage{last: map[place]int64{}}
	for _, text := range list {
		c.last[placeOf(text)] = time.Now().UnixNano()
	}
	_, err := t.Meter().RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for at, nanos := range c.last {
			o.ObserveFloat64(t.levels.coverage, seconds1970(time.Unix(0, nanos)), metric.WithAttributes(
				attribute.String("account", at.account), attribute.String("region", at.region)))
		}
		return nil
	}, t.levels.coverage)
	return c, err
}

// Saw notes a call at a time in ns since 1970. Others than the listed places are ignored.
func (c *Coverage) Saw(account, region string, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, listed := c.last[place{account, region}]; listed && at > last {
		c.last[place{account, region}] = at
	}
}
