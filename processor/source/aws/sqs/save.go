package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source/aws/client"
)

// Save deletes the messages whose objects are all done, leaves given-up ones to the
// redrive policy, and extends the visibility of held ones. Call it about every second.
// The next Save retries failures.
func (s *Source) Save(ctx context.Context) error {
	done, poison, expiring := s.sort()
	return errors.Join(s.remove(ctx, done), s.release(ctx, poison), s.extend(ctx, expiring))
}

// grip is a message with its current receipt: a message that is received again, because
// its visibility ended, has a new one.
type grip struct {
	*message
	receipt string
}

// Close does the same for the last time, and makes held messages visible to other
// consumers.
func (s *Source) Close(ctx context.Context) error {
	err := s.Save(ctx)
	s.mu.Lock()
	var held []grip
	for _, m := range s.messages {
		held = append(held, grip{m, m.receipt})
	}
	s.mu.Unlock()
	return errors.Join(err, s.setVisibility(ctx, held, 0))
}

// sort returns the messages whose targets are all done, the given-up ones among them, and
// those whose visibility has used half of its time. A message at the end of its twelve
// hours is left to return.
func (s *Source) sort() (done, poison, expiring []grip) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		g := grip{m, m.receipt}
		switch {
		case m.open == 0 && m.poison && s.redriven:
			poison = append(poison, g)
		case m.open == 0:
			done = append(done, g)
		case m.until.Sub(now) >= s.cfg.Visibility/2 || m.returned:
		case m.received.Add(longest-margin).Sub(now) < s.cfg.Visibility/2:
			m.returned = true
			s.stats.Returned++
		default:
			expiring = append(expiring, g)
		}
	}
	return done, poison, expiring
}

// extend extends the visibility of messages, none beyond its twelve hours.
func (s *Source) extend(ctx context.Context, list []grip) error {
	now := s.cfg.Now()
	var failed []error
	bySeconds := map[time.Duration][]grip{}
	for _, g := range list {
		s.mu.Lock()
		d := min(s.cfg.Visibility, g.received.Add(longest-margin).Sub(now)).Truncate(time.Second)
		s.mu.Unlock()
		bySeconds[d] = append(bySeconds[d], g) // nearly all have cfg.Visibility
	}
	for d, part := range bySeconds {
		failed = append(failed, s.setVisibility(ctx, part, d))
	}
	return errors.Join(failed...)
}

// remove deletes messages from the queue.
func (s *Source) remove(ctx context.Context, list []grip) error {
	return s.inBatches(ctx, "delete from", list, func(ctx context.Context,
		part []grip) ([]types.BatchResultErrorEntry, error) {
		in := &awssqs.DeleteMessageBatchInput{QueueUrl: &s.cfg.QueueURL}
		for i, g := range part {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
				ReceiptHandle: &g.receipt})
		}
		out, err := s.api.DeleteMessageBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}, func(g grip) {
		s.forget(g)
		s.stats.Deleted++
		if g.poison {
			s.stats.Given++
		}
	})
}

// release leaves messages to the redrive policy: visible at once, they are received again
// until the policy has counted enough.
func (s *Source) release(ctx context.Context, list []grip) error {
	return s.change(ctx, list, 0, func(g grip) {
		s.forget(g)
		s.stats.Given++
		if len(s.poison) >= maxPoison {
			s.poison = s.poison[1:]
		}
		s.poison = append(s.poison, g.id)
	})
}

// setVisibility hides messages for d from now on.
func (s *Source) setVisibility(ctx context.Context, list []grip, d time.Duration) error {
	until := s.cfg.Now().Add(d)
	return s.change(ctx, list, d, func(g grip) {
		g.until = until
		if d > 0 {
			s.stats.Extended++
		}
	})
}

func (s *Source) change(ctx context.Context, list []grip, d time.Duration, then func(grip)) error {
	return s.inBatches(ctx, "change the visibility in", list, func(ctx context.Context,
		part []grip) ([]types.BatchResultErrorEntry, error) {
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.cfg.QueueURL}
		for i, g := range part {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &g.receipt, VisibilityTimeout: int32(d / time.Second),
			})
		}
		out, err := s.api.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}, then)
}

// forget drops a message.
func (s *Source) forget(g grip) {
	delete(s.messages, g.id)
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// inBatches makes calls for ten messages at a time, and calls then, with the lock, for
// each success. A message whose receipt is no longer valid is held by others or deleted:
// there is nothing to do, and it counts as a success. One that this process received
// again meanwhile waits for the next Save: SQS accepts a call with its older receipt, and
// does nothing.
func (s *Source) inBatches(ctx context.Context, what string, list []grip,
	call func(context.Context, []grip) ([]types.BatchResultErrorEntry, error), then func(grip)) error {
	for len(list) > 0 {
		part := list[:min(batch, len(list))]
		list = list[len(part):]
		limited, cancel := context.WithTimeout(ctx, client.RequestTimeout)
		failed, err := call(limited, part)
		cancel()
		if err != nil {
			return fmt.Errorf("cannot %s queue %q: %w", what, s.cfg.QueueURL, client.Short(err))
		}
		bad := map[int]bool{}
		for _, f := range failed {
			i, cerr := strconv.Atoi(aws.ToString(f.Id))
			if cerr != nil || i < 0 || i >= len(part) {
				return fmt.Errorf("cannot %s queue %q: the answer has an unrequested message %q", what,
					s.cfg.QueueURL, aws.ToString(f.Id))
			}
			if !gone[aws.ToString(f.Code)] {
				bad[i] = true
				err = fmt.Errorf("cannot %s queue %q: %s: %s", what, s.cfg.QueueURL, aws.ToString(f.Code), aws.ToString(f.Message))
			}
		}
		s.mu.Lock()
		for i, g := range part {
			if !bad[i] && g.receipt == g.message.receipt {
				then(g)
			}
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// gone are SQS's codes for messages that this receipt no longer holds: its visibility
// ended, twelve hours passed, or the message was deleted.
var gone = map[string]bool{
	"ReceiptHandleIsInvalid": true, "MessageNotInflight": true, "InvalidParameterValue": true,
	"AWS.SimpleQueueService.MessageNotInflight": true,
}
