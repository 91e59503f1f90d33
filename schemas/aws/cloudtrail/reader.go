package cloudtrail

import (
	"io"

	"keytrail/schemas/decoding"
)

// Reader reads the CloudTrail events of one object, whatever envelope holds
// them: a CloudTrail file {"Records":[...]}, an array, one event, events line
// by line or end to end, LookupEvents output, CloudWatch Logs subscription
// data, EventBridge events, SNS and SQS bodies, Firehose and Kinesis records,
// Lambda's events of these, Fluent Bit records; the answers of queries and
// searches, lines with a time in front, strings, rows and CSV (docs/inputs.md);
// plain or gzip, UTF-8 or UTF-16, and inside messages in base64, told apart by
// content. Package notification reads messages that name objects instead of carrying
// events (S3's notifications).
//
// It reads as a stream: it holds at most two times Limits.RecordBytes (and
// 512 KiB when that is less) of an object of whatever size, and the unescaped
// strings of one record beside them, once more for each envelope inside an
// envelope, at most maxNested times. A bad record costs that record only, unless
// nothing says where the next one begins (resync.go). A Reader is not safe for
// concurrent use.
type Reader struct {
	in       input
	dec      *Decoder
	object   string
	index    int
	mode     mode
	hadList  bool    // there has been a list of records
	opened   int64   // a place that begins a line, besides those behind a line feed; else -1
	around   int     // objects around the list, which go on behind it
	rows     bool    // the list may hold rows, which are lists of values
	strung   bool    // there has been a record in a string
	looked   bool    // whether it is a table
	split    [2]bool // the last line of stdout, and of stderr, was a piece
	prefixed bool    // lines have something in front of their JSON
	lost     bool    // something was bad: brackets around the next records may be its
	lines    lines
	wasted   int64   // bytes read in vain; see maxWaste
	evenTo   int64   // up to here the line has been looked at; see even
	trusted  int64   // up to here the brackets have been followed from a record; see resync.go
	balance  balance // of the last damage
	nested   int
	carried  []carried // what the last envelope carries; the first read of them are done
	read     int
	child    *Reader // reads it; kept for the next one
	envelope []byte  // the last envelope, if it is an object
	childAt  int64   // the envelope's offset
	inChild  bool    // child is reading
	packed   bool    // what child reads was packed
	spent    int64   // bytes that came out of what was packed
	// NotEvents counts what is known and about no call: CloudTrail's digest files,
	// and the messages by which S3, SNS, CloudTrail and CloudWatch Logs test or
	// confirm a destination.
	NotEvents int

	csv *table // the object is one
}

// mode is where in the object the Reader stands.
type mode uint8

const (
	modeValues mode = iota // between top-level values
	modeList               // inside the array that holds the records
	modeTail               // behind that array, inside its object
	modeTable              // in the rows of CSV
	modeDone
)

// lines is whether the records so far stood one a line.
type lines uint8

const (
	unknown   lines = iota // none was there yet
	oneLine                // each began a line, and ended in it
	scattered              // one did not
)

// maxNested bounds envelopes inside envelopes: an SQS body, an SNS message, an
// EventBridge detail and a Fluent Bit record around them are four.
const maxNested = 5

// NewReader returns a Reader over src. object names it in events and errors.
func NewReader(src io.Reader, object string, lim decoding.Limits) *Reader {
	r := &Reader{dec: NewDecoder(lim)}
	r.in.lim = r.dec.lim
	r.Reset(src, object)
	return r
}

// Reset makes r read another object, with the memory and the knowledge of names
// that it has: much less work than a new Reader, for objects of a few records
// above all. Events read before become invalid.
func (r *Reader) Reset(src io.Reader, object string) {
	r.in.reset(src)
	r.begin(object)
}

func (r *Reader) begin(object string) {
	r.object, r.index, r.mode, r.lines = object, 0, modeValues, unknown
	r.wasted, r.trusted, r.opened, r.NotEvents = 0, 0, -1, 0
	r.evenTo, r.split = 0, [2]bool{}
	r.hadList, r.around, r.rows, r.strung, r.looked = false, 0, false, false, false
	r.prefixed, r.lost, r.inChild, r.carried, r.read, r.spent = false, false, false, r.carried[:0], 0, 0
}

// Next reads the next event into ev. It returns nil, or a *BadRecord (the next
// call goes on behind it), or io.EOF at the end.
func (r *Reader) Next(ev *Event) error {
	for {
		if r.inChild {
			err := r.child.Next(ev)
			if err != io.EOF {
				return r.fromChild(ev, err)
			}
			r.ascend()
		}
		if r.read < len(r.carried) {
			r.descend()
			continue
		}
		switch r.mode {
		case modeDone:
			return io.EOF
		case modeTable:
			if err := r.tableRow(); err != nil {
				return err
			}
			continue
		}
		if found, err := r.step(ev); err != nil || found {
			return err
		}
	}
}

