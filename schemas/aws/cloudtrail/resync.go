package cloudtrail

import (
	"bytes"
	"fmt"
	"math"

	"keytrail/schemas/decoding"
)

// This file goes on behind a bad record. The maker of a call chooses bytes of its
// record: a request's documents, the names and values of contexts and tags, policies.
// None of these may become a separate event, whatever is wrong with the record
// around them. So
//
//   - a record that is well formed and refused all the same (see whole) is passed
//     over as a whole, by its brackets and strings;
//   - where records have stood one a line, the next one begins a line: JSON text
//     has no line feed in its strings;
//   - else a place begins a record only if the brackets from it stay balanced to the
//     end of the list of records, or for as long as a record may be. From inside a
//     record they do not, because the record closes behind the place;
//   - else the rest of the object is one bad record.

// whole reports whether a record refused for reason may have all its brackets.
func whole(reason decoding.Reason) bool {
	switch reason {
	case decoding.ReasonDepth, decoding.ReasonDuplicateKey, decoding.ReasonFieldSize, decoding.ReasonRecordSize,
		decoding.ReasonUTF8:
		return true
	}
	return false
}

// maxWaste bounds the work behind damages: what is looked at ahead of where reading
// goes on, and what is decoded in vain, is at most this many times what has been
// read and a longest record. Beyond, the rest of the object is one bad record.
const maxWaste = 8

// resync reports the record at the input's position as bad and moves behind it.
// When the object itself fails before that is found, this failure is reported
// instead: one cause, one report.
func (r *Reader) resync(why scanErr) error {
	return r.search(why, r.lines == oneLine && r.beginsLine() && r.mode != modeTail)
}

// resyncLine reports the line at the input's position as bad, and moves behind it.
func (r *Reader) resyncLine(why scanErr) error { return r.search(why, true) }

func (r *Reader) search(why scanErr, lines bool) error {
	s := search{
		r: r, bad: r.bad(why.reason, why.detail, nil), whole: whole(why.reason), lines: lines,
		tail: r.mode == modeTail, nextLine: -1,
	}
	begin := atTop
	switch {
	case r.mode == modeList:
		begin = inList
	case r.hadList:
		begin = anywhere
	}
	r.balance.reset(begin, r.around, s.tail)
	if !s.whole && !s.lines {
		r.wasted += int64(r.dec.s.reached())
	}
	s.spent = r.wasted > maxWaste*(int64(r.dec.lim.RecordBytes)+r.in.offset())
	s.hopeless = s.spent && !s.whole && !s.lines // these two cost no tries
	if s.tail {
		r.mode = modeValues
	}
	s.run()
	r.index++
	return s.bad
}

// search looks for where reading goes on behind a bad record.
type search struct {
	r        *Reader
	bad      *decoding.BadRecord
	whole    bool // the record's brackets are taken to be complete
	lines    bool // records stand one a line
	tail     bool // the record is a member behind the list
	spent    bool // too much has been tried
	hopeless bool // and so the rest of the object goes by

	pos      int   // of the next byte, in the input's rest
	before   byte  // the last byte before it that is not white space, or 0
	feed     bool  // a line feed lies between
	nextLine int64 // where the first line behind the record's first one begins, or -1
	dropped  int64 // bytes of the record that are no longer in the input
	head     []byte
}

// run moves the input to where reading goes on.
func (s *search) run() {
	in := &s.r.in
	for {
		for rest := in.rest(); s.pos < len(rest); s.pos++ {
			c := rest[s.pos]
			if c == '{' && s.incomplete(rest) {
				break
			}
			if s.over(rest, c) {
				return
			}
			switch c {
			case '\n':
				s.feed = true
			case ' ', '\t', '\r':
			default:
				s.before, s.feed = c, false
			}
		}
		if in.full() && s.room() {
			return
		}
		if !in.fill() && in.eof && s.pos >= len(in.rest()) {
			s.ended()
			return
		}
	}
}

// maxStart is how many bytes the start of a record takes at most: a brace, white
// space and its first name.
const maxStart = 256

