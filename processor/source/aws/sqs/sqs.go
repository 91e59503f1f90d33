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
// An object that cannot be read goes to a list (source.Retries), its messages stay hidden,
// and others go on. SQS hides a message for twelve hours in all; then it comes back and
// is received again, which the queue counts. An object is given up when waiting longer
// would lose every message that names it: at the limit of twelve hours when it was received
// as often as the redrive policy allows, and before the queue's retention ends. Then the
// dead letter is written first, and the messages go the way that the redrive policy says.
// Without such a policy they are deleted. While the list is full nothing is received.
//
// An object that was read and waits to be Done (Park) has its message for its durable
// form: after twelve hours the message comes back to this process, and after a restart to
// the next one. The redrive policy may move it away meanwhile; only the end of the queue's
// retention would lose it. Before that Expiring returns the object, and every other one
// that is not Done.
//
// A message that names an object whose key does not have CloudTrail's form
// (notification.ParseKey) is counted, and nothing is read for it.
//
// Source: SQS API Reference, ReceiveMessage, ChangeMessageVisibility, and the
// Developer Guide, "Amazon SQS visibility timeout" and "dead-letter queues".
package sqs

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
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
	// MaxMessages bounds the messages that are held at a time, besides those that wait
	// for an object that cannot be read.
	MaxMessages int
	// Now is the clock.
	Now func() time.Time
}

// DefaultConfig returns the defaults. A process that dies keeps messages hidden for
// at most five minutes, which is less than CloudTrail's own delay. 1,000
// messages with their texts take some 3 MB; at a minute from receipt to settling
// they are 17 a second, a million and a half files a day.
func DefaultConfig() Config {
	return Config{Visibility: 5 * time.Minute, MaxMessages: 1000, Now: time.Now}
}

const (
	// batch is how many messages SQS gives or takes at most in one call.
	batch = 10
	// longPoll is how long SQS waits for a first message: its longest.
	longPoll = 20 * time.Second
	// longest is for how long SQS hides a message in all, and margin how much earlier it
	// is taken for over: the last extension has to reach the queue.
	longest, margin = 12 * time.Hour, 5 * time.Minute
	// lastChance is how long before its message would be lost an object is tried for the
	// last time, and then given up: longer than any pause between two tries.
	lastChance = 20 * time.Minute
	// lastPause is the pause before an object of that time is tried again whose dead
	// letter could not be written, as when a disk is full.
	lastPause = 30 * time.Second
	// longestUrgent is how long one object whose message may be lost keeps others from
	// being received: the time to read it, or to write its dead letter. An
	// object that was read to its end and waits for Done keeps none.
	longestUrgent = 5 * time.Minute
	// askAgain is how often the queue is asked for its attributes.
	askAgain = 10 * time.Minute
	// maxPoison bounds the messages that are remembered as given up while the queue
	// moves them away; the oldest are forgotten first, and read again.
	maxPoison = 10_000
)

// Stats counts messages.
type Stats struct {
	Received  int64 // including those received again
	Deleted   int64 // everything that they named was handed over, or was nothing
	Given     int64 // given up: left to the redrive policy, or deleted after their dead letter
	Returned  int64 // held for twelve hours, and left to be received again
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

	asked time.Time // when the attributes were asked for; the Poll's own

	mu         sync.Mutex // guards the following
	redriven   bool       // the queue has a redrive policy
	maxReceive int        // after so many receives it moves a message away; 0 for never
	retention  time.Duration
	messages   map[string]*message
	targets    map[string]*target
	retries    *source.Retries // by target.id
	strays     *s3.Strays
	poison     []string // ids of messages given up
	stats      Stats
	room       chan struct{} // has an item when a message was let go
}

// message is one message that is held.
type message struct {
	id       string
	receipt  string    // of the last time it was received
	until    time.Time // when its visibility ends
	received time.Time // when it was received last
	sent     time.Time // zero where the queue does not say
	count    int       // how often it was received; 0 where the queue does not say
	open     int       // targets that are not done
	parked   int       // of them those on the list of retries
	poison   bool      // one of them was given up before its message would be lost
	returned bool      // its twelve hours are over
}

