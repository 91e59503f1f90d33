// Package lookup reads CloudTrail's event history, LookupEvents, for accounts without a
// trail. The history reaches back 90 days, has management events only (all KMS calls
// are), and returns pages of 50 events, newest first. AWS allows two requests a second
// per account and region: at most 8.6 million events a day.
//
// A Source walks through time in slices and remembers its progress; a Client reads the
// events with one attribute.
//
// Source: CloudTrail API Reference, LookupEvents; CloudTrail User Guide, "Viewing
// events with CloudTrail event history".
package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
)

// Retention is the reach of the event history.
const Retention = 90 * 24 * time.Hour

// pace is the time between two requests to one region: a little more than the allowed
// half second, because others in the account may look up, too.
const pace = 550 * time.Millisecond

// pageSize is the maximum number of events in one answer.
const pageSize = 50

// Attribute selects events by one of their attributes. The zero value selects all.
type Attribute struct{ Name, Value string }

// AttributeNames returns the names of LookupEvents's attributes.
func AttributeNames() (names []string) {
	for _, k := range types.LookupAttributeKey("").Values() {
		names = append(names, string(k))
	}
	return names
}

// ParseAttribute parses NAME=VALUE.
func ParseAttribute(text string) (Attribute, error) {
	name, value, ok := strings.Cut(text, "=")
	if names := AttributeNames(); !ok || value == "" || !slices.Contains(names, name) {
		return Attribute{}, fmt.Errorf("cannot look up %q: want NAME=VALUE with one of the names %s", text,
			strings.Join(names, ", "))
	}
	return Attribute{name, value}, nil
}

// Client looks events up. It is safe for concurrent use, and its users share the pace of
// each region.
type Client struct {
	api    *cloudtrail.Client
	region string

	mu   sync.Mutex // guards next
	next map[string]time.Time
}

// NewClient returns a Client. It makes no call.
func NewClient(cfg aws.Config) *Client {
	return &Client{api: cloudtrail.NewFromConfig(cfg), region: cfg.Region, next: map[string]time.Time{}}
}

// Region returns the client's own region.
func (c *Client) Region() string { return c.region }

// Query selects events.
type Query struct {
	Region string
	// Attributes are looked up one after another, as LookupEvents accepts one at a time.
	// An empty list looks up all events.
	Attributes []Attribute
	// From and To bound the event time, [From, To), in whole seconds.
	From, To time.Time
}

// Open returns a reader of the events, one JSON object per line in CloudTrail's words,
// newest first. It ends when ctx is done. The reader is for one goroutine.
func (c *Client) Open(ctx context.Context, q Query) io.ReadCloser {
	if len(q.Attributes) == 0 {
		q.Attributes = []Attribute{{}}
	}
	return &reader{ctx: ctx, client: c, query: q}
}

// reader reads the answers to one query page by page, about 100 kB each.
type reader struct {
	ctx    context.Context
	client *Client
	query  Query
	token  *string
	page   []byte
	err    error
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.page) == 0 && r.err == nil {
		r.err = r.fill()
	}
	if len(r.page) == 0 {
		return 0, r.err
	}
	n := copy(p, r.page)
	r.page = r.page[n:]
	return n, nil
}

// Close ends the reading.
func (r *reader) Close() error {
	r.page, r.err = nil, io.ErrClosedPipe
	return nil
}

// fill requests the next page. It returns io.EOF after the last.
func (r *reader) fill() error {
	if len(r.query.Attributes) == 0 {
		return io.EOF
	}
	attribute := r.query.Attributes[0]
	in := &cloudtrail.LookupEventsInput{
		StartTime: aws.Time(r.query.From), EndTime: aws.Time(r.query.To.Add(-time.Second)), // both inclusive
		MaxResults: aws.Int32(pageSize), NextToken: r.token,
	}
	if attribute.Name != "" {
		in.LookupAttributes = []types.LookupAttribute{{AttributeKey: types.LookupAttributeKey(attribute.Name),
			AttributeValue: &attribute.Value}}
	}
	if err := r.client.wait(r.ctx, r.query.Region); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, client.RequestTimeout)
	defer cancel()
	out, err := r.client.api.LookupEvents(ctx, in, func(o *cloudtrail.Options) {
		if r.query.Region != "" {
			o.Region = r.query.Region
		}
	})
	if err != nil {
		err = fmt.Errorf("cannot look up events in %s: %w", r.query.Region, client.Short(err))
		if client.Forbidden(err) {
			err = source.Denied(err)
		}
		return err
	}
	for i := range out.Events {
		r.page = append(appendEvent(r.page, &out.Events[i]), '\n')
	}
	if r.token = out.NextToken; r.token == nil {
		r.query.Attributes = r.query.Attributes[1:]
	}
	return nil
}

// appendEvent appends CloudTrail's event. Without one it appends a substitute that
// becomes a dead letter.
func appendEvent(dst []byte, e *types.Event) []byte {
	if text := aws.ToString(e.CloudTrailEvent); strings.TrimSpace(text) != "" {
		return append(dst, text...)
	}
	b, err := json.Marshal(map[string]string{"EventId": aws.ToString(e.EventId), "EventName": aws.ToString(e.EventName)})
	if err != nil { // strings always encode
		panic("BUG: cannot encode an event's id: " + err.Error())
	}
	return append(dst, b...)
}

// wait keeps the pace of a region.
func (c *Client) wait(ctx context.Context, region string) error {
	c.mu.Lock()
	now := time.Now()
	at := c.next[region]
	if at.Before(now) {
		at = now
	}
	c.next[region] = at.Add(pace)
	c.mu.Unlock()
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