// incomplete reports whether more of the input has to be read before it can be said
// what begins at s.pos.
func (s *search) incomplete(rest []byte) bool {
	in := &s.r.in
	return len(rest)-s.pos < maxStart && !in.eof && (!in.full() || s.pos > 0)
}

// over moves over the byte c at s.pos. It reports whether the search is over.
func (s *search) over(rest []byte, c byte) bool {
	r := s.r
	if s.hopeless {
		return false
	}
	if s.lines && s.feed && s.nextLine < 0 && s.beginsLine(c) {
		s.nextLine = r.in.offset() + int64(s.pos)
	}
	switch {
	case s.whole:
		return s.inRecord(rest, c)
	case s.lines:
		return s.nextLine >= 0 && s.accept(s.nextLine)
	case c == '{' && s.offset() > s.bad.Offset:
		if begin := s.begins(rest); begin == nothing {
		} else if r.balance.of[0].level() == 0 && !r.balance.quoted && !s.tail && s.offset() < r.trusted {
			return s.accept(s.offset())
		} else {
			r.balance.add(s.offset(), begin)
		}
	}
	r.balance.step(c)
	return false
}

// beginsLine reports whether a line that begins with c is the next record, or the end
// of the list: other lines belong to the damage.
func (s *search) beginsLine(c byte) bool {
	switch c {
	case '{', ']':
		return true
	case '"':
		if s.r.strung {
			return true
		}
	}
	return c > ' ' && (s.r.prefixed || s.bad.Reason == decoding.ReasonEnvelope)
}

// offset is the place of the next byte in the object.
func (s *search) offset() int64 { return s.r.in.offset() + int64(s.pos) }

// inRecord moves over a byte of a record whose brackets are taken to be complete.
func (s *search) inRecord(rest []byte, c byte) bool {
	b := &s.r.balance
	level, quoted := b.of[0].level(), b.quoted
	if s.tail && level == 0 && !quoted && (c == ',' || c == '}') {
		s.r.mode = modeTail
		return s.accept(s.offset())
	}
	if c == '{' && s.offset() > s.bad.Offset && !s.lines {
		if begin := s.begins(rest); begin != nothing {
			b.add(s.offset(), begin)
		}
	}
	fits := b.step(c)
	switch now := b.of[0].level(); {
	case !fits && !quoted, c < ' ' && quoted, now < 0:
	case s.tail || now > 0 || b.quoted:
		return false
	case level == 0 && !quoted: // a number, or white space before the record
		return false
	case s.follows(rest[s.pos+1:]):
		return s.accept(s.offset() + 1)
	}
	s.whole = false // it is broken besides
	s.hopeless = s.spent && !s.lines
	return s.nextLine >= 0 && s.accept(s.nextLine)
}

// follows reports whether rest can stand behind a whole record. A rest that continues with
// a name cannot.
func (s *search) follows(rest []byte) bool {
	rest = bytes.TrimLeft(rest, whiteSpace)
	rest = bytes.TrimLeft(bytes.TrimPrefix(rest, []byte{','}), whiteSpace)
	return len(rest) == 0 || rest[0] != '"' && rest[0] != ':'
}

const whiteSpace = " \t\r\n"

// begins returns in what a record stands whose brace may be at s.pos, or nothing: an
// object whose first name says so or, outside of lists, any object at the start of a
// line. Such text inside a JSON string does not match: its quotes are escaped there.
func (s *search) begins(rest []byte) stage {
	isValue, begin := s.before == ':', s.r.balance.begin // a value is a member's, so a part of something
	if isValue && begin == inList {
		return nothing
	}
	if begin != inList && s.feed && !isValue {
		return begin
	}
	name := bytes.TrimLeft(rest[s.pos+1:], whiteSpace)
	if len(name) == 0 || name[0] != '"' {
		return nothing
	}
	end := bytes.IndexByte(name[1:min(len(name), maxStart)], '"')
	if end < 0 {
		return nothing
	}
	switch first := string(name[1 : 1+end]); {
	case isList(first) && firstNames[first]: // another object behind this one; inside one is a value
		if s.before == ',' || s.before == '[' || isValue {
			return nothing
		}
		return atTop
	case s.before == '[' && begin == inList: // the first of a list, and not one of this list
		return nothing
	case first == "eventVersion", first == "EventId", firstNames[first] && !isValue:
		return begin
	case begin != inList && envelopeNames[first] && s.before == '}':
		return begin
	}
	return nothing
}

