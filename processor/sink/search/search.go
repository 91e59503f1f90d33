// Package search is the sink that writes to Elasticsearch and OpenSearch with the _bulk API.
//
// A window or an anomaly is one document, whose id is ours and whose external version is its
// revision: the receiver keeps the newest revision, in whatever order they arrive. Its index
// is named by its own time (a window's start; when an anomaly began), so that all revisions
// meet in one index. An event is created once under its id. Every delivery can therefore be
// repeated: a conflict of versions (409) says that the document, or a newer one, is there.
// Events can go to a data stream instead. The receiver compares ids only within the stream's
// newest index, so an event that is sent again across a rollover is stored twice.
//
// A Sink judges every item of an answer (answer.go). An item is delivered, refused, sent
// again or, if its index cannot be written to, reason to pause the sink. A batch that is
// refused as a whole is halved, down to one document: by the caller, or by the Sink if the
// batch takes several requests.
//
// Bounds: a request has up to 5 MiB of documents, or one document of up to 10 MiB; at most
// httpsink.MaxAnswer bytes of an answer are read.
//
// Sources: the reference of the _bulk API, and what OpenSearch 2.19 and 3.9 answered to each
// case of the table in search_real_test.go.
package search

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
)

// The bounds of one request. Receivers take 100 MB (http.max_content_length), and work best
// with a few MiB.
const (
	requestBytes  = 5 << 20
	documentBytes = 10 << 20
	// requestItems bounds an answer: an item that is refused takes up to 500 bytes of it.
	requestItems = 2000
)

const (
	bulkPath = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason," +
		"items.*.error.caused_by.reason,items.*.failure_store"
	// bulkType is the type that both receivers take. OpenSearch refuses Elastic's own.
	bulkType = "application/x-ndjson"
	jsonType = "application/json"
)

// Sink writes documents to one cluster. It implements sink.Sink and is safe for concurrent
// use.
type Sink struct {
	client *httpsink.Client
	auth   auth
	index  Index
	works  sync.Pool // of *work

	turn time.Duration // sink.Turn; shorter in tests

	mu     sync.Mutex
	stream bool // the data stream is there, or there is none to look for; guarded by mu
}

// work is the memory of one delivery.
type work struct {
	rec     otellog.Record
	encoder body.Encoder
	buf     []byte
	docs    []doc
}

// doc is one document of a request: buf[from:to] holds its action and its source.
type doc struct {
	from, to int
	record   int // its place in the batch
	op       string
}

func newSink(c *Settings) (*Sink, error) {
	client, err := c.Settings.Open()
	if err != nil {
		return nil, err
	}
	s := &Sink{client: client, auth: c.auth(), index: c.Index, turn: sink.Turn, stream: c.Index.Events != Stream}
	s.works.New = func() any {
		encoder, err := body.New(c.Body)
		if err != nil {
			panic("BUG: " + err.Error()) // Validate knows the body
		}
		return &work{encoder: encoder}
	}
	return s, nil
}

// Deliver sends the batch in requests of up to 5 MiB and waits for their answers. It stops at
// the first request that fails as a whole, and after sink.Turn.
func (s *Sink) Deliver(ctx context.Context, batch []sink.Record) error {
	if err := s.findStream(ctx); err != nil {
		return err
	}
	d := &delivery{sink: s, work: s.works.Get().(*work)}
	defer s.works.Put(d.work)
	begin := time.Now()
	for next := 0; next < len(batch); {
		if d.stopped || next > 0 && time.Since(begin) >= s.turn {
			d.unsent = append(d.unsent, next)
			next++
			continue
		}
		next = d.fill(batch, next)
		d.whole = len(d.docs) == len(batch)
		d.send(ctx, d.docs)
	}
	return d.end(len(batch))
}

// Close closes idle connections.
func (s *Sink) Close() error { return s.client.Close() }

// delivery is one call of Deliver.
type delivery struct {
	*work
	sink     *Sink
	rejected []error // of type *sink.Rejected, one for each record
	again    []int   // records to be sent again
	failed   error   // why
	stopped  bool    // a request failed as a whole; no other is sent
	unsent   []int
	known    int  // records that the receiver had already
	whole    bool // the request that fill made has all records of the batch
}

