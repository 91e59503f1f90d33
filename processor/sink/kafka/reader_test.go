package kafka

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	segment "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// message is one record of the target.
type message struct {
	key, event string
	value      []byte
}

// read returns the committed records of partition 0 of a topic, with a client of another
// author. That client knows batches and transactions, but leaves it to its caller to drop
// those that were aborted.
func read(t *testing.T, brokers []string, topic string) (list []message) {
	t.Helper()
	transport := &segment.Transport{}
	defer transport.CloseIdleConnections()
	for at, deadline := int64(0), time.Now().Add(time.Minute); ; {
		answer, err := transport.RoundTrip(t.Context(), segment.TCP(brokers[0]), &fetch.Request{
			ReplicaID: -1, MaxWaitTime: 100, MinBytes: 1, MaxBytes: 64 << 20, IsolationLevel: int8(segment.ReadCommitted),
			Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{
				{CurrentLeaderEpoch: -1, FetchOffset: at, LogStartOffset: -1, PartitionMaxBytes: 64 << 20}}}}})
		if err != nil {
			t.Fatal(err)
		}
		p := answer.(*fetch.Response).Topics[0].Partitions[0]
		switch {
		case segment.Error(p.ErrorCode).Temporary() && time.Now().Before(deadline):
			// The broker has not taken the lead of a topic that was just created.
			time.Sleep(50 * time.Millisecond)
			continue
		case p.ErrorCode != 0:
			t.Fatal(segment.Error(p.ErrorCode))
		case at >= p.HighWatermark:
			return list
		case time.Now().After(deadline):
			t.Fatalf("a transaction is open at offset %d", p.LastStableOffset)
		}
		slices.SortFunc(p.AbortedTransactions, func(a, b fetch.ResponseTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
		dead := map[int64]bool{} // producers within an aborted transaction
		batches := []protocol.RecordReader{p.RecordSet.Records}
		if stream, ok := p.RecordSet.Records.(*protocol.RecordStream); ok {
			batches = stream.Records
		}
		for _, one := range batches {
			switch b := one.(type) {
			case *protocol.ControlBatch:
				delete(dead, b.ProducerID)
				at = max(at, b.BaseOffset+1)
			case *protocol.RecordBatch:
				for len(p.AbortedTransactions) > 0 && p.AbortedTransactions[0].FirstOffset <= b.BaseOffset {
					dead[p.AbortedTransactions[0].ProducerID] = true
					p.AbortedTransactions = p.AbortedTransactions[1:]
				}
				records := unpack(t, b)
				if at = b.BaseOffset + int64(len(records)); !dead[b.ProducerID] {
					list = append(list, records...)
				}
			}
		}
	}
}

// unpack returns the records of a batch.
func unpack(t *testing.T, b *protocol.RecordBatch) (list []message) {
	t.Helper()
	for {
		r, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		var m message
		for _, h := range r.Headers {
			if h.Key == "event" {
				m.event = string(h.Value)
			}
		}
		key, err := protocol.ReadAll(r.Key)
		if err != nil {
			t.Fatal(err)
		}
		m.key = string(key)
		if m.value, err = protocol.ReadAll(r.Value); err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}
