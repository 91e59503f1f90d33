package otlphttp

import (
	"context"
	"errors"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/schemas/otellog"
	"keytrail/schemas/otelmetric"
)

// metricsPath and metricsMethod are those of the metrics signal.
const (
	metricsPath   = "/v1/metrics"
	metricsMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
)

// Metrics has the sink send the counts of windows as metrics instead of log records: the
// delta sums keytrail.calls and keytrail.anomalies. Other records count as delivered.
//
// A window counts once, when it closes. Its later revisions are in the logs only, because a
// delta sum cannot be corrected. Delivery is at least once, as for logs: a request whose
// answer is lost is sent again and counts twice at the receiver.
type Metrics struct {
	// Scope is the scope of the windows that count: key, principal or pair. "", the default,
	// sends log records. The data points have the attributes of the scope's entity.
	Scope string `yaml:"scope"`
	// By splits the calls by one more attribute: outcome or operation. "", the default, does
	// not split them.
	By otelmetric.By `yaml:"by"`
}

// check adds the settings that cannot be used to p.
func (m Metrics) check(p *setting.Problems) {
	setting.OneOf(p, "metrics.scope", m.Scope, "", "key", "principal", "pair")
	setting.OneOf(p, "metrics.by", m.By, otelmetric.ByNothing, otelmetric.ByOutcome, otelmetric.ByOperation)
	if m.By != otelmetric.ByNothing && m.Scope == "" {
		p.Add("metrics.by", "%q needs metrics.scope; allowed: key, principal, pair", m.By)
	}
}

// path returns the path that is added to the endpoint.
func (m Metrics) path() string {
	if m.Scope == "" {
		return logsPath
	}
	return metricsPath
}

// deliverMetrics sends the counts of the windows in the batch in one request. A record that
// cannot be read is rejected.
func (s *Sink) deliverMetrics(ctx context.Context, batch []sink.Record) error {
	e := otelmetric.Encoder{Scope: s.metrics.Scope, By: s.metrics.By}
	var rec otellog.Record
	var body []byte
	var bad error
	var rejected, counted []int
	points := 0
	for i, r := range batch {
		err := rec.Decode(r.Value)
		n := 0
		if err == nil {
			body, n, err = e.Append(body, &rec)
		}
		switch {
		case err != nil:
			bad, rejected = err, append(rejected, i)
		case n > 0:
			counted = append(counted, i)
		}
		points += n
	}
	if bad != nil {
		bad = &sink.Rejected{Records: rejected, Reason: sink.ReasonInvalid, Err: bad}
	}
	if points == 0 {
		return bad
	}
	err := s.send(ctx, metricsPath, metricsMethod, [][]byte{body}, points)
	var lost *sink.Rejected
	if errors.As(err, &lost) && !lost.Split { // all data points, not all records
		lost.Records = counted
	}
	return errors.Join(err, bad)
}
