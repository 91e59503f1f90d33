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

	"keytrail/processor/source/awsclient"
)

// Save deletes the messages whose objects are all done, leaves those that were given
// up to the redrive policy, and extends the visibility of those that are held. It is
// to be called every second or so. What fails is tried again by the next Save.
func (s *Source) Save(ctx context.Context) error {
	done, poison, expiring := s.sort()
	return errors.Join(s.remove(ctx, done), s.release(ctx, poison), s.setVisibility(ctx, expiring, s.cfg.Visibility))
}

// Close does the same for the last time, and makes what is still held visible to
// other consumers.
func (s *Source) Close(ctx context.Context) error {
	err := s.Save(ctx)
	s.mu.Lock()
	var held []*message
	for _, m := range s.messages {
		held = append(held, m)
	}
	s.mu.Unlock()
	return errors.Join(err, s.setVisibility(ctx, held, 0))
}

// sort returns the messages whose targets are all done, those of them that were
// given up, and those whose visibility has used half of its time.
func (s *Source) sort() (done, poison, expiring []*message) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		switch {
		case m.open == 0 && m.poison && s.redriven:
			poison = append(poison, m)
		case m.open == 0:
			done = append(done, m)
		case m.until.Sub(now) < s.cfg.Visibility/2:
			expiring = append(expiring, m)
		}
	}
	return done, poison, expiring
}

// remove deletes messages from the queue.
func (s *Source) remove(ctx context.Context, list []*message) error {
	return s.inBatches(ctx, "delete from", list, func(ctx context.Context, part []*message) ([]types.BatchResultErrorEntry, error) {
		in := &awssqs.DeleteMessageBatchInput{QueueUrl: &s.cfg.QueueURL}
		for i, m := range part {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.receipt})
		}
		out, err := s.api.DeleteMessageBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}, func(m *message) {
		s.forget(m)
		s.stats.Deleted++
		if m.poison {
			s.stats.Given++
		}
	})
}

// release leaves messages to the redrive policy: visible at once, they are received
// again until the policy has counted them away.
func (s *Source) release(ctx context.Context, list []*message) error {
	return s.change(ctx, list, 0, func(m *message) {
		s.forget(m)
		s.stats.Given++
		if len(s.poison) >= maxPoison {
			s.poison = s.poison[1:]
		}
		s.poison = append(s.poison, m.id)
	})
}

// setVisibility hides messages for d from now on.
func (s *Source) setVisibility(ctx context.Context, list []*message, d time.Duration) error {
	until := s.cfg.Now().Add(d)
	return s.change(ctx, list, d, func(m *message) {
		m.until = until
		if d > 0 {
			s.stats.Extended++
		}
	})
}

func (s *Source) change(ctx context.Context, list []*message, d time.Duration, then func(*message)) error {
	return s.inBatches(ctx, "change the visibility in", list, func(ctx context.Context, part []*message) ([]types.BatchResultErrorEntry, error) {
		in := &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.cfg.QueueURL}
		for i, m := range part {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.receipt, VisibilityTimeout: int32(d / time.Second),
			})
		}
		out, err := s.api.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}, then)
}

// forget lets a message go.
func (s *Source) forget(m *message) {
	delete(s.messages, m.id)
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// inBatches makes calls for ten messages at a time, and calls then, with the lock,
// for each that succeeded. A message whose receipt is no longer good is in other
// hands, or was deleted: there is nothing to do for it, and it counts as succeeded.
func (s *Source) inBatches(ctx context.Context, what string, list []*message,
	call func(context.Context, []*message) ([]types.BatchResultErrorEntry, error), then func(*message)) error {
	for len(list) > 0 {
		part := list[:min(batch, len(list))]
		list = list[len(part):]
		limited, cancel := context.WithTimeout(ctx, awsclient.RequestTimeout)
		failed, err := call(limited, part)
		cancel()
		if err != nil {
			return fmt.Errorf("cannot %s queue %q: %w", what, s.cfg.QueueURL, awsclient.Short(err))
		}
		bad := map[int]bool{}
		for _, f := range failed {
			i, cerr := strconv.Atoi(aws.ToString(f.Id))
			if cerr != nil || i < 0 || i >= len(part) {
				return fmt.Errorf("cannot %s queue %q: it answers about a message %q that was not asked for", what, s.cfg.QueueURL, aws.ToString(f.Id))
			}
			if !gone[aws.ToString(f.Code)] {
				bad[i] = true
				err = fmt.Errorf("cannot %s queue %q: %s: %s", what, s.cfg.QueueURL, aws.ToString(f.Code), aws.ToString(f.Message))
			}
		}
		s.mu.Lock()
		for i, m := range part {
			if !bad[i] {
				then(m)
			}
		}
		s.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// gone are SQS's codes for messages that this receipt no longer holds: its
// visibility ended, twelve hours went by, or the message was deleted.
var gone = map[string]bool{
	"ReceiptHandleIsInvalid": true, "MessageNotInflight": true, "InvalidParameterValue": true,
	"AWS.SimpleQueueService.MessageNotInflight": true,
}