// firstNames holds the names of a record's top level that hardly stand first in
// an object inside one. CloudTrail itself begins every record with eventVersion,
// LookupEvents with EventId; other tools sort the names, or shuffle them.
var firstNames = map[string]bool{
	"userIdentity": true, "eventTime": true, "eventSource": true, "eventName": true, "awsRegion": true,
	"sourceIPAddress": true, "eventID": true, "sharedEventID": true, "eventType": true, "eventCategory": true,
	"recipientAccountId": true, "additionalEventData": true, "CloudTrailEvent": true,
	"Records": true, "Events": true, "logEvents": true,
}

// envelopeNames holds the names that open other envelopes: of EventBridge,
// CloudWatch Logs, SNS, SQS and Fluent Bit. Some writers set them end to end.
var envelopeNames = map[string]bool{
	"version": true, "messageType": true, "Type": true, "MessageId": true, "date": true, "log": true, "message": true,
}

// room lets bytes go that no longer matter, when the input's buffer is full. A place
// from which the brackets have stayed balanced for as long as a record may be is
// taken: then room reports that the search is over.
func (s *search) room() bool {
	in, b := &s.r.in, &s.r.balance
	keep := s.offset()
	for !s.whole && !s.lines && !s.hopeless {
		p, ok := b.first()
		if !ok {
			break
		}
		if p.at > in.offset() {
			keep = p.at
			break
		}
		if b.begin == inList || p.alone() {
			return s.goOn(p.at)
		}
		b.drop(p.at)
	}
	if s.whole { // the record is longer than the buffer: so much for the places in it
		b.of[0].places, b.of[1].places, s.nextLine = b.of[0].places[:0], b.of[1].places[:0], -1
	}
	n := int(keep - in.offset())
	s.keepHead(n)
	in.advance(n)
	s.dropped += int64(n)
	s.pos -= n
	return false
}

// keepHead keeps the first bytes of the record for the report.
func (s *search) keepHead(n int) {
	if more := min(n, decoding.MaxRawBytes-len(s.head)); more > 0 {
		s.head = append(s.head, s.r.in.rest()[:more]...)
	}
}

// goOn accepts a place that the brackets say begins a record.
func (s *search) goOn(at int64) bool {
	s.r.wasted += s.offset() - at
	s.r.trusted = s.offset()
	return s.accept(at)
}

// accept ends the search: reading goes on at the place given.
func (s *search) accept(at int64) bool {
	r := s.r
	if !s.whole && at != s.nextLine {
		r.lost = true
	}
	n := int(at - r.in.offset())
	s.report(n)
	r.in.advance(n)
	if at == s.nextLine {
		r.opened = at
	}
	return true
}

// report completes the report with n more bytes of the input.
func (s *search) report(n int) {
	if s.dropped == 0 {
		s.bad.Raw, s.bad.Cut = decoding.Clip(bytes.TrimRight(s.r.in.rest()[:n], ", \t\r\n"))
		return
	}
	s.keepHead(n)
	s.bad.Raw, s.bad.Cut = s.head, s.dropped+int64(n) > decoding.MaxRawBytes
}

// ended ends the search at the end of the object.
func (s *search) ended() {
	r := s.r
	s.whole = false
	if p, ok := r.balance.ended(); ok && !s.lines && !s.hopeless && r.in.err == nil {
		s.goOn(p.at)
		r.trusted = math.MaxInt64
		return
	}
	rest := len(r.in.rest())
	s.report(rest)
	switch {
	case r.in.err != nil:
		failed := r.failure(nil)
		s.bad.Reason, s.bad.Detail, s.bad.Err = failed.Reason, failed.Detail, failed.Err
	case !s.lines:
		s.bad.Detail += fmt.Sprintf("; the rest of the object, %d bytes, is this dead letter", s.dropped+int64(rest))
	}
	r.in.advance(rest)
	r.mode = modeDone
}