// fill encodes the documents of the next request, from batch[next] on, and returns the place
// in the batch behind them. It rejects records that it cannot encode.
func (d *delivery) fill(batch []sink.Record, next int) int {
	d.buf, d.docs = d.buf[:0], d.docs[:0]
	for ; next < len(batch) && len(d.docs) < requestItems; next++ {
		from := len(d.buf)
		op, err := d.add(&d.sink.index, &batch[next])
		size := len(d.buf) - from
		switch {
		case err != nil:
			d.reject(next, sink.ReasonInvalid, err)
		case size > documentBytes:
			d.reject(next, sink.ReasonTooLarge,
				fmt.Errorf("the document has %d bytes; at most %d are sent", size, documentBytes))
		case from > 0 && len(d.buf) > requestBytes:
			d.buf = d.buf[:from]
			return next
		default:
			d.docs = append(d.docs, doc{from, len(d.buf), next, op})
			continue
		}
		d.buf = d.buf[:from]
	}
	return next
}

// send sends documents and notes the verdicts on them.
func (d *delivery) send(ctx context.Context, docs []doc) {
	if len(docs) == 0 {
		return
	}
	if d.stopped {
		for i := range docs {
			d.unsent = append(d.unsent, docs[i].record)
		}
		return
	}
	request := httpsink.Request{Path: bulkPath, Type: bulkType, Body: [][]byte{d.buf[docs[0].from:docs[len(docs)-1].to]}}
	answer, err := d.sink.do(ctx, request)
	if err == nil && answer.OK() {
		err = d.judge(answer, docs)
	} else if err == nil {
		err = verdict(answer)
	}
	var refused *sink.Rejected
	switch {
	case err == nil:
	case !errors.As(err, &refused) || d.whole: // the caller halves a whole batch
		d.stopped = true
		for i := range docs {
			d.retry(docs[i].record, err)
		}
	case len(docs) == 1:
		d.reject(docs[0].record, refused.Reason, refused.Err)
	default:
		half := len(docs) / 2
		d.send(ctx, docs[:half])
		d.send(ctx, docs[half:])
	}
}

func (d *delivery) reject(record int, reason sink.Reason, why error) {
	d.rejected = append(d.rejected, &sink.Rejected{Records: []int{record}, Reason: reason, Err: why})
}

// end returns the verdict on the whole batch of n records.
func (d *delivery) end(n int) error {
	all := append(d.rejected, sink.Stopped(n, d.failed, d.again, d.unsent))
	if d.known > 0 {
		all = append(all, &sink.Duplicate{Records: d.known})
	}
	return errors.Join(all...)
}

// do sends a request with the sink's credentials.
func (s *Sink) do(ctx context.Context, r httpsink.Request) (*httpsink.Answer, error) {
	header, err := s.auth.header(ctx)
	if err != nil {
		return nil, &sink.Paused{Cause: sink.CauseCredentials, Err: err}
	}
	r.Secrets = header
	answer, err := s.client.Do(ctx, r)
	if err == nil && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden) {
		s.auth.forget()
	}
	return answer, err
}

// findStream makes the data stream of events, once. The receiver makes it from the template
// that "keytrail sinks setup" installs; without the template the first event would make an
// index of that name, which never rolls over.
func (s *Sink) findStream(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream {
		return nil
	}
	path := "/_data_stream/" + s.index.stream()
	answer, err := s.do(ctx, httpsink.Request{Method: http.MethodGet, Path: path})
	if err == nil && answer.Status == http.StatusNotFound {
		answer, err = s.do(ctx, httpsink.Request{Method: http.MethodPut, Path: path})
	}
	switch {
	case err != nil:
		return err
	case answer.OK(), answer.Status == http.StatusForbidden: // those who may only write may not look
		s.stream = true
		return nil
	}
	why := failureOf(answer.Body)
	if why.Type == "resource_already_exists_exception" { // another process was faster
		s.stream = true
		return nil
	}
	if answer.Status == http.StatusBadRequest {
		return &sink.Paused{Cause: sink.CauseTarget, Err: fmt.Errorf(
			"there is no data stream %q and it cannot be made: %s; run keytrail sinks setup", s.index.stream(), why)}
	}
	return verdict(answer)
}
