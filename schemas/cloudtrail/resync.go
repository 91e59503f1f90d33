package cloudtrail

import "bytes"

// resync reports the record at the input's position as bad and moves to the
// next place where a record begins. When the object itself fails before one is
// found, that failure is reported instead: one cause, one report.
func (r *Reader) resync(why scanErr) error {
	bad := r.bad(why.reason, why.detail, nil)
	r.lost = true
	from := 1
	if r.wasted += r.dec.s.reached(); r.wasted > maxWaste*r.dec.lim.RecordBytes {
		from, r.wasted = max(1, r.dec.s.reached()-markStep-maxStart), 0
	}
	for {
		rest := r.in.rest()
		if n := nextRecord(rest, from, r.mode); n > 0 {
			if bad.Raw == nil {
				bad.Raw, bad.Cut = clip(bytes.TrimRight(rest[:n], ", \t\r\n"))
			}
			r.in.advance(n)
			r.index++
			return bad
		}
		from = max(from, len(rest)-maxStart)
		if r.in.fill() {
			continue
		}
		if r.in.full() { // too long to hold: keep its head, let the rest go by
			if bad.Raw == nil {
				bad.Raw, bad.Cut = bytes.Clone(rest[:min(len(rest), MaxRawBytes)]), true
			}
			r.in.advance(from)
			from = 1
			continue
		}
		if r.in.err != nil {
			failed := r.failure(nil)
			bad.Reason, bad.Detail, bad.Err = failed.Reason, failed.Detail, failed.Err
		}
		if bad.Raw == nil {
			bad.Raw, bad.Cut = clip(rest)
		}
		r.in.advance(len(rest))
		r.mode = modeDone
		return bad
	}
}

// maxWaste is how much may be read in vain behind one damage, in longest records.
// Every start of a record inside a damaged one is tried, and each try may read to
// the same damage: made to hurt, that is Limits.Depth times a record, again and
// again. After 8 times the search goes on where the last try ended.
const maxWaste = 8

// maxStart is how many bytes the start of a record takes at the most: a brace,
// white space and its first name.
const maxStart = 256

// nextRecord finds, at from or later, where a record begins: an object whose
// first name says so or, between top-level values, any object at the start of a
// line. It returns 0 when there is none. Such text inside a JSON string does not
// match: its quotes are escaped there.
func nextRecord(data []byte, from int, m mode) int {
	for i := from; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '{')
		if n < 0 {
			return 0
		}
		if i += n; beginsRecord(data, i, m) {
			return i
		}
	}
	return 0
}

const whiteSpace = " \t\r\n"

// beginsRecord tells whether the brace at i opens a record.
func beginsRecord(data []byte, i int, m mode) bool {
	before := bytes.TrimRight(data[:i], whiteSpace)
	isValue := bytes.HasSuffix(before, []byte(":")) // of a member, so a part of something
	if m != modeList && data[i-1] == '\n' && !isValue {
		return true
	}
	name := bytes.TrimLeft(data[i+1:], whiteSpace)
	if len(name) == 0 || name[0] != '"' {
		return false
	}
	end := bytes.IndexByte(name[1:], '"')
	if end < 0 {
		return false
	}
	switch first := string(name[1 : 1+end]); {
	case first == "eventVersion", first == "EventId", first == "Records":
		return true
	case firstNames[first]:
		return !isValue
	default:
		return m != modeList && envelopeNames[first] && bytes.HasSuffix(before, []byte("}"))
	}
}

// firstNames holds the names of a record's top level that hardly stand first in
// an object inside one. CloudTrail itself begins every record with eventVersion,
// LookupEvents with EventId; other tools sort the names, or shuffle them.
var firstNames = map[string]bool{
	"userIdentity": true, "eventTime": true, "eventSource": true, "eventName": true, "awsRegion": true,
	"sourceIPAddress": true, "eventID": true, "sharedEventID": true, "eventType": true, "eventCategory": true,
	"recipientAccountId": true, "additionalEventData": true, "CloudTrailEvent": true, "Events": true, "logEvents": true,
}

// envelopeNames holds the names that open other envelopes: of EventBridge,
// CloudWatch Logs, SNS, SQS and Fluent Bit. Some writers set them end to end.
var envelopeNames = map[string]bool{
	"version": true, "messageType": true, "Type": true, "MessageId": true, "date": true, "log": true, "message": true,
}
