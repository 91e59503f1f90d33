package kafka_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
)

// A position continues in its own topic and in a topic with an unknown id, but in no
// other.
func TestPositionIn(t *testing.T) {
	one, two, unknown := [16]byte{1}, [16]byte{15: 2}, [16]byte{}
	for _, c := range []struct {
		at, topic, want [16]byte
		cut             bool
	}{
		{unknown, unknown, unknown, false}, {unknown, one, one, false}, {one, unknown, one, false},
		{one, one, one, false}, {one, two, one, true}, {two, one, two, true},
	} {
		at := kafka.Position{Offset: 7, Epoch: 3, Topic: c.at}
		got, err := at.In(c.topic)
		if at.Topic = c.want; got != at || errors.Is(err, kafka.ErrCut) != c.cut || (err != nil) != c.cut {
			t.Errorf("%x in %x is %v, %v", c.at, c.topic, got, err)
		}
	}
}

// fakeBroker is a kfake cluster as a kafkatest.Broker.
type fakeBroker struct{ *kfake.Cluster }

func (f fakeBroker) Brokers() []string { return f.ListenAddrs() }

// stale makes a cluster return a wrong id for topic "in" in its next n metadata
// responses, and returns how many are left.
func stale(t *testing.T, c *kfake.Cluster, id [16]byte, n int32) *atomic.Int32 {
	var left atomic.Int32
	left.Store(n)
	host, port, err := net.SplitHostPort(c.ListenAddrs()[0])
	number, _ := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if c.KeepControl(); left.Load() == 0 {
			return nil, nil, false
		}
		left.Add(-1)
		resp := r.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = host, int32(number)
		resp.Brokers = append(resp.Brokers, broker)
		for _, asked := range r.(*kmsg.MetadataRequest).Topics {
			topic, partition := kmsg.NewMetadataResponseTopic(), kmsg.NewMetadataResponseTopicPartition()
			topic.Topic, topic.TopicID = asked.Topic, id
			partition.Replicas, partition.ISR = []int32{0}, []int32{0}
			topic.Partitions = append(topic.Partitions, partition)
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	return &left
}

// A topic was recreated while no stage ran. A stage with state of the old topic ends with
// an error. A stage that has started over continues and keeps the new id, though brokers
// report the old one for a while.
func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	broker := fake(t)
	c := connect(t, fakeBroker{broker})
	run := func(s *stated) (ended chan error, cancel func()) {
		ctx, cancel := context.WithCancel(t.Context())
		tr := kafka.Transact{Kafka: c.cfg, Group: "g", Topic: "in", TransactionID: "one", Interval: 30 * time.Millisecond, Records: 1000, GiveUp: patience}
		ended = make(chan error, 1)
		go func() { ended <- tr.Run(ctx, s) }()
		return ended, cancel
	}
	until := func(s *stated, offset int64) {
		t.Helper()
		ended, cancel := run(s)
		defer cancel()
		c.waitCommitted("g", "in", 0, offset)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if topics, err := c.adm.ListTopics(t.Context(), "in"); err != nil || s.at.Topic != topics["in"].ID || s.at.Offset != offset {
			t.Fatalf("the position is %v, and the topic has the id %x", s.at, topics["in"].ID)
		}
	}
	c.topics(1, "in", "out")
	c.produce("in", 0, values(0, 3)...)
	s := &stated{echo: newEcho(c)}
	until(s, 3)
	old := s.at.Topic

	anew := connect(t, c.broker) // a client without cached metadata
	if gone, err := c.adm.DeleteTopics(t.Context(), "in"); err != nil || gone.Error() != nil {
		t.Fatal(err, gone.Error())
	}
	anew.topics(1, "in")
	anew.produce("in", 0, values(0, 5)...)
	ended, cancel := run(s)
	defer cancel()
	if err := <-ended; !errors.Is(err, kafka.ErrCut) {
		t.Fatalf("the stage ends with %v", err)
	}

	if gone, err := c.adm.DeleteGroups(t.Context(), "g"); err != nil {
		t.Fatal(err, gone.Error())
	}
	left := stale(t, broker, old, 10)
	s = &stated{echo: newEcho(c)}
	c.adm = anew.adm
	until(s, 5)
	if left.Load() > 0 || s.at.Topic == old {
		t.Errorf("the old id is told %d times less than it should be, and the position is %v", left.Load(), s.at)
	}
	anew.produce("in", 0, "more")
	until(s, 6)
}
