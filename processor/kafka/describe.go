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

// Access is what a process does with a topic: bits that add up.
type Access uint8

// The kinds of access.
const (
	Read Access = 1 << iota
	Write
)

// layout is what the brokers say about themselves and some topics.
type layout struct {
	brokers []string // their own addresses, as they tell clients
	topics  map[string]topicInfo
}

// topicInfo is what the brokers say about one topic.
type topicInfo struct {
	id         [16]byte // all zero where the brokers know no ids (before Kafka 2.8)
	partitions int32
	replicas   int   // of the partition that has the fewest
	operations int32 // that this client may do with it, a bit each; noOperations: not known
}

// noOperations is how brokers say that they do not tell which operations are allowed.
const noOperations = math.MinInt32

// may reports whether the client may do op, or whether that is not known.
func (t topicInfo) may(op kmsg.ACLOperation) bool {
	return t.operations == noOperations || t.operations>>op&1 == 1
}

// describe asks for the layout. A topic that does not exist is left out. A topic about
// which the client may know nothing is an error (denied).
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
			continue // it does not exist, or is not there yet
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
