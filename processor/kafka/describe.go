package kafka

import (
	"context"
	"errors"
	"math"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Access is a set of bits: the operations of a process on a topic.
type Access uint8

// The bits of Access.
const (
	Read Access = 1 << iota
	Write
)

// layout is the brokers' metadata of the cluster and some topics.
type layout struct {
	brokers []string // the addresses that they advertise
	topics  map[string]topicInfo
}

// topicInfo is the brokers' metadata of one topic.
type topicInfo struct {
	id         [16]byte // zero before Kafka 2.8, which has no topic ids
	partitions int32
	replicas   int   // of the partition with the fewest
	operations int32 // bits of the operations that the client may perform, or noOperations
}

// noOperations is the brokers' value for "operations not known".
const noOperations = math.MinInt32

// may reports whether the client may perform op, or whether that is unknown.
func (t topicInfo) may(op kmsg.ACLOperation) bool {
	return t.operations == noOperations || t.operations>>op&1 == 1
}

// describe requests the layout. It leaves out topics that do not exist. A topic that the
// client may not describe is an error (denied).
func describe(ctx context.Context, cl *kgo.Client, names []string) (layout, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation, req.IncludeTopicAuthorizedOperations = false, true
	for _, name := range names {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, one)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return layout{}, err
	}
	l := layout{topics: map[string]topicInfo{}}
	for _, b := range resp.Brokers {
		l.brokers = append(l.brokers, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
	}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			return l, &denied{kmsg.ACLOperationDescribe, "topic", *t.Topic, err}
		case err != nil || len(t.Partitions) == 0:
			continue // it does not exist, or not yet
		}
		info := topicInfo{id: t.TopicID, partitions: int32(len(t.Partitions)), operations: t.AuthorizedOperations,
			replicas: math.MaxInt}
		for _, p := range t.Partitions {
			info.replicas = min(info.replicas, len(p.Replicas))
		}
		l.topics[*t.Topic] = info
	}
	return l, nil
}
