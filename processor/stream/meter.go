package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/telemetry"
)

// meter counts what the clients of Kafka do, by batches and requests: a record costs nothing.
type meter struct{ m *telemetry.Messaging }

var (
	_ kgo.HookProduceBatchWritten = meter{}
	_ kgo.HookFetchBatchRead      = meter{}
	_ kgo.HookBrokerE2E           = meter{}
)

// operations are the requests that count, with their names.
var operations = map[int16]string{
	kmsg.Produce.Int16(): "send", kmsg.Fetch.Int16(): "poll", kmsg.OffsetCommit.Int16(): "commit",
	kmsg.EndTxn.Int16(): "commit",
}

// OnProduceBatchWritten counts the records of a batch.
func (h meter) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.ProduceBatchMetrics) {
	h.m.Sent(topic, b.NumRecords)
}

// OnFetchBatchRead counts the records of a batch.
func (h meter) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, b kgo.FetchBatchMetrics) {
	h.m.Consumed(topic, b.NumRecords)
}

// OnBrokerE2E measures a request.
func (h meter) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if operation, counts := operations[key]; counts {
		h.m.Took(operation, e.DurationE2E(), e.Err() != nil)
	}
}

// delayed are events or windows that a transaction has published, for the service levels.
type delayed struct {
	since time.Time // when the events could be read, or the ends of the windows had passed
	n     int
}

// recordAll adds the delays until now to d, which may be nil.
func recordAll(d *telemetry.Delay, list []delayed, now time.Time) {
	if d == nil {
		return
	}
	for _, one := range list {
		d.Record(now.Sub(one.since), one.n)
	}
}
