package kafka_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
)

// withoutLeader lets a broker answer the first n requests for offsets, and for records, as
// while no broker leads the partition.
func withoutLeader(c *kfake.Cluster, n int64) (asked *atomic.Int64) {
	asked = new(atomic.Int64)
	again := func() bool {
		c.KeepControl()
		return asked.Add(1) <= n
	}
	c.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !again() {
			return nil, nil, false
		}
		r := req.(*kmsg.ListOffsetsRequest)
		resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, t := range r.Topics {
			one := kmsg.NewListOffsetsResponseTopic()
			one.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.LeaderNotAvailable.Code
				one.Partitions = append(one.Partitions, part)
			}
			resp.Topics = append(resp.Topics, one)
		}
		return resp, nil, true
	})
	return asked
}

// Reads without a consumer group wait for the next leader of a partition.
func TestReadsAwaitALeader(t *testing.T) {
	for name, read := range map[string]func(kafka.Config, func(*kgo.Record) error) error{
		"look": func(c kafka.Config, f func(*kgo.Record) error) error {
			_, err := kafka.Look{Topic: "a", Most: 10}.Each(t.Context(), c, f)
			return err
		},
		"log": func(c kafka.Config, f func(*kgo.Record) error) error {
			return kafka.ReadLog(t.Context(), c, "a", []int32{0}, f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fake(t, kfake.SeedTopics(1, "a"))
			cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test"}
			cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("1")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			asked, got := withoutLeader(c, 4), 0
			if err := read(cfg, func(*kgo.Record) error { got++; return nil }); err != nil || got != 1 || asked.Load() < 5 {
				t.Errorf("%d records after %d questions, %v", got, asked.Load(), err)
			}
			withoutLeader(c, 1<<60)
			cfg.Patience = 200 * time.Millisecond
			err = read(cfg, func(*kgo.Record) error { return nil })
			if !errors.Is(err, kerr.LeaderNotAvailable) || !strings.Contains(err.Error(), "tried for 200ms") || !strings.Contains(err.Error(), "kafka-topics.sh") {
				t.Errorf("without a leader the error is %v", err)
			}
		})
	}
}

// A look, and the read of one record, end with advice if the broker of a partition falls
// silent behind the bounds.
func TestReadsEndWithoutRecords(t *testing.T) {
	t.Parallel()
	c := fake(t, kfake.SeedTopics(1, "a"))
	cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Patience: 500 * time.Millisecond}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // the client asks again
		return resp, nil, true
	})
	_, err = kafka.Look{Topic: "a", Most: 10}.Each(t.Context(), cfg, func(*kgo.Record) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "partitions [0] give no records") || !strings.Contains(err.Error(), "kafka-topics.sh") {
		t.Errorf("a look ends with %v", err)
	}
	_, err = kafka.One(t.Context(), cfg, "a", 0, 0)
	if err == nil || !strings.Contains(err.Error(), `topic "a" partition 0 offset 0`) || !strings.Contains(err.Error(), "kafka-topics.sh") {
		t.Errorf("the read of a record ends with %v", err)
	}
}
