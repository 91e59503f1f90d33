package cloudtrail

import (
	"bytes"
	"regexp"

	"keytrail/schemas/decoding"
)

// This file reads lines that have something in front of their JSON: a time, as
// CloudWatch Logs exports them, a stream, the head of a syslog message.

// maxPrefix bounds what stands in front of a line's JSON, and behind it: the longest
// log stream's name is 512 characters, and the head of a syslog message about 300.
const maxPrefix = 1024

// What stands in front of a line's JSON: a time and perhaps a stream or the name of a
// container (CloudWatch Logs, CRI); a time, a host and a tag, or the head of RFC 5424
// (syslog); the columns of the AWS CLI's text. JSON behind other words is a part of a
// line of text, and may be anybody's.
const (
	aTime  = `\[?[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:]{5,8}([.,][0-9]+)?( ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?)?\]?`
	anAge  = `\[?[0-9]{10,19}(\.[0-9]+)?\]?`
	bsd    = `(<[0-9]{1,3}>)?[A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8}`
	tag    = `[^ \t"{}]+ [^ \t"{}:\[]+(\[[0-9]+\])?:`
	syslog = `<[0-9]{1,3}>[0-9]{0,2}( [^ "{}\[]+){5} (-|(\[[^\]{}]*\])+)`
	stream = `[^ \t"{}]+`
	cri    = `(stdout|stderr) ([FP])`
	cliRow = `EVENTS\t([^\t"{}]*\t){1,4}`
)

var inFront = regexp.MustCompile(`^((` + aTime + `|` + anAge + `)([ \t]+(` + stream + `|` + cri + `))?|` +
	`(` + aTime + `|` + bsd + `)[ \t]+` + tag + `|` + syslog + `|` + cliRow + `)[ \t]*$`)

// criLine matches the head of a line that a container runtime wrote.
var criLine = regexp.MustCompile(`^` + aTime + ` ` + cri + `( |$)`)

// piece reports whether the line is a part of one that a container runtime split. Where
// the split falls may be chosen by the maker of the record: a piece is not a record.
func (r *Reader) piece(line []byte) bool {
	m := criLine.FindSubmatch(line)
	if m == nil {
		return false
	}
	stream := &r.split[0]
	if string(m[len(m)-3]) == "stderr" {
		stream = &r.split[1]
	}
	before := *stream
	*stream = string(m[len(m)-2]) == "P"
	return before || *stream
}

// known matches lines that stand beside events in the AWS CLI's text and carry none.
var known = regexp.MustCompile(`^(RESOURCES|NEXTTOKEN|SEARCHEDLOGSTREAMS)\t`)

// line returns at most maxPrefix bytes of the rest of the line at the input's
// position, and whether it ends there.
func (r *Reader) line() (text []byte, ended bool) {
	for {
		rest := r.in.rest()
		rest = rest[:min(len(rest), maxPrefix)]
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			return rest[:n], true
		}
		if len(rest) == maxPrefix || !r.in.fill() {
			return rest, r.in.eof && len(rest) < maxPrefix
		}
	}
}

// text moves over what stands in front of a line's JSON, or reports the line when it
// is not one of JSON.
func (r *Reader) text() error {
	line, ended := r.line()
	brace := bytes.IndexByte(line, '{')
	switch {
	case r.piece(line):
		return r.resyncLine(scanErr{reason: decoding.ReasonEnvelope,
			detail: "a piece of a line that the container runtime split: join the pieces"})
	case brace > 0 && inFront.Match(line[:brace]):
		r.in.advance(brace)
		r.opened, r.prefixed = r.in.offset(), true
		if r.lines == unknown {
			r.lines = oneLine
		}
		return nil
	case ended && known.Match(line):
		r.NotEvents++
		r.in.advance(len(line))
		return nil
	}
	why := scanErr{reason: decoding.ReasonEnvelope,
		detail: "a line of text and not of JSON: it begins with " + quote(string(line[:min(len(line), 24)]))}
	if line[0] == 0 {
		why.detail = "not CloudTrail's JSON but binary data"
	}
	return r.resyncLine(why)
}

// suffix moves over what stands behind the JSON of a line that has something in front
// of it. It reports whether that can be.
func (r *Reader) suffix() bool {
	line, ended := r.line()
	if !ended || bytes.ContainsAny(line, `"{}[]`) {
		return false
	}
	r.in.advance(len(line))
	return true
}

// bracketed reports whether the bracket at the input's position belongs to a time in
// front of a line's JSON, and does not open a list.
func (r *Reader) bracketed() bool {
	rest := r.in.rest()
	if len(rest) < 6 || rest[1]-'0' > 9 || rest[5] != '-' {
		return false
	}
	line, _ := r.line()
	brace := bytes.IndexByte(line, '{')
	return brace > 0 && inFront.Match(line[:brace])
}
