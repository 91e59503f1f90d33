package cli_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	segmentio "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describegroups"
	"github.com/segmentio/kafka-go/protocol/fetch"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"keytrail/processor/kafka/kafkatest"
)

// broker is an embedded broker in this process, and a client of it that is
// independent of Keytrail's: segmentio/kafka-go.
type broker struct {
	address   string
	client    *segmentio.Client
	transport *segmentio.Transport
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{address: kafkatest.Start(t).Brokers()[0], transport: &segmentio.Transport{MetadataTTL: 200 * time.Millisecond}}
	b.client = &segmentio.Client{Addr: segmentio.TCP(b.address), Transport: b.transport, Timeout: patience}
	t.Cleanup(b.transport.CloseIdleConnections)
	return b
}

// produce puts records into partition 0 of kms.raw, like a third-party shipper, so that
// they are read in order.
func (b *broker) produce(t *testing.T, records [][]byte) {
	t.Helper()
	for batch := range slices.Chunk(records, 200) { // about 300 kB, of Kafka's 1 MiB
		var list []protocol.Record
		for _, r := range batch {
			list = append(list, protocol.Record{Value: protocol.NewBytes(r)})
		}
		res, err := b.client.Produce(t.Context(), &segmentio.ProduceRequest{
			Topic: "kms.raw", Partition: 0, RequiredAcks: segmentio.RequireAll, Records: protocol.NewRecordReader(list...),
		})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// topicLog is a partition in the view of a reader of committed records.
type topicLog struct {
	records []*logspb.LogRecord
	aborted int // records of aborted transactions
}

// committed reads a topic of log records like a consumer with isolation level
// read_committed: up to the first open transaction, and without the records of aborted
// ones, which a broker sends as well. kafka-go's Reader returns those (its issue 1332),
// so committed uses its Fetch.
func (b *broker) committed(t *testing.T, topic string) topicLog {
	t.Helper()
	var all topicLog
	for p := range b.partitions(t, topic) {
		for offset := int64(0); ; {
			res := b.fetch(t, topic, p, offset, 8<<20)
			next := offset
			if set := res.RecordSet.Records; set != nil {
				next = all.take(t, set, res.abortedInOrder(), offset)
			}
			if next == offset || next >= res.LastStableOffset {
				break
			}
			offset = next
		}
	}
	return all
}

// partition is the answer to a fetch from one partition.
type partition struct{ fetch.ResponsePartition }

// abortedInOrder returns the aborted transactions in order of their first
// offsets.
func (p *partition) abortedInOrder() []fetch.ResponseTransaction {
	return slices.SortedFunc(slices.Values(p.AbortedTransactions), func(a, b fetch.ResponseTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
}

// fetch fetches about n bytes of a partition, from an offset on.
func (b *broker) fetch(t *testing.T, topic string, p int, offset int64, bytes int32) *partition {
	t.Helper()
	var one fetch.ResponsePartition
	until(t, fmt.Sprintf("a broker leads %s/%d", topic, p), func() bool {
		answer, err := b.transport.RoundTrip(t.Context(), b.client.Addr, &fetch.Request{
			ReplicaID: -1, MaxWaitTime: 1, MaxBytes: 32 << 20, IsolationLevel: int8(segmentio.ReadCommitted),
			Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{
				{Partition: int32(p), CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: bytes}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		one = answer.(*fetch.Response).Topics[0].Partitions[0]
		if code := segmentio.Error(one.ErrorCode); code != 0 && !code.Temporary() {
			t.Fatalf("cannot fetch from %s/%d: %v", topic, p, code)
		}
		return one.ErrorCode == 0
	})
	return &partition{one}
}

// take reads the batches of one answer and returns the offset after them.
func (l *topicLog) take(t *testing.T, set protocol.RecordReader, aborted []fetch.ResponseTransaction, from int64) (next int64) {
	t.Helper()
	batches := []protocol.RecordReader{set}
	if stream, ok := set.(*protocol.RecordStream); ok {
		batches = stream.Records
	}
	next = from
	dead := map[int64]bool{} // producers whose transaction at this offset is an aborted one
	for _, reader := range batches {
		switch batch := reader.(type) {
		case *protocol.ControlBatch:
			delete(dead, batch.ProducerID) // commit or abort: the transaction ends
			next = max(next, batch.BaseOffset+1)
		case *protocol.RecordBatch:
			for len(aborted) > 0 && aborted[0].FirstOffset <= batch.BaseOffset {
				dead[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			next = max(next, l.batch(t, batch, from, batch.Attributes.Transactional() && dead[batch.ProducerID]))
		default:
			t.Fatalf("a batch of type %T", reader)
		}
	}
	return next
}

// batch reads the records of one batch.
func (l *topicLog) batch(t *testing.T, batch *protocol.RecordBatch, from int64, aborted bool) (next int64) {
	t.Helper()
	for {
		r, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return next
		}
		if err != nil {
			t.Fatal(err)
		}
		value, err := protocol.ReadAll(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		next = r.Offset + 1
		switch {
		case r.Offset < from:
		case aborted:
			l.aborted++
		default:
			var data logspb.LogsData
			if err := proto.Unmarshal(value, &data); err != nil {
				t.Fatal(err)
			}
			l.records = append(l.records, data.ResourceLogs[0].ScopeLogs[0].LogRecords...)
		}
	}
}

// partitions returns the number of a topic's partitions, 0 when there is none.
func (b *broker) partitions(t *testing.T, topic string) int {
	t.Helper()
	meta, err := b.client.Metadata(t.Context(), &segmentio.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range meta.Topics {
		if m.Name == topic && m.Error == nil {
			return len(m.Partitions)
		}
	}
	return 0
}

// finals returns the highest revision of each final window, in the form of oracleRows,
// and the log that contains them. Revisions that do not increase fail the test.
func (b *broker) finals(t *testing.T) (map[string]string, topicLog) {
	t.Helper()
	log := b.committed(t, "kms.windows")
	found, revisions := map[string]string{}, map[string]int64{}
	for _, r := range log.records {
		rec := newRecord(r)
		if rec.str("keytrail.window.state") != "final" {
			continue
		}
		name, text := windowText(rec)
		revision := rec.int("keytrail.window.revision")
		if revision <= revisions[name] {
			t.Errorf("window %s: revision %d after %d", name, revision, revisions[name])
		}
		revisions[name], found[name] = revision, text
	}
	return found, log
}

// equals waits until the final windows are the wanted ones.
func (b *broker) equals(t *testing.T, want map[string]string) topicLog {
	t.Helper()
	var last string
	var log topicLog
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	until(t, "the final windows are the oracle's", func() bool {
		var got map[string]string
		got, log = b.finals(t)
		maps.DeleteFunc(got, func(name, _ string) bool { return isCloser(name) })
		last = difference(got, want)
		return last == ""
	})
	return log
}

// group returns the members of a consumer group, with how many partitions each
// has, and whether the group is at rest.
func (b *broker) group(t *testing.T, name string) (members map[string]int, stable bool) {
	t.Helper()
	answer, err := b.transport.RoundTrip(t.Context(), b.client.Addr, &describegroups.Request{Groups: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	g := answer.(*describegroups.Response).Groups[0]
	members = map[string]int{}
	for _, m := range g.Members {
		members[m.MemberID] = assigned(m.MemberAssignment)
	}
	return members, g.GroupState == "Stable"
}

// assigned returns the number of partitions in a member's assignment (Kafka's
// consumer protocol: version, then topics, each a name and its partitions).
// kafka-go decodes no group whose members speak version 3.
func assigned(b []byte) (n int) {
	if len(b) < 6 {
		return 0
	}
	topics := binary.BigEndian.Uint32(b[2:])
	for b = b[6:]; topics > 0; topics-- {
		b = b[2+binary.BigEndian.Uint16(b):]
		partitions := int(binary.BigEndian.Uint32(b))
		n += partitions
		b = b[4+4*partitions:]
	}
	return n
}

// evict removes every member from the groups, as an administrator may: a killed process
// would keep its partitions until its session ends, after 45 s.
func (b *broker) evict(t *testing.T, groups ...string) {
	t.Helper()
	for _, name := range groups {
		var dead []segmentio.LeaveGroupRequestMember
		members, _ := b.group(t, name)
		for id := range members {
			dead = append(dead, segmentio.LeaveGroupRequestMember{ID: id})
		}
		if len(dead) == 0 {
			continue // killed before it had joined
		}
		if _, err := b.client.LeaveGroup(t.Context(), &segmentio.LeaveGroupRequest{GroupID: name, Members: dead}); err != nil {
			t.Fatal(err)
		}
	}
}

// undecided returns the first of the topics with an undecided transaction, or "".
func (b *broker) undecided(t *testing.T, topics ...string) string {
	t.Helper()
	for _, topic := range topics {
		for p := range b.partitions(t, topic) {
			if res := b.fetch(t, topic, p, 0, 1); res.LastStableOffset < res.HighWatermark {
				return topic
			}
		}
	}
	return ""
}