// step moves over one separator or one value.
func (r *Reader) step(ev *Event) (found bool, err error) {
	c, ok := r.in.peek()
	if r.in.foreign != "" {
		return false, r.foreign()
	}
	switch {
	case !ok:
		return false, r.end()
	case r.mode == modeValues && r.index == 0 && c != '{' && c != '[' && !r.looked && r.table():
		return false, nil
	case r.mode == modeTail:
		return false, r.tail(c)
	case r.mode == modeList && c == ',':
		r.in.advance(1)
		return false, nil
	case r.mode == modeList && c == ']':
		r.in.advance(1)
		r.mode = modeValues
		if r.around > 0 {
			r.mode = modeTail
		}
		return false, nil
	case r.mode == modeList && c == '[' && !r.flat(): // a bracket too many, or a list of lists
		r.in.advance(1)
		r.lost = true
		return false, nil
	case r.mode == modeValues && (r.lost && (c == ']' || c == '}') || c == ',' && (r.lost || r.index > 0)):
		r.in.advance(1)
		return false, nil
	case r.mode == modeValues && c == recordSeparator:
		r.in.advance(1)
		r.opened = r.in.offset()
		return false, nil
	case r.mode == modeValues && r.beginsLine() && (c != '{' && c != '[' && c != '"' || c == '[' && r.bracketed()):
		return false, r.text()
	case r.mode == modeValues && r.prefixed && !r.beginsLine() && r.suffix():
		return false, nil
	case r.mode == modeValues || r.lost:
		if n := r.listStart(); n > 0 {
			return false, nil
		}
	}
	return r.record(ev)
}

// scan runs f over the buffered bytes, and again with more of them while f asks
// for more and there are any. f returns a place in them, or failed with the
// scanner's why. It sees at most Limits.RecordBytes of them: the bound of a
// record does not depend on how much happens to be buffered.
func (r *Reader) scan(f func(data []byte) int) (int, scanErr) {
	for {
		data := r.in.rest()
		n := f(data[:min(len(data), r.dec.lim.RecordBytes)])
		if n != failed {
			return n, scanErr{}
		}
		err := r.dec.s.why
		if err.more && len(data) >= r.dec.lim.RecordBytes {
			err = scanErr{reason: decoding.ReasonRecordSize, detail: "the record is longer than the limit"}
		}
		if !err.more || !r.in.fill() {
			return failed, err
		}
	}
}

// listStart moves behind what opens a list of records here: "[", or an object up to
// the bracket of its list. It returns how many bytes that are, 0 when neither stands
// here.
func (r *Reader) listStart() int {
	var around int
	var rows bool
	n, err := r.scan(func(data []byte) (n int) {
		s := &r.dec.s
		s.reset(data, r.dec.lim.Depth)
		if _, c := s.space(0); c == '{' {
			n, around, rows = s.listIn()
			return n
		}
		around = 0
		return 1
	})
	if err.bad() || n == 0 || around == 0 && r.in.rest()[0] != '[' {
		return 0
	}
	if r.mode == modeValues && (r.lines == oneLine || r.nested > 0) && !r.whole() {
		return 0
	}
	r.in.advance(n)
	r.mode, r.around, r.rows, r.hadList, r.opened = modeList, around, rows, true, -1
	if r.in.line {
		r.opened = r.in.offset()
	}
	return n
}

// listIn returns the length of an object up to and with the bracket of the list
// of records that it holds, and how many objects are around that list: those of
// Elasticsearch stand in their own object. The length is 0 when it is something
// else.
func (s *scanner) listIn() (n, around int, rows bool) {
	var w walk
	pos, _ := s.space(0)
	pos, around = s.open(&w, pos), 1
	for pos != failed {
		name, value, ok := s.next(&w, pos)
		switch {
		case value == failed:
			return failed, 0, false
		case !ok || notWithList[name] || carries(name):
			return 0, 0, false
		case isList(name):
			at, c := s.space(value)
			switch {
			case c == '[':
				return at + 1, around, holdsRows[name]
			case c != '{' || name != "hits" || around > 1:
				return s.unexpected(at, "'['"), 0, false
			}
			pos, around = s.open(&w, at), 2
			continue
		}
		pos = s.skip(value)
	}
	return failed, 0, false
}

// holdsRows holds the names of lists whose items may be lists of values.
var holdsRows = map[string]bool{"results": true, "QueryResultRows": true}

// notWithList holds names that stand early in what holds no list of records:
// events, items of LookupEvents and EventBridge events. Others are walked through,
// except those that carry something themselves: such objects are read as a whole.
var notWithList = map[string]bool{
	"eventVersion": true, "awsRegion": true, "userIdentity": true, "EventId": true, "digestS3Bucket": true, "detail-type": true,
}

// record decodes the value at the input's position.
func (r *Reader) record(ev *Event) (bool, error) {
	if r.index >= r.dec.lim.Records {
		r.mode = modeDone
		return false, r.bad(decoding.ReasonRecords, "more records in one object than the limit", nil)
	}
	ev.Object = r.object
	n, err := r.scan(func(data []byte) int {
		n := r.dec.first(data, ev)
		if n != failed {
			n = r.behind(n, ev)
		}
		return n
	})
	ev.Index, ev.Offset = r.index, r.in.offset()
	if err.bad() {
		return false, r.resync(err)
	}
	return r.accept(ev, n)
}
