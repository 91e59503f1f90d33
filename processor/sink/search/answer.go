package search

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// item is the answer to one document.
type item struct {
	op           string
	Status       int      `json:"status"`
	Error        *failure `json:"error"`
	FailureStore string   `json:"failure_store"`
}

// failure is why a document or a request is refused.
type failure struct {
	Type     string   `json:"type"`
	Reason   string   `json:"reason"`
	CausedBy *failure `json:"caused_by"`
}

// String returns the receiver's words, fit for a log.
func (f *failure) String() string {
	if f == nil || f.Type == "" && f.Reason == "" {
		return "no reason given"
	}
	text := f.Type + ": " + f.Reason
	if f.CausedBy != nil && f.CausedBy.Reason != "" {
		text += " (" + f.CausedBy.Reason + ")"
	}
	return httpsink.Clean(text)
}

// judge notes the verdict on each document of a request that was answered with success. An
// error says that the answer is not one of the _bulk API.
func (d *delivery) judge(a *httpsink.Answer, docs []doc) error {
	items, err := itemsOf(a.Body)
	switch {
	case err != nil && (a.Whole || len(items) == 0), len(items) > len(docs), a.Whole && len(items) < len(docs):
		return httpsink.NotProtocol("status %d with %d bytes of %q, which do not answer %d items of a bulk request: %s",
			a.Status, len(a.Body), httpsink.Clean(a.Media()), len(docs), httpsink.Clean(string(a.Body)))
	}
	for i := range items {
		if items[i].op != docs[i].op {
			return httpsink.NotProtocol("status %d with an item %q for one of %s", a.Status,
				httpsink.Clean(items[i].op), docs[i].op)
		}
	}
	for i := range items {
		d.item(&items[i], docs[i].record)
	}
	for _, unknown := range docs[len(items):] {
		d.retry(unknown.record, &sink.Throttled{Err: fmt.Errorf("the answer has more than %d bytes, and its end was not read",
			len(a.Body))})
	}
	return nil
}

// item notes the verdict on one document:
//
//	200, 201                          delivered, or refused if the failure store has it
//	409 version_conflict              delivered: it is there, or a newer revision is
//	408, 429, 5xx, any other 409      sent again
//	401, 403, 404, or its words are
//	about the index (see aboutIndex)  the sink is paused
//	everything else                   refused
func (d *delivery) item(it *item, record int) {
	code := it.Status
	err := fmt.Errorf("status %d: %s", code, it.Error)
	pause := func(cause sink.Cause) { d.retry(record, &sink.Paused{Cause: cause, Err: err}) }
	switch {
	case code/100 == 2 && it.FailureStore == "used":
		d.reject(record, sink.ReasonInvalid,
			fmt.Errorf("status %d: the receiver refused the document and put it into its failure store", code))
	case code/100 == 2 && it.Error == nil:
		// delivered
	case code == http.StatusConflict && it.Error != nil && it.Error.Type == "version_conflict_engine_exception":
		d.known++
	case code == http.StatusConflict, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code/100 == 5:
		d.retry(record, &sink.Throttled{Err: err})
	case code == http.StatusUnauthorized, it.Error != nil && it.Error.Type == "security_exception":
		d.sink.auth.forget()
		pause(sink.CauseCredentials)
	case code == http.StatusForbidden, code == http.StatusNotFound, aboutIndex(it.Error):
		pause(sink.CauseTarget)
	case code == http.StatusRequestEntityTooLarge:
		d.reject(record, sink.ReasonTooLarge, err)
	case code/100 == 4:
		d.reject(record, sink.ReasonInvalid, err)
	default:
		pause(sink.CauseProtocol)
	}
}

// retry has a record sent again. Of the reasons it keeps the first, or the first pause.
func (d *delivery) retry(record int, why error) {
	d.again = append(d.again, record)
	if d.failed == nil || !isPause(d.failed) && isPause(why) {
		d.failed = why
	}
}

func isPause(err error) bool { return errors.As(err, new(*sink.Paused)) }

// aboutIndex reports whether words that come with status 400 are about the index, and not
// about the document: the same document passes once somebody has mended the index.
func aboutIndex(f *failure) bool {
	if f == nil {
		return false
	}
	switch f.Type {
	case "index_closed_exception", "invalid_index_name_exception",
		"validation_exception": // the cluster has as many shards as it may have
		return true
	case "illegal_argument_exception":
		for _, words := range []string{
			"Limit of total fields",                     // the mapping is full
			"op_type of create",                         // the index is a data stream
			"no write index is defined",                 // the name is an alias
			"more than one ind",                         // the same
			"pipeline with id",                          // a missing ingest pipeline
			"explicit index in bulk is not allowed",     // rest.action.multi.allow_explicit_index
			"can't be merged", "cannot be changed from", // the template and the index disagree
		} {
			if strings.Contains(f.Reason, words) {
				return true
			}
		}
	}
	return false
}

// verdict returns what an answer without success means for all documents of its request.
func verdict(a *httpsink.Answer) error {
	why := failureOf(a.Body)
	blocked := a.Status == http.StatusForbidden && why.Type == "cluster_block_exception"
	missing := a.Status == http.StatusNotFound && why.Type == "index_not_found_exception"
	if blocked || missing || a.Status == http.StatusBadRequest && aboutIndex(why) {
		return &sink.Paused{Cause: sink.CauseTarget, Err: fmt.Errorf("status %d: %s", a.Status, why)}
	}
	return a.Verdict(why.String())
}

// failureOf returns why a whole request is refused: the error in a JSON answer, which is an
// object or a text, or else the answer itself.
func failureOf(said []byte) *failure {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	f := &failure{}
	if json.Unmarshal(said, &answer) == nil && len(answer.Error) > 0 {
		if json.Unmarshal(answer.Error, f) == nil {
			return f
		}
		_ = json.Unmarshal(answer.Error, &f.Reason)
		return f
	}
	f.Reason = string(said)
	return f
}

// itemsOf reads the items of a bulk answer. After an error it returns those before it.
func itemsOf(said []byte) (items []item, err error) {
	d := json.NewDecoder(bytes.NewReader(said))
	if err := open(d, '{'); err != nil {
		return nil, err
	}
	found := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return items, err
		}
		if name != "items" {
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return items, err
			}
			continue
		}
		if found {
			return items, errors.New("items stand twice")
		}
		found = true
		if err := open(d, '['); err != nil {
			return items, err
		}
		for d.More() {
			var one map[string]item
			if err := d.Decode(&one); err != nil {
				return items, err
			}
			if len(one) != 1 {
				return items, fmt.Errorf("item %d has %d actions", len(items), len(one))
			}
			for op, it := range one {
				it.op = op
				items = append(items, it)
			}
		}
		if _, err := d.Token(); err != nil {
			return items, err
		}
	}
	if !found {
		return nil, errors.New("there are no items")
	}
	if _, err = d.Token(); err != nil {
		return items, err
	}
	if _, err = d.Token(); !errors.Is(err, io.EOF) {
		return items, errors.New("something stands behind the end")
	}
	return items, nil
}

func open(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == nil && t != want {
		err = fmt.Errorf("%v stands where %v is wanted", t, want)
	}
	return err
}
