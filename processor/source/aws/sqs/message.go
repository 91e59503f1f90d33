package sqs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/s3"
	"keytrail/schemas/aws/notification"
)

// accept takes a received message and returns the objects to read for it. It returns a
// message that was given up before: it must become visible at once, so that the redrive
// policy can count its receives.
func (s *Source) accept(ctx context.Context, in *types.Message) ([]source.Object, *message) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Received++
	id, until := aws.ToString(in.MessageId), now.Add(s.cfg.Visibility)
	if m := s.messages[id]; m != nil { // its visibility ended while it was held
		m.systemAttributes(in)
		m.received, m.until, m.returned = now, until, false
		return nil, nil
	}
	m := &message{id: id, received: now, until: until}
	m.systemAttributes(in)
	if slices.Contains(s.poison, id) {
		return nil, m
	}
	s.messages[id] = m
	return s.read(ctx, m, []byte(aws.ToString(in.Body))), nil
}

// read returns the targets of a message.
func (s *Source) read(ctx context.Context, m *message, body []byte) []source.Object {
	msg := notification.Parse(body, notification.Limits{})
	for _, n := range msg.Notices {
		s.log("queue %q: %s", s.cfg.QueueURL, n.Detail)
	}
	s.stats.Unwanted += int64(len(msg.Skipped))
	var ready []source.Object
	add := func(id string, o source.Object) {
		if t := s.wait(m, id, o); t != nil {
			ready = append(ready, t.object)
		}
	}
	for i := range msg.Objects {
		o := &msg.Objects[i]
		f, fault := notification.ParseKey(o.Key)
		switch kind := f.Kind; {
		case len(s.cfg.Buckets) > 0 && !slices.Contains(s.cfg.Buckets, o.Bucket):
			name := s.place(m) + " " + o.Bucket + "/" + o.Key
			add(name, rejected(
				name, source.ReasonForeign, "the message names an object of bucket "+o.Bucket+", from which this source does "+
					"not read", body))
		case fault != "":
			s.strays.Add(o.Bucket, o.Key, string(fault), fault.Detail())
		case kind == notification.FileDigest || kind == notification.FileInsight || kind == notification.FileAggregate:
			s.stats.Unwanted++ // they contain no KMS calls
		default:
			r := s3.Ref{Bucket: o.Bucket, Key: o.Key, Version: o.VersionID, Region: o.Region, ETag: o.ETag, Size: o.Size}
			object := s.objects.Object(ctx, r)
			add(targetID(&object), object)
		}
	}
	for i := range msg.Bad {
		b := &msg.Bad[i]
		name := s.place(m)
		if b.Where != "" {
			name += " " + b.Where
		}
		if b.MayHoldEvents() {
			raw := b.Raw
			open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }
			add(name, source.Object{Name: name, Size: int64(len(raw)), Inline: raw, Open: open})
		} else {
			add(name, rejected(name, string(b.Reason), b.Detail, b.Raw))
		}
	}
	return ready
}

// place names a message for a person.
func (s *Source) place(m *message) string { return s.cfg.QueueURL + "#" + m.id }

// rejected returns an object that cannot be read, so that its dead letter is written.
func rejected(name, reason, detail string, raw []byte) source.Object {
	err := &source.Rejected{Reason: reason, Detail: detail, Raw: raw}
	return source.Object{Name: name, Size: int64(len(
		raw)), Inline: raw, Open: func() (io.ReadCloser, error) { return nil, err }}
}

// targetID distinguishes contents: the same key may be written twice.
func targetID(o *source.Object) string { return o.Name + "\x00" + o.ETag }

// wait makes m wait for an object, and returns its target if it must be read: not if
// another message waits for it already.
func (s *Source) wait(m *message, id string, o source.Object) *target {
	m.open++
	if t := s.targets[id]; t != nil {
		t.messages = append(t.messages, m)
		if t.parked {
			m.parked++
		}
		s.stats.Duplicate++
		return nil
	}
	t := &target{object: o, id: id, messages: []*message{m}, since: s.cfg.Now()}
	t.object.Open = func() (io.ReadCloser, error) {
		body, err := o.Open()
		if err != nil {
			return nil, err
		}
		return watched{body, &t.read}, nil
	}
	s.targets[id] = t
	return t
}

// watched records when a body was read to its end.
type watched struct {
	io.ReadCloser
	read *atomic.Bool
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err == io.EOF {
		w.read.Store(true)
	}
	return n, err
}

// find returns the target of an object of Poll, or nil.
func (s *Source) find(o *source.Object) *target {
	if t := s.targets[targetID(o)]; t != nil {
		return t
	}
	return s.targets[o.Name]
}

// Done marks an object of Poll as done. The next Save deletes its messages.
func (s *Source) Done(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.find(&o); t != nil {
		s.retries.Done(t.id)
		s.park(t, false)
		if t.last != nil {
			s.giveUp(t)
		}
		delete(s.targets, t.id)
		for _, m := range t.messages {
			m.open--
		}
	}
}

// Park sets an object aside that was read, but is not Done soon: its messages stay
// hidden, and no longer count as held. Done or Retry follows.
func (s *Source) Park(o source.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.find(&o); t != nil {
		s.retries.Park(t.id, t.object, s.cfg.Now())
		s.park(t, true)
	}
}

// park records whether a target is on the retry list.
func (s *Source) park(t *target, parked bool) {
	if t.parked == parked {
		return
	}
	t.parked = parked
	for _, m := range t.messages {
		if parked {
			m.parked++
		} else {
			m.parked--
		}
	}
}

// Retry returns an object that could not be read because of err: a later Poll offers it again.
// It reports false if the object must be given up: the caller writes its dead letter and calls
// Done, or returns it with source.ErrUnrecorded. Messages of a damaged or missing object are
// then deleted; those of an object that ran out of time are left to the redrive policy.
func (s *Source) Retry(o source.Object, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.find(&o)
	if t == nil {
		return true // nothing waits for it any more
	}
	now := s.cfg.Now()
	t.last = nil
	t.read.Store(false)
	if !s.retries.Failed(t.id, t.object, source.Judge(err), now) {
		return false
	}
	if errors.Is(err, source.ErrUnrecorded) {
		t.rest = now.Add(lastPause) // also if its message may be lost soon
	} else if m := s.lastOf(t, now); m != nil {
		s.retries.Take(t.id) // for good
		s.park(t, false)
		t.last = m
		return false
	}
	s.park(t, true)
	return true
}

// lastOf returns one of the target's messages if another try may lose all of them, else nil; it
// includes targets whose dead letter is written.
func (s *Source) lastOf(t *target, now time.Time) (last *message) {
	if t.recorded {
		return nil
	}
	for _, last = range t.messages {
		if !s.lost(last, now.Add(lastChance)) {
			return nil
		}
	}
	return last
}

// giveUp marks the messages of a target that waited as long as the queue allows, and
// whose dead letter is safe.
func (s *Source) giveUp(t *target) {
	for _, m := range t.messages {
		m.poison = true
	}
	s.log("queue %q: %q could not be read within its message's lifetime (received %d times, sent %s): its dead "+
		"letter is written, and the message is given up",
		s.cfg.QueueURL, t.object.Name, t.last.count, t.last.sent.UTC().Format(time.RFC3339))
}
