// Package sns is the sink that publishes records to a topic of Amazon SNS: to mail
// addresses, queues, functions and others that subscribe to it.
//
// Guarantees: a record is delivered when SNS has said so of its own message; what happens
// between SNS and a subscriber is up to SNS. Refused messages go to the dead letter, the
// others of their request do not. Delivery is at least once, with ids in the body and the
// attributes. A FIFO topic drops repetitions within five minutes, and keeps the order of the
// records of one entity.
//
// Source: SNS API Reference, PublishBatch; Developer Guide, "Amazon SNS message filtering".
package sns

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/awssink"
)

// Config says which topic messages go to and in which form.
type Config struct {
	awssink.Settings `yaml:",inline"`
	// TopicARN is the topic's ARN, which has the Region. A name that ends with ".fifo" is
	// that of a FIFO topic.
	TopicARN string `yaml:"topic_arn"`
	// Body is the form of a message: one of Bodies (default "json").
	Body string `yaml:"body"`
	// MaxMessage bounds a message with its attributes, and a request of ten: 1 KiB to 1 MiB
	// (default 256 KiB). A larger record goes to the dead letter.
	MaxMessage setting.Size `yaml:"max_message"`
}

// DefaultConfig returns a Config that lacks a TopicARN only.
func DefaultConfig() Config {
	return Config{Settings: awssink.DefaultSettings(30 * time.Second), Body: "json", MaxMessage: 256 << 10}
}

// BodyMail is the body that people read: a few lines of text.
const BodyMail = "mail"

// Bodies returns the forms that a message can have.
func Bodies() []string { return append(awssink.Bodies(), BodyMail) }

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Check(&p)
	topic, err := arn.Parse(c.TopicARN)
	switch {
	case c.TopicARN == "":
		p.Add("topic_arn", "is missing; want the topic's ARN, such as arn:aws:sns:eu-central-1:111122223333:keytrail")
	case err != nil || topic.Service != "sns" || topic.Region == "" || topic.Resource == "" ||
		strings.Contains(topic.Resource, ":"):
		p.Add("topic_arn", "%q is not the ARN of a topic; want one such as "+
			"arn:aws:sns:eu-central-1:111122223333:keytrail", c.TopicARN)
	case c.Region != "" && c.Region != topic.Region:
		p.Add("region", "%q is not the topic's region, %q; leave it out", c.Region, topic.Region)
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	setting.Between(&p, "max_message", c.MaxMessage, 1<<10, 1<<20)
	return p.Err()
}

// Sink publishes messages to one topic. It implements sink.Sink and is safe for concurrent
// use.
type Sink struct {
	awssink.Door
	api   *awssns.Client
	topic string
}

// Open returns a Sink for the topic that c names. It sends nothing.
func (c *Config) Open(sink.Identity) (sink.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an SNS sink: %w", err)
	}
	settings := c.Settings
	if topic, err := arn.Parse(c.TopicARN); err == nil {
		settings.Region = topic.Region
	}
	cfg, err := settings.Load()
	if err != nil {
		return nil, err
	}
	s := &Sink{api: awssns.NewFromConfig(cfg), topic: c.TopicARN}
	s.Door = awssink.Door{Send: s.send, Turn: sink.Turn, Most: int(c.MaxMessage),
		FIFO: strings.HasSuffix(c.TopicARN, ".fifo"), Writer: awssink.WriterOf(c.Body), Subject: subject}
	if c.Body == BodyMail {
		s.Writer = func() awssink.Writer { return mail{} }
	}
	return s, nil
}

func (s *Sink) send(ctx context.Context, messages []awssink.Message) (awssink.Faults, error) {
	in := &awssns.PublishBatchInput{TopicArn: &s.topic}
	for i, m := range messages {
		e := types.PublishBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), Message: aws.String(m.Body),
			MessageAttributes: map[string]types.MessageAttributeValue{}}
		if m.Subject != "" {
			e.Subject = aws.String(m.Subject)
		}
		for _, a := range m.Attributes {
			e.MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: aws.String("String"),
				StringValue: aws.String(a.Value)}
		}
		if m.Group != "" {
			e.MessageGroupId, e.MessageDeduplicationId = aws.String(m.Group), aws.String(m.Dedup)
		}
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, e)
	}
	out, err := s.api.PublishBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	faults := awssink.NewFaults(len(messages))
	for _, one := range out.Successful {
		faults.Taken(aws.ToString(one.Id))
	}
	for _, one := range out.Failed {
		faults.Failed(aws.ToString(one.Id), aws.ToString(one.Code), aws.ToString(one.Message), one.SenderFault)
	}
	return faults, nil
}
