package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Balance is the record counts of one stage, or of one of its sinks or sources.
type Balance struct {
	Stage, Part                                            string // Part: the sink or source, or ""
	Received, Delivered, DeadLettered, Filtered, Duplicate int64
	Reasons                                                map[string]int64 // of dead letters
}

// InFlight returns the number of received records without an outcome.
func (b Balance) InFlight() int64 {
	return b.Received - b.Delivered - b.DeadLettered - b.Filtered - b.Duplicate
}

// Check returns an error unless exactly inFlight records are in flight: 0 for an idle
// stage. A lost record makes the number too large, one counted twice too small.
func (b Balance) Check(inFlight int64) error {
	if got := b.InFlight(); got != inFlight {
		return fmt.Errorf("stage %q, part %q: received %d = delivered %d + dead-lettered %d + filtered %d + duplicate "+
			"%d + in flight %d; want %d in flight",
			b.Stage, b.Part, b.Received, b.Delivered, b.DeadLettered, b.Filtered, b.Duplicate, got, inFlight)
	}
	return nil
}

// Balances reads the counters and returns the balance of each stage, sink and source, ordered
// by name.
func (t *Telemetry) Balances(ctx context.Context) ([]Balance, error) {
	var data metricdata.ResourceMetrics
	if err := t.reader.Collect(ctx, &data); err != nil {
		return nil, fmt.Errorf("cannot read the counters: %w", err)
	}
	balances := map[[2]string]*Balance{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok {
				continue
			}
			for _, point := range sum.DataPoints {
				addTo(balances, m.Name, point)
			}
		}
	}
	list := make([]Balance, 0, len(balances))
	for _, b := range balances {
		list = append(list, *b)
	}
	slices.SortFunc(list, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Part, b.Part))
	})
	return list, nil
}

// addTo adds one point of the counter name to its balance.
func addTo(balances map[[2]string]*Balance, name string, point metricdata.DataPoint[int64]) {
	text := func(label string) string {
		v, _ := point.Attributes.Value(attribute.Key(label))
		return v.AsString()
	}
	key := [2]string{text(labelStage), cmp.Or(text(labelSink), text(labelSource))}
	b := balances[key]
	if b == nil {
		b = &Balance{Stage: key[0], Part: key[1]}
	}
	switch name {
	case nameReceived:
		b.Received += point.Value
	case nameDelivered:
		b.Delivered += point.Value
	case nameDeadLettered:
		b.DeadLettered += point.Value
		if b.Reasons == nil {
			b.Reasons = map[string]int64{}
		}
		b.Reasons[text(labelReason)] += point.Value
	case nameFiltered:
		b.Filtered += point.Value
	case nameDuplicate:
		b.Duplicate += point.Value
	default:
		return
	}
	balances[key] = b
}
