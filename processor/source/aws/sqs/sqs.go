// Package sqs receives messages from an SQS queue that name CloudTrail's files, and
// offers these as objects: messages of S3, through SNS or directly, of EventBridge, and
// of CloudTrail itself (package notification reads them). A message that contains events
// is offered as an object itself.
//
// A message is deleted when everything that it names is done, and not before; until then
// its visibility is extended, which hides it from other consumers. Several messages may
// name one object, which is then read once while all of them are held. When a process
// dies, its messages return when their visibility ends.
//
// An object that cannot be read goes to a list (source.Retries), its messages stay
// hidden, and others go on. SQS hides a message for twelve hours in all; then it returns
// and is received again, which the queue counts. An object is given up when waiting
// longer would lose every message that names it: at the limit of twelve hours if it was
// received as often as the redrive policy allows, and before the queue's retention ends.
// Its dead letter is written first, and then the redrive policy takes the messages.
// Without such a policy they are deleted. While the list is full nothing is received.
//
// An object that was read and waits to be Done (Park) is durable as its message: after
// twelve hours that returns to this process, and after a restart to the next one. The
// redrive policy may move it meanwhile; only the end of the queue's retention would lose
// it. Before that Expiring returns the object, like every other one that is not Done.
//
// A message with a key that does not have CloudTrail's form (notification.ParseKey) is
// only counted.
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

// Config configures a Source.
type Config struct {
	// QueueURL is the queue's URL, as SQS returns it.
	QueueURL string
	// Buckets are the buckets from which objects are read; empty allows all, for a queue
	// whose policy admits only trusted senders.
	Buckets []string
	// Visibility is how long a message is hidden from other consumers at a time, 10 s to
	// 12 h. It is extended while the message is held.
	Visibility time.Duration
	// MaxMessages bounds the held messages, apart from those that wait for a retry.
	MaxMessages int
	// Now is the clock.
	Now func() time.Time
}

// DefaultConfig returns the defaults. A dead process keeps messages hidden for at most
// five minutes, less than CloudTrail's own delay. 1,000 messages with their texts take
// about 3 MB; at a minute from receipt to settling they are 17 a second, a million and a
// half files a day.
func DefaultConfig() Config {
	return Config{Visibility: 5 * time.Minute, MaxMessages: 1000, Now: time.Now}
}

const (
	// batch is SQS's maximum number of messages in one call.
	batch = 10
	// longPoll is how long SQS waits for the first message: its maximum.
	longPoll = 20 * time.Second
	// longest is how long SQS hides a message in all, and margin how much earlier this
	// package considers it over: the last extension must reach the queue.
	longest, margin = 12 * time.Hour, 5 * time.Minute
	// lastChance is how long before the loss of its message an object is tried for the
	// last time, and then given up: longer than any pause between two tries.
	lastChance = 20 * time.Minute
	// lastPause is the pause before such an object is tried again after its dead letter
	// could not be written, for example to a full disk.
	lastPause = 30 * time.Second
	// longestUrgent is how long one object whose message may be lost stops receiving: the
	// time to read it, or to write its dead letter. An object that was read to its end
	// and waits for Done does not stop receiving.
	longestUrgent = 5 * time.Minute
	// askAgain is the interval of requests for the queue's attributes.
	askAgain = 10 * time.Minute
	// maxPoison bounds the remembered given-up messages while the queue moves them; the
	// oldest are forgotten first, and read again.
	maxPoison = 10_000
)

// messageCounts counts messages.
type messageCounts struct {
	Received  int64 // including those received again
	Deleted   int64 // everything that they named was done or unwanted
	Given     int64 // left to the redrive policy, or deleted after their dead letter
	Returned  int64 // held for twelve hours, and left to be received again
	Held      int64 // current number
	Redriven  bool  // the queue has a redrive policy
	Unwanted  int64 // named only unwanted objects: digests, Insights, removed objects
	Extended  int64 // visibility extensions
	Duplicate int64 // messages about an object of another held message
}

// Source receives from one queue. Poll is for one goroutine; the other methods may
// be called meanwhile.
type Source struct {
	cfg     Config
	api     *awssqs.Client
	objects *s3.Client
	log     func(format string, args ...any)

	asked time.Time // of the last request for attributes; used only by Poll

	mu         sync.Mutex // guards the following
	redriven   bool       // the queue has a redrive policy
	maxReceive int        // receives after which it moves a message; 0 for never
	retention  time.Duration
	messages   map[string]*message
	targets    map[string]*target
	retries    *source.Retries // by target.id
	strays     *s3.Strays
	poison     []string // ids of messages given up
	stats      messageCounts
	room       chan struct{} // signals that a message was dropped
}

// message is one held message.
type message struct {
	id       string
	receipt  string    // of its last receive
	until    time.Time // end of its visibility
	received time.Time // time of its last receive
	sent     time.Time // zero if unknown
	count    int       // number of receives; 0 if unknown
	open     int       // unfinished targets
	parked   int       // of these, on the retry list
	poison   bool      // one of them was given up before the loss of its message
	returned bool      // its twelve hours are over
}

// target is one object to be read, with the messages that wait for it.
type target struct {
	object   source.Object
	id       string
	messages []*message
	parked   bool // on the retry list
	// last is set while the target is given up and not Done: one of the messages, all of
	// which another try would lose.
	last   *message
	rest   time.Time   // earliest time of the next try, even if a message may be lost
	read   atomic.Bool // to its end, and without a Retry since
	urgent time.Time   // since when it stops receiving; zero if not
	since  time.Time   // of its first offer
	// recorded is set when a dead letter says that its messages expire.
	recorded bool
}

// New returns a Source. It makes no call. log takes notes for a person.
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

// Poll returns objects to read: those of new messages, followed by due retries. It waits
// for messages for up to 20 seconds. Objects returned with an error are valid. Pass each
// object to Done or Retry in the end.
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

// due returns the objects that are due for a retry, and for how many messages there is
// room.
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
	for id, t := range s.targets { // also if an outage leaves them no turn
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
	if urgent || s.retries.Room() == 0 { // receiving now could move a message before its dead letter is written
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

// crowded returns the error that receiving has stopped.
func (s *Source) crowded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retries.Room() > 0 {
		return nil
	}
	return fmt.Errorf("%d objects from messages of queue %q cannot be read or are not acknowledged, so receiving has "+
		"stopped: resolve the errors in the log",
		s.retries.Len(), s.cfg.QueueURL)
}

// receive requests up to n messages. It waits for a first one only if mayWait.
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

// Waiting returns the state of the retry list.
func (s *Source) Waiting() source.RetryStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retries.Stats(s.cfg.Now())
}

// Strays returns the number of named objects whose keys are not CloudTrail's, by reason.
func (s *Source) Strays() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays.Counts()
}