// target is one object to be read, and the messages that wait for it.
type target struct {
	object   source.Object
	id       string
	messages []*message
	parked   bool // on the list of retries
	// last is set while the target is given up and not Done: one of the messages, all of
	// which another try would lose.
	last   *message
	rest   time.Time   // not to be tried before, though a message may be lost
	read   atomic.Bool // to its end, and not given to Retry since
	urgent time.Time   // since when nothing is received because of it; zero for not
	since  time.Time   // when it was offered first
	// recorded is set when a dead letter says that its messages expire.
	recorded bool
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
		retries: source.NewRetries(), strays: s3.NewStrays(log),
	}, nil
}

// Poll returns objects to read: those that new messages name, and then those whose time
// to be tried again has come. It waits for messages up to 20 seconds. An error does not
// void the objects beside it. Each object must be given to Done or Retry in the end.
func (s *Source) Poll(ctx context.Context) ([]source.Object, error) {
	if err := s.attributes(ctx); err != nil {
		return nil, err
	}
	again, room := s.due()
	if room <= 0 && len(again) > 0 {
		return again, s.crowded()
	}
	if room <= 0 {
		wait := time.NewTimer(time.Second)
		defer wait.Stop()
		select {
		case <-s.room:
		case <-wait.C: // a retry may be due
		case <-ctx.Done():
		}
		return nil, s.crowded()
	}
	list, err := s.receive(ctx, min(room, batch), len(again) == 0)
	if err != nil {
		return again, err
	}
	var ready []source.Object
	var clear []grip
	for i := range list {
		objects, m := s.accept(ctx, &list[i])
		ready = append(ready, objects...)
		if m != nil {
			clear = append(clear, grip{m, m.receipt})
		}
	}
	slices.SortStableFunc(ready, source.ByDelivery)
	return append(ready, again...), s.setVisibility(ctx, clear, 0)
}

// due returns the objects whose time to be tried again has come, and for how many
// messages there is room.
func (s *Source) due() (ready []source.Object, room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, urgent := s.cfg.Now(), false
	for _, id := range s.retries.Due(now) {
		if t := s.targets[id]; t != nil {
			ready = append(ready, t.object)
		} else {
			s.retries.Drop(id)
		}
	}
	for id, t := range s.targets { // where an outage leaves no turn, too
		if !t.parked || s.retries.Parked(id) || t.read.Load() || s.lastOf(t, now) == nil {
			t.urgent = time.Time{}
			continue
		}
		if !now.Before(t.rest) && s.retries.Take(id) {
			ready = append(ready, t.object)
		}
		if t.urgent.IsZero() || now.Before(t.urgent) { // or the clock went back
			t.urgent = now
		}
		urgent = urgent || now.Sub(t.urgent) < longestUrgent
	}
	if urgent || s.retries.Room() == 0 { // receiving now could move a message away before its dead letter is written
		return ready, 0
	}
	held := 0
	for _, m := range s.messages {
		if m.open == 0 || m.parked < m.open {
			held++
		}
	}
	return ready, s.cfg.MaxMessages - held
}

// crowded says that nothing is received.
func (s *Source) crowded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d objects that messages of queue %q name cannot be read or are not acknowledged, and no more are received until there are fewer: mend what the log says of them",
		s.retries.Len(), s.cfg.QueueURL)
}

// receive asks for up to n messages. It waits for a first one only if it may.
func (s *Source) receive(ctx context.Context, n int, mayWait bool) ([]types.Message, error) {
	wait := time.Duration(0)
	s.mu.Lock()
	if next := s.retries.Next(); mayWait && next.IsZero() {
		wait = longPoll
	} else if mayWait { // one of them may be due meanwhile
		wait = max(time.Second, min(longPoll, next.Sub(s.cfg.Now())))
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	out, err := s.api.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &s.cfg.QueueURL, MaxNumberOfMessages: int32(n), WaitTimeSeconds: int32(wait / time.Second),
		VisibilityTimeout: int32(s.cfg.Visibility / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot receive from queue %q: %w", s.cfg.QueueURL, client.Short(err))
	}
	return out.Messages, nil
}

// Waiting returns the state of the list of what could not be read.
func (s *Source) Waiting() source.RetryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retries.Stats(s.cfg.Now())
}

// Strays returns how many objects were named whose keys are not CloudTrail's, by reason.
func (s *Source) Strays() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays.Counts()
}
