// Package splunkhec is the sink that speaks Splunk's HTTP Event Collector (HEC).
//
// A request holds events one after another, at most MaxRequest bytes of them. Each has the
// record's time, the configured index, source, sourcetype and host, the record in one of
// the JSON bodies, and its ids as indexed fields (package ids). Splunk has no upsert, so a
// search drops copies by these ids.
//
// With Config.Ack "require" a request is delivered when the indexers have acknowledged it.
// The sink asks for that with growing pauses, up to Config.AckTimeout, and then sends the
// events again. Splunk says "true" once per acknowledgement and forgets it; the events are
// therefore also sent again when the answer to such a question is lost. A token that gives
// no acknowledgements pauses the sink.
//
// An answer's meaning comes from its code, in the table codes. The receiver's number of the
// event at fault is not used, because servers disagree whether it starts from 0 or 1, and
// whether the events before it were taken. Package httpsink judges answers without a code.
//
// Before the first request and after each failure the sink asks for the receiver's health
// and, with acknowledgements, for those of its channel, so that neither a full queue nor a
// wrong token costs a copy of the events.
//
// Source: Splunk documentation, "Format events for HTTP Event Collector", "About HTTP Event
// Collector Indexer Acknowledgment" and "Troubleshoot HTTP Event Collector".
package splunkhec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

const (
	basePath    = "/services/collector"
	eventPath   = basePath + "/event"
	ackPath     = basePath + "/ack"
	healthPath  = basePath + "/health"
	contentType = "application/json"
)

// MaxRequest bounds the events of one request before compression: 1 MiB, as Splunk Cloud
// recommends. A larger event has its own request.
const MaxRequest = 1 << 20

// Sink sends log records to one receiver. It is safe for concurrent use.
type Sink struct {
	c        Config
	client   *httpsink.Client
	encoders sync.Pool     // of *encoder
	ready    atomic.Bool   // the receiver has said that it takes events
	first    time.Duration // firstPause; shorter in tests
	turn     time.Duration // sink.Turn; shorter in tests
	most     int           // MaxRequest; smaller in tests
	brake    brake
	channels channels
}

// New returns a Sink for the receiver that c names. It reads the files of c.TLS and opens no
// connection.
func New(c *Config) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a Splunk sink: %w", err)
	}
	client, err := c.Settings.Open()
	if err != nil {
		return nil, err
	}
	s := &Sink{c: *c, client: client, first: firstPause, turn: sink.Turn, most: MaxRequest}
	s.encoders.New = func() any { return newEncoder(&s.c) }
	return s, nil
}

// newChannel returns a random GUID (RFC 9562, version 4).
func newChannel() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Close closes idle connections.
func (s *Sink) Close() error { return s.client.Close() }

// Deliver sends the batch in as few requests as MaxRequest allows and waits until each is
// acknowledged. It stops at the first request that fails, and after sink.Turn.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	channel := "" // without acknowledgements
	if s.c.Ack == AckRequire {
		channel = s.channels.take()
		defer func() { s.channels.put(channel) }()
	}
	if err := s.begin(ctx, channel); err != nil {
		return err
	}
	e := s.encoders.Get().(*encoder)
	defer s.encoders.Put(e)
	d := delivery{acks: acks{sink: s, channel: channel}}
	var failed error
	begin := time.Now()
	for from := 0; from < len(batch); {
		if failed != nil || from > 0 && time.Since(begin) >= s.turn {
			d.unsent = appendRange(d.unsent, from, len(batch))
			break
		}
		part, to := e.fill(batch, from, s.most, &d.bad)
		if len(part) > 0 {
			if failed = d.send(ctx, e.buf, part); failed != nil {
				d.left = append(d.left, part...)
			}
		}
		from = to
	}
	d.acks.wait(ctx)
	d.left, failed = append(d.left, d.acks.late...), errors.Join(failed, d.acks.err)
	if failed != nil {
		s.ready.Store(false)
	}
	return d.outcome(failed, len(batch))
}

// delivery is what has happened to a batch.
type delivery struct {
	acks   acks
	bad    sink.Rejected // the records that have no body
	left   []int         // the records to be sent again
	unsent []int
}

// send sends the events of one request: those of the records at part.
func (d *delivery) send(ctx context.Context, events []byte, part []int) error {
	s := d.acks.sink
	if err := s.brake.wait(ctx); err != nil {
		return err
	}
	a, err := s.post(ctx, d.acks.channel, eventPath, events, "")
	if err != nil {
		if !errors.As(err, new(*sink.Paused)) { // it may have been taken
			d.acks.unsure(err)
		}
		return err
	}
	said, err := s.judge(a, false)
	if err != nil {
		// A gateway that lost the answer does not know either whether the request was taken.
		if a.OK() || a.Status == http.StatusBadGateway || a.Status == http.StatusGatewayTimeout {
			d.acks.unsure(err)
		}
		return err
	}
	s.brake.note(said.code == codeQueueNear || said.code == codeAckNear)
	if d.acks.channel == "" {
		return nil
	}
	if said.AckID == nil {
		return &sink.Paused{Cause: sink.CauseProtocol, Err: errors.New("the receiver took a request without an ackId; " +
			"turn on indexer acknowledgement for the token, or set ack: off")}
	}
	return d.acks.add(*said.AckID, cookies(a.Header), part)
}

// outcome returns the result of a batch of n records as an error of package sink.
func (d *delivery) outcome(failed error, n int) error {
	failed = sink.Stopped(n, failed, d.left, d.unsent)
	if d.bad.Records == nil {
		return failed
	}
	d.bad.Reason = sink.ReasonInvalid
	return errors.Join(&d.bad, failed)
}

// post sends a request with the token and the channel. cookie may name the node to ask.
func (s *Sink) post(ctx context.Context, channel, path string, content []byte, cookie string) (
	*httpsink.Answer, error,
) {
	return s.do(ctx, channel, httpsink.Request{Path: path, Type: contentType, Body: [][]byte{content}}, cookie)
}

func (s *Sink) do(ctx context.Context, channel string, r httpsink.Request, cookie string) (*httpsink.Answer, error) {
	token, err := s.c.Token.Read(ctx)
	if err != nil {
		return nil, &sink.Paused{Cause: sink.CauseCredentials, Err: fmt.Errorf("token: %w", err)}
	}
	r.Header = map[string]string{"Authorization": "Splunk " + token}
	if channel != "" {
		r.Header["X-Splunk-Request-Channel"] = channel
	}
	if cookie != "" {
		r.Header["Cookie"] = cookie
	}
	return s.client.Do(ctx, r)
}

// cookies returns the cookies of an answer as a request has them. A load balancer uses them
// to send later requests to the same node, which alone knows its acknowledgements.
func cookies(h http.Header) string {
	var list []string
	for _, c := range (&http.Response{Header: h}).Cookies() {
		list = append(list, c.Name+"="+c.Value)
	}
	return strings.Join(list, "; ")
}

func appendRange(list []int, from, to int) []int {
	for ; from < to; from++ {
		list = append(list, from)
	}
	return list
}
