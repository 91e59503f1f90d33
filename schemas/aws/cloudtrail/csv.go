package cloudtrail

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"keytrail/schemas/decoding"
)

// table reads CSV, such as CloudTrail Lake, CloudWatch Logs Insights, Splunk, Kibana and
// Athena export. Rows are separated by encoding/csv; an event is read only in the column
// that has the original.
type table struct {
	rows   *csv.Reader
	from   tableInput
	column int    // of the original event, or -1
	name   string // of that column, or of what the table is
	start  int64  // of the table in the inflated object
	last   int    // bytes of the last row, which from.kept begins with
}

// tableInput is what a table's rows are read from. It keeps the bytes of the present row
// for the report, and bounds them.
type tableInput struct {
	in   *input
	kept []byte
	max  int
}

// errRowTooLong is the failure of a row that is longer than a record may be: its end
// may have been lost.
var errRowTooLong = errors.New("a row is longer than the limit of a record")

func (t *tableInput) Read(p []byte) (int, error) {
	if len(t.kept) > t.max {
		return 0, errRowTooLong
	}
	if len(t.in.rest()) == 0 && !t.in.fill() {
		if t.in.err != nil {
			return 0, t.in.err
		}
		return 0, io.EOF
	}
	n := copy(p, t.in.rest())
	t.in.advance(n)
	t.kept = append(t.kept, p[:n]...)
	return n, nil
}

// maxHeader bounds the header of a table: the 30 columns of a trail in Athena have 400
// bytes, and an export of Kibana some hundred names.
const maxHeader = 16 << 10

// originals are the columns that hold the original event, the most certain first.
var originals = []string{
	"eventJson", "@message", "_raw", "event.original", "_source.event.original", "CloudTrailEvent", "_source.message", "message",
}

// table looks for the header of a table at the input's position, the beginning of the
// object. It reports whether there is one.
func (r *Reader) table() bool {
	r.looked = true
	skip, header := 0, r.header(0)
	if bytes.HasPrefix(header, []byte("sep=")) { // for Excel
		skip = len(header) + 1
		header = r.header(skip)
	}
	for _, comma := range []rune{',', ';', '\t'} {
		head := csv.NewReader(bytes.NewReader(header))
		head.Comma = comma
		names, err := head.Read()
		if err != nil {
			continue
		}
		column, name := columnOf(names)
		if name == "" {
			continue
		}
		r.in.advance(skip)
		t := &table{column: column, name: name, start: r.in.offset()}
		t.from = tableInput{in: &r.in, max: r.dec.lim.RecordBytes}
		t.rows = csv.NewReader(&t.from)
		t.rows.Comma, t.rows.ReuseRecord, t.rows.FieldsPerRecord = comma, true, len(names)
		if _, _, _, err := t.next(); err != nil { // the header again
			return false
		}
		r.csv, r.mode = t, modeTable
		return true
	}
	return false
}

// header returns the line that begins skip bytes behind the input's position, when it
// is not too long.
func (r *Reader) header(skip int) []byte {
	for {
		rest := r.in.rest()
		rest = rest[min(len(rest), skip):min(len(rest), skip+maxHeader)]
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			return rest[:n]
		}
		if len(rest) == maxHeader || !r.in.fill() {
			return nil
		}
	}
}

// columnOf returns the column of the original event and its name, or -1 and what the
// table is, or no name when it is not one of events.
func columnOf(names []string) (column int, name string) {
	for _, want := range originals {
		if i := slices.Index(names, want); i >= 0 && (want != "message" || len(names) > 1) {
			return i, want
		}
	}
	var lower, camel, console int
	for _, n := range names {
		switch n {
		case "eventname", "eventsource", "eventtime", "useridentity", "eventversion", "eventid":
			lower++
		case "eventName", "eventSource", "eventTime", "userIdentity", "eventVersion", "eventID":
			camel++
		case "Event name", "Event source", "Event time", "User name", "Event ID":
			console++
		}
	}
	switch {
	case len(names) > 1 && lower > 0:
		return -1, "CSV from Athena: read CloudTrail's own files"
	case len(names) > 1 && camel > 0:
		return -1, "CSV from CloudTrail Lake: export eventJson"
	case len(names) > 1 && console > 0:
		return -1, "CSV from CloudTrail's console: download the event history as JSON"
	}
	return -1, ""
}

// next reads the next row and returns its bytes, valid until the next call, and its
// place in the inflated object.
func (t *table) next() (row []string, raw []byte, at int64, err error) {
	t.from.kept = append(t.from.kept[:0], t.from.kept[t.last:]...)
	t.last = 0
	before := t.rows.InputOffset()
	row, err = t.rows.Read()
	if err == nil || errors.Is(err, csv.ErrFieldCount) {
		t.last = int(t.rows.InputOffset() - before)
	}
	return row, t.from.kept[:t.last], t.start + before, err
}

// tableRow takes the next row of a table.
func (r *Reader) tableRow() error {
	t := r.csv
	if r.index >= r.dec.lim.Records {
		r.mode = modeDone
		return r.bad(decoding.ReasonRecords, "more records in one object than the limit", nil)
	}
	row, raw, at, err := t.next()
	switch {
	case err == io.EOF:
		r.mode = modeDone
		return nil
	case err != nil && !errors.Is(err, csv.ErrFieldCount):
		return r.restOfTable(at, err)
	}
	if err == nil && t.column >= 0 {
		var env envelope
		env.string(row[t.column], false)
		if len(env.carried) == 1 && r.nested < maxNested {
			r.carried, r.read, r.childAt, r.envelope = append(r.carried[:0], env.carried...), 0, at, nil
			return nil
		}
	}
	detail := "a row of CSV whose " + t.name + " holds no event"
	switch {
	case err != nil:
		detail = fmt.Sprintf("a row of CSV with %d columns, and its header has %d", len(row), t.rows.FieldsPerRecord)
	case t.column < 0:
		detail = "not CloudTrail's JSON but " + t.name
	}
	bad := &decoding.BadRecord{
		Object: r.object, Index: r.index, Offset: at, Reason: decoding.ReasonEnvelope, Detail: detail,
	}
	bad.Raw, bad.Cut = decoding.Clip(bytes.TrimRight(raw, "\r\n"))
	r.index++
	return bad
}

// restOfTable reports what is left of a table in which the quotes are broken: nothing says
// where the next row begins.
func (r *Reader) restOfTable(at int64, err error) error {
	t := r.csv
	r.mode = modeDone
	bad := &decoding.BadRecord{Object: r.object, Index: r.index, Offset: at, Reason: decoding.ReasonSyntax}
	bad.Raw, bad.Cut = decoding.Clip(t.from.kept)
	size := int64(len(t.from.kept))
	if r.in.err == nil {
		for len(r.in.rest()) > 0 || r.in.fill() {
			size += int64(len(r.in.rest()))
			r.in.advance(len(r.in.rest()))
			bad.Cut = true
		}
	}
	var parse *csv.ParseError
	switch {
	case r.in.err != nil:
		failed := r.failure(nil)
		bad.Reason, bad.Detail, bad.Err = failed.Reason, failed.Detail, failed.Err
		return bad
	case errors.Is(err, errRowTooLong):
		bad.Reason = decoding.ReasonRecordSize
	case errors.As(err, &parse):
		err = parse.Err
	}
	bad.Detail = fmt.Sprintf("CSV: %s; the rest of the object, %d bytes, is this dead letter",
		strings.TrimSpace(err.Error()), size)
	return bad
}
