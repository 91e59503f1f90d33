package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source/aws/client"

	"keytrail/processor/source"
)

// attributes requests, at intervals, how the queue handles messages that are not deleted:
// somebody may change that. Once known, a failed request is repeated later.
func (s *Source) attributes(ctx context.Context) error {
	now := s.cfg.Now()
	first := s.asked.IsZero()
	if since := now.Sub(s.asked); !first && since >= 0 && since < askAgain {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	out, err := s.api.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl: &s.cfg.QueueURL,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy,
			types.QueueAttributeNameMessageRetentionPeriod},
	})
	var policy redrive
	if err == nil {
		err = policy.read(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	} else {
		err = client.Short(err)
	}
	if err != nil && first {
		return fmt.Errorf("cannot get the attributes of queue %q: %w", s.cfg.QueueURL, err)
	}
	s.asked = now
	if err != nil {
		return nil // the known attributes apply until the next request
	}
	// 0 if missing
	seconds, _ := strconv.ParseInt(out.Attributes[string(types.QueueAttributeNameMessageRetentionPeriod)], 10, 64)
	s.mu.Lock()
	changed := first || s.redriven != (policy.target != "") || s.maxReceive != policy.max
	s.redriven, s.maxReceive, s.retention = policy.target != "", policy.max, time.Duration(seconds)*time.Second
	s.mu.Unlock()
	switch {
	case !changed:
	case policy.target == "":
		s.log("queue %q has no redrive policy: given-up messages are deleted after their dead letter is written",
			s.cfg.QueueURL)
	default:
		s.log("queue %q: given-up messages are left to its redrive policy, which moves them to %s after %d receives",
			s.cfg.QueueURL, policy.target, policy.max)
	}
	return nil
}

// Examine requests the attributes of the queue, and receives no message. An error says why
// they cannot be had. Like Poll, it is for one goroutine.
func (s *Source) Examine(ctx context.Context) error { return s.attributes(ctx) }

// redrive is a queue's redrive policy.
type redrive struct {
	target string // the dead-letter queue's ARN, "" without a policy
	max    int    // receives before a message is moved there
}

func (r *redrive) read(text string) error {
	if text == "" {
		return nil
	}
	var in struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"` // a number, or one in quotes
	}
	err := json.Unmarshal([]byte(text), &in)
	if err == nil && in.Max != nil {
		r.max, err = strconv.Atoi(strings.Trim(string(in.Max), `"`))
	}
	if err != nil {
		return fmt.Errorf("cannot read its redrive policy: %w", err)
	}
	r.target = in.Target
	return nil
}

// systemAttributes reads the queue's attributes of one message.
func (m *message) systemAttributes(in *types.Message) {
	// 0 if missing
	m.count, _ = strconv.Atoi(in.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	if ms, err := strconv.ParseInt(in.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)],
		10, 64); err == nil {
		m.sent = time.UnixMilli(ms)
	}
	m.receipt = aws.ToString(in.ReceiptHandle)
}

// lost reports whether a message that is held until then may not return: it was received
// for the last time before the redrive policy moves it, or the queue drops it for its
// age. The last eighth of the retention, twelve hours at most, is reserved for a process
// that dies while it holds the message.
func (s *Source) lost(m *message, until time.Time) bool {
	return s.expires(m, until) || s.redriven && m.count >= s.maxReceive && !until.Before(m.received.Add(longest-margin))
}

// expires reports whether the queue may drop a message for its age by a time.
func (s *Source) expires(m *message, until time.Time) bool {
	return s.drops(m, until.Add(min(s.retention/8, longest)))
}

// drops reports whether the queue drops a message for its age by a time.
func (s *Source) drops(m *message, until time.Time) bool {
	return s.retention > 0 && !m.sent.IsZero() && !until.Before(m.sent.Add(s.retention))
}

// Expiring returns the objects all of whose messages the queue will soon drop for their
// age, until they are Done or Recorded: a restart after that finds no message, so each
// needs a dead letter. Their state does not change. An object that is not parked has time
// to be read, or to be given up with its own dead letter, depending on its last message's
// remaining time.
func (s *Source) Expiring() (list []source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.targets {
		if !t.recorded && t.last == nil && s.expiring(t, s.retries.Parked(id)) {
			list = append(list, t.object)
		}
	}
	return list
}

func (s *Source) expiring(t *target, parked bool) bool {
	now, chance := s.cfg.Now(), min(lastChance, s.retention/32)
	by := now
	if parked {
		by = now.Add(chance)
	}
	patient := !parked && now.Sub(t.since) < chance
	return !slices.ContainsFunc(t.messages, func(m *message) bool {
		return !s.expires(m, by) || patient && !s.drops(m, now.Add(chance))
	})
}

// Recorded records that the dead letter of an object of Expiring is written: losing its
// message is then not silent, and nothing is urgent.
func (s *Source) Recorded(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.find(&o); t != nil {
		t.recorded = true
	}
}
