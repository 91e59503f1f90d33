// Package sqs takes the messages that say where CloudTrail's files lie out of an
// SQS queue, and offers the objects: messages of S3, through SNS or not, of
// EventBridge, and of CloudTrail itself (package notification reads them). A
// message that carries events instead is offered as an object itself.
//
// A message is deleted when everything that it names is done, and not before; until
// then it is kept from other consumers by extending its visibility. Several messages
// may name one object, which then is read once while all of them are held. A message
// that is held by a process that dies comes back when its visibility ends.
//
// An object that can not be read is tried again for a quarter of an hour and longer
// (source.Patience), then given up: who reads writes its dead letter, and the
// message goes the way that the queue's redrive policy says. Without such a policy
// it is deleted.
//
// Source: SQS API Reference, ReceiveMessage, ChangeMessageVisibility, and the
// Developer Guide, "Amazon SQS visibility timeout" and "dead-letter queues".
package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source"
	"keytrail/processor/source/awsclient"
	"keytrail/processor/source/s3"
)

// Config says what a Source takes.
type Config struct {
	// QueueURL is the queue's, as SQS gives it.
	QueueURL string
	// Buckets are those from which objects are read; empty allows all, which is for
	// a queue whose policy lets only trusted senders in.
	Buckets []string
	// Visibility is for how long a message is hidden from other consumers at a time,
	// 10 s to 12 h. It is extended while the message is held.
	Visibility time.Duration
	// MaxMessages bounds the messages that are held at a time.
	MaxMessages int
	// Now is the clock.
	Now func() time.Time
}

// DefaultConfig returns the defaults. A process that dies keeps messages hidden for
// five minutes at the most, which is less than CloudTrail's own delay. 1,000
// messages with their texts take some 3 MB; at a minute from receipt to settling
// they are 17 a second, a million and a half files a day.
func DefaultConfig() Config {
	return Config{Visibility: 5 * time.Minute, MaxMessages: 1000, Now: time.Now}
}

const (
	// batch is how many messages SQS gives or takes in one call at the most.
	batch = 10
	// longPoll is how long SQS waits for a first message: its longest.
	longPoll = 20 * time.Second
	// maxPoison bounds the messages that are remembered as given up while the queue
	// moves them away; the oldest are forgotten first, and read again.
	maxPoison = 10_000
)

// Stats counts messages.
type Stats struct {
	Received  int64 // including those received again
	Deleted   int64 // everything that they named was handed over, or was nothing
	Given     int64 // given up: left to the redrive policy, or deleted after their dead letter
	Held      int64 // now
	Redriven  bool  // the queue has a redrive policy
	Unwanted  int64 // named objects that are not read: digests, Insights, removed objects
	Extended  int64 // visibility extensions
	Duplicate int64 // messages about an object that another held message names
}

// Source receives from one queue. Poll is for one goroutine; the other methods may
// be called meanwhile.
type Source struct {
	cfg     Config
	api     *awssqs.Client
	objects *s3.Client
	log     func(format string, args ...any)

	redriven bool // known since the first Poll
	known    bool

	mu       sync.Mutex // guards the following
	messages map[string]*message
	targets  map[string]*target
	retries  []*target // that wait for their time
	poison   []string  // ids of messages given up
	patience source.Patience
	stats    Stats
	room     chan struct{} // has an item when a message was let go
}

// message is one message that is held.
type message struct {
	id      string
	receipt string
	until   time.Time // when its visibility ends
	open    int       // targets that are not done
	poison  bool      // one of them was given up
}

// target is one object to be read, and the messages that wait for it.
type target struct {
	object   source.Object
	id       string
	messages []*message
	failures source.Failures
}

// New returns a Source. It calls nothing yet. log takes what a person should know.
func New(cfg aws.Config, c Config, objects *s3.Client, log func(format string, args ...any)) (*Source, error) {
	u, err := url.Parse(c.QueueURL)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Path == "" || u.User != nil {
		return nil, fmt.Errorf("cannot use the queue %q: want its URL such as https://sqs.eu-central-1.amazonaws.com/111122223333/trail", c.QueueURL)
	}
	return &Source{
		cfg: c, objects: objects, log: log,
		api:      awssqs.NewFromConfig(cfg),
		messages: map[string]*message{}, targets: map[string]*target{}, room: make(chan struct{}, 1),
	}, nil
}

// Poll returns objects to read: those whose time to be tried again has come, and
// those that new messages name. It waits for messages up to 20 seconds. Each object
// must be given to Done or Retry in the end.
func (s *Source) Poll(ctx context.Context) ([]source.Object, error) {
	if err := s.attributes(ctx); err != nil {
		return nil, err
	}
	ready, room := s.due()
	if len(ready) > 0 {
		return ready, nil
	}
	if room == 0 {
		wait := time.NewTimer(time.Second)
		defer wait.Stop()
		select {
		case <-s.room:
		case <-wait.C: // a retry may be due
		case <-ctx.Done():
		}
		return nil, nil
	}
	list, err := s.receive(ctx, min(room, batch))
	if err != nil {
		return nil, err
	}
	var clear []*message
	for i := range list {
		objects, m := s.accept(ctx, &list[i])
		ready = append(ready, objects...)
		if m != nil {
			clear = append(clear, m)
		}
	}
	slices.SortStableFunc(ready, source.ByDelivery)
	return ready, s.setVisibility(ctx, clear, 0)
}

// attributes asks once whether the queue has a redrive policy.
func (s *Source) attributes(ctx context.Context) error {
	if s.known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, awsclient.RequestTimeout)
	defer cancel()
	out, err := s.api.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &s.cfg.QueueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return fmt.Errorf("cannot ask for the attributes of queue %q: %w", s.cfg.QueueURL, awsclient.Short(err))
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	text := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]
	if text != "" {
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return fmt.Errorf("cannot read the redrive policy of queue %q: %w", s.cfg.QueueURL, err)
		}
	}
	s.known, s.redriven = true, policy.Target != ""
	s.mu.Lock()
	s.stats.Redriven = s.redriven
	s.mu.Unlock()
	if s.redriven {
		s.log("queue %q: messages that are given up are left to its redrive policy, which moves them to %s", s.cfg.QueueURL, policy.Target)
	} else {
		s.log("queue %q has no redrive policy: messages that are given up are deleted after their dead letter is written", s.cfg.QueueURL)
	}
	return nil
}

// due returns the objects whose time to be tried again has come, and for how many
// messages there is room.
func (s *Source) due() (ready []source.Object, room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.retries = slices.DeleteFunc(s.retries, func(t *target) bool {
		if now.Before(t.failures.Next) {
			return false
		}
		ready = append(ready, t.object)
		return true
	})
	return ready, s.cfg.MaxMessages - len(s.messages)
}

func (s *Source) receive(ctx context.Context, n int) ([]types.Message, error) {
	wait := longPoll
	s.mu.Lock()
	if len(s.retries) > 0 {
		wait = firstRetry // one of them may be due meanwhile
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, awsclient.RequestTimeout)
	defer cancel()
	out, err := s.api.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &s.cfg.QueueURL, MaxNumberOfMessages: int32(n), WaitTimeSeconds: int32(wait / time.Second),
		VisibilityTimeout: int32(s.cfg.Visibility / time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("cannot receive from queue %q: %w", s.cfg.QueueURL, awsclient.Short(err))
	}
	return out.Messages, nil
}

// firstRetry is the shortest pause of source.Patience.
const firstRetry = 5 * time.Second

// Stats returns the counts so far.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Held = int64(len(s.messages))
	return st
}
