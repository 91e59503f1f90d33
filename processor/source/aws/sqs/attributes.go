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

// attributes asks, from time to time, what the queue does with messages that are not
// deleted: somebody may change that. Once it is known, a question that fails is asked
// again later.
func (s *Source) attributes(ctx context.Context) error {
	now := s.cfg.Now()
	first := s.asked.IsZero()
	if since := now.Sub(s.asked); !first && since >= 0 && since < askAgain {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	out, err := s.api.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{
		QueueUrl:       &s.cfg.QueueURL,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy, types.QueueAttributeNameMessageRetentionPeriod},
	})
	var policy redrive
	if err == nil {
		err = policy.read(out.Attributes[string(types.QueueAttributeNameRedrivePolicy)])
	} else {
		err = client.Short(err)
	}
	if err != nil && first {
		return fmt.Errorf("cannot ask for the attributes of queue %q: %w", s.cfg.QueueURL, err)
	}
	s.asked = now
	if err != nil {
		return nil // what is known holds until the next question
	}
	seconds, _ := strconv.ParseInt(out.Attributes[string(types.QueueAttributeNameMessageRetentionPeriod)], 10, 64) // 0 where it does not say
	s.mu.Lock()
	changed := first || s.redriven != (policy.target != "") || s.maxReceive != policy.max
	s.redriven, s.maxReceive, s.retention = policy.target != "", policy.max, time.Duration(seconds)*time.Second
	s.mu.Unlock()
	switch {
	case !changed:
	case policy.target == "":
		s.log("queue %q has no redrive policy: messages that are given up are deleted after their dead letter is written", s.cfg.QueueURL)
	default:
		s.log("queue %q: messages that are given up are left to its redrive policy, which moves them to %s when they were received %d times",
			s.cfg.QueueURL, policy.target, policy.max)
	}
	return nil
}

// redrive is a queue's redrive policy.
type redrive struct {
	target string // the dead-letter queue's ARN, "" for no policy
	max    int    // how often a message is received before it is moved there
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

// systemAttributes reads what the queue says of one message.
func (m *message) systemAttributes(in *types.Message) {
	m.count, _ = strconv.Atoi(in.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]) // 0 where it does not say
	if ms, err := strconv.ParseInt(in.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		m.sent = time.UnixMilli(ms)
	}
	m.receipt = aws.ToString(in.ReceiptHandle)
}

// lost reports whether a message that is held until then may not come again: it was
// received for the last time before the redrive policy takes it, or the queue drops it
// for its age. The last eighth of that, twelve hours at most, is for a process that dies
// while it holds the message.
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

// Expiring returns the objects of which the queue will soon drop every message for its age,
// until they are Done or Recorded: a restart after that finds no message, so a dead letter
// has to name each of them. They stay as they are. An object that is not parked has time
// to be read, or to be given up with its own dead letter; how long depends on what its last
// message has left.
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

// Recorded notes that the dead letter of an object of Expiring is written: the loss of its
// message then is not silent, and hurries nothing.
func (s *Source) Recorded(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.find(&o); t != nil {
		t.recorded = true
	}
}
