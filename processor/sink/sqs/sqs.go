// Package sqs is the sink that sends records as messages to a queue of Amazon SQS.
//
// Guarantees: a record is delivered when SQS has said so of its own message. Refused
// messages go to the dead letter, the others of their request do not. Delivery to a standard
// queue is at least once, with ids in the body and the attributes. A FIFO queue drops
// repetitions within five minutes, and keeps the order of the records of one entity.
//
// Source: SQS API Reference, SendMessageBatch; Developer Guide, "Amazon SQS message quotas".
package sqs

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/awssink"
)

// Config says which queue messages go to and in which form.
type Config struct {
	awssink.Settings `yaml:",inline"`
	// QueueURL is the queue's URL. A name that ends with ".fifo" is that of a FIFO queue.
	QueueURL string `yaml:"queue_url"`
	// Body is the form of a message: one of Bodies (default "json").
	Body string `yaml:"body"`
	// MaxMessage bounds a message with its attributes, and a request of ten: 1 KiB to 1 MiB
	// (default 256 KiB). A larger record goes to the dead letter.
	MaxMessage setting.Size `yaml:"max_message"`
}

// DefaultConfig returns a Config that lacks a QueueURL only.
func DefaultConfig() Config {
	return Config{Settings: awssink.DefaultSettings(30 * time.Second), Body: "json", MaxMessage: 256 << 10}
}

// Bodies returns the forms that a message can have.
func Bodies() []string { return awssink.Bodies() }

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Check(&p)
	u, err := url.Parse(c.QueueURL)
	switch {
	case c.QueueURL == "":
		p.Add("queue_url", `is missing; want the queue's URL, as the console shows it`)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Count(u.Path, "/") != 2:
		p.Add("queue_url", "%q is not the URL of a queue; want scheme://host/account/name", c.QueueURL)
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	setting.Between(&p, "max_message", c.MaxMessage, 1<<10, 1<<20)
	return p.Err()
}

// Sink sends messages to one queue. It implements sink.Sink and is safe for concurrent use.
type Sink struct {
	awssink.Door
	api *awssqs.Client
	url string
}

// Open returns a Sink for the queue that c names. It sends nothing.
func (c *Config) Open(sink.Identity) (sink.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an SQS sink: %w", err)
	}
	cfg, err := c.Load()
	if err != nil {
		return nil, err
	}
	s := &Sink{api: awssqs.NewFromConfig(cfg), url: c.QueueURL}
	s.Door = awssink.Door{Send: s.send, Turn: sink.Turn, Most: int(c.MaxMessage),
		FIFO: strings.HasSuffix(c.QueueURL, ".fifo"), Writer: awssink.WriterOf(c.Body)}
	return s, nil
}

func (s *Sink) send(ctx context.Context, messages []awssink.Message) (awssink.Faults, error) {
	in := &awssqs.SendMessageBatchInput{QueueUrl: &s.url}
	for i, m := range messages {
		e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(m.Body),
			MessageAttributes: map[string]types.MessageAttributeValue{}}
		for _, a := range m.Attributes {
			e.MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: aws.String("String"),
				StringValue: aws.String(a.Value)}
		}
		if m.Group != "" {
			e.MessageGroupId, e.MessageDeduplicationId = aws.String(m.Group), aws.String(m.Dedup)
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := s.api.SendMessageBatch(ctx, in)
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
