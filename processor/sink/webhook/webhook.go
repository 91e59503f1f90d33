// Package webhook holds the sinks that post JSON to a URL: records to any receiver
// (webhook), and anomalies to people and incident systems (slack, teams, pagerduty,
// alertmanager).
//
// A format makes requests of a batch. Deliver sends them in order and stops at the first
// that fails, and after sink.Turn, so that the records before are not sent again. A request
// that is refused for its content is halved by package sink until the record at fault is
// alone.
//
// The sinks for anomalies are about anomalies, not about records: of a batch they send the
// newest revision of each. All but Alertmanager's send an anomaly when it is new, when its
// severity rises and when it ends; they remember the last mostTold anomalies for that.
//
// Data never chooses a URL, a header or a name of a member. The URL of a webhook is a
// secret: see httpsink.Hook.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// message is one request.
type message struct {
	records []int // the places in the batch of the records that it tells of
	content []byte
	media   string
	header  func() map[string]string // returns the headers of one attempt; nil: none
	alerts  []*alert                 // those that it tells of
}

// format is what a receiver wants. Its methods are safe for concurrent use.
type format interface {
	// messages returns the requests for a batch. Records that it cannot encode go to bad.
	// A record in no message needs none.
	messages(ctx context.Context, batch []sink.Record, bad *sink.Rejected) ([]message, error)
	// judge returns what an answer means for the records of its message.
	judge(a *httpsink.Answer) error
	// done notes that a message was taken.
	done(m *message)
}

// Sink sends to one receiver. It implements sink.Paced and is safe for concurrent use.
type Sink struct {
	client *httpsink.Client
	path   string // is added to the address
	format format
	pace   *pace         // nil: no bound
	turn   time.Duration // sink.Turn; shorter in tests
}

// Close closes idle connections.
func (s *Sink) Close() error { return s.client.Close() }

// Pause returns how long the next message has to wait.
func (s *Sink) Pause() time.Duration { return s.pace.left() }

// Deliver sends the batch in as many requests as the format makes of it.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	bad := &sink.Rejected{Reason: sink.ReasonInvalid}
	list, err := s.format.messages(ctx, batch, bad)
	if err != nil {
		return err
	}
	var refused error
	if bad.Records != nil {
		refused = bad
	}
	begin := time.Now()
	for i := range list {
		if i > 0 && time.Since(begin) >= s.turn {
			return errors.Join(refused, sink.Stopped(len(batch), nil, nil, recordsOf(list[i:])))
		}
		if err := s.send(ctx, &list[i]); err != nil {
			stopped := sink.Stopped(len(batch), err, list[i].records, recordsOf(list[i+1:]))
			return errors.Join(refused, stopped)
		}
		s.format.done(&list[i])
		s.pace.sent()
	}
	return refused
}

// recordsOf returns the places of the records of messages.
func recordsOf(list []message) (records []int) {
	for i := range list {
		records = append(records, list[i].records...)
	}
	return records
}

// send sends one message.
func (s *Sink) send(ctx context.Context, m *message) error {
	r := httpsink.Request{Path: s.path, Type: m.media, Body: [][]byte{m.content}}
	if m.header != nil {
		r.Header = m.header()
	}
	a, err := s.client.Do(ctx, r)
	if err != nil {
		return err
	}
	return s.format.judge(a)
}

// verdict is judge for receivers whose success needs no proof in the body.
func verdict(a *httpsink.Answer) error {
	if !a.OK() {
		return a.Verdict(a.Words())
	}
	if a.Media() == "text/html" || !a.Whole {
		return httpsink.NotProtocol("status %d with a page of HTML, or an answer without an end: %s", a.Status, a.Words())
	}
	return nil
}

// unreadable returns the pause of a sink whose secret cannot be read.
func unreadable(name string, err error) error {
	return &sink.Paused{Cause: sink.CauseCredentials, Err: fmt.Errorf("%s: %w", name, err)}
}
