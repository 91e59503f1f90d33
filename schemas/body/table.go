package body

import (
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// class is a set of kinds of records.
type class uint8

// The kinds of records that bodies tell apart.
const (
	onCall class = 1 << iota // an event of CloudTrail
	onWindow
	onAnomaly // or an incident
	onAll     = onCall | onWindow | onAnomaly
)

// classOf returns the kind of the record with the given event name.
func classOf(event string) class {
	switch event {
	case semconv.EventKeytrailWindow:
		return onWindow
	case semconv.EventKeytrailAnomaly, semconv.EventKeytrailIncident:
		return onAnomaly
	}
	return onCall
}

// row is one line of a body's mapping: a field, and where its value comes from.
type row struct {
	to    string   // the field's path
	from  []string // attributes and fields of the record: the first that has a value counts
	value otellog.Attr
	as    rule   // makes the value; nil takes it as it is
	on    class  // the kinds of records that have the row
	label string // the text that says what the field holds
	max   int    // the longest text in bytes; 0 for no bound
}

// rule makes the value of a field from the attribute that the row names, which is nil
// when the record lacks it or the row names none. A value without a kind leaves the
// field out.
type rule func(s *state, a *otellog.Attr) otellog.Attr

// kindRaw is the kind of a value that is JSON already, in Attr.Str.
const kindRaw otellog.Kind = 255

// The fields of the log record, as rows name them.
const (
	fieldTime     = "Timestamp"
	fieldObserved = "ObservedTimestamp"
	fieldSeverity = "SeverityNumber"
	fieldLevel    = "SeverityText"
	fieldEvent    = "EventName"
	fieldBody     = "Body"
)

var fields = [...]string{fieldTime, fieldObserved, fieldSeverity, fieldLevel, fieldEvent, fieldBody}

// names are the names that rows refer to: the record's fields and all attributes.
var names = otellog.NewNames(append(fields[:], attributes[:]...)...)

// state is a record while a body reads it: every attribute at the place of its name.
type state struct {
	rec   *otellog.Record
	class class
	slots [len(fields) + len(attributes)]*otellog.Attr
	own   [len(fields)]otellog.Attr
	stays [onAll][]bool // by class and place, the attributes for asUnmapped
	buf   []byte        // memory of rules that make a text
	items []string      // and of those that make a list
}

// load reads r, which must not change until the next load.
func (s *state) load(r *otellog.Record) {
	s.rec, s.class, s.buf, s.items = r, classOf(r.EventName), s.buf[:0], s.items[:0]
	clear(s.slots[:])
	s.own = [...]otellog.Attr{
		integer(r.Time), integer(r.Observed), integer(int64(r.Severity)),
		text(r.Severity.Text()), text(r.EventName), text(r.Body),
	}
	for i := range s.own {
		if a := &s.own[i]; a.Int != 0 || a.Str != "" {
			s.slots[i] = a
		}
	}
	for _, list := range [...][]otellog.Attr{r.Resource, r.Attrs} {
		for i := range list {
			if at := names.Find(list[i].Key); at >= len(fields) && s.slots[at] == nil {
				s.slots[at] = &list[i]
			}
		}
	}
}

// get returns the attribute called name, or nil.
func (s *state) get(name string) *otellog.Attr {
	if i := names.Find(name); i >= 0 {
		return s.slots[i]
	}
	return nil
}

// str returns the text attribute called name, or "".
func (s *state) str(name string) string {
	if a := s.get(name); a != nil && a.Kind == otellog.KindString {
		return a.Str
	}
	return ""
}

// text and integer are values. An empty text is not a value.
func text(s string) otellog.Attr {
	if s == "" {
		return otellog.Attr{}
	}
	return otellog.Attr{Kind: otellog.KindString, Str: s}
}

func integer(n int64) otellog.Attr { return otellog.Attr{Kind: otellog.KindInt, Int: n} }

func list(items ...string) otellog.Attr {
	return otellog.Attr{Kind: otellog.KindStrings, Strs: items}
}

// line is a row with its names resolved.
type line struct {
	row
	places []int
}

// resolve returns the rows that a kind of record has.
func resolve(rows []row, c class) []line {
	var lines []line
	for _, r := range rows {
		if r.on&c == 0 {
			continue
		}
		l := line{row: r}
		for _, name := range r.from {
			l.places = append(l.places, names.Find(name))
		}
		lines = append(lines, l)
	}
	return lines
}

// eval returns the line's value; without a kind there is none.
func (l *line) eval(s *state) otellog.Attr {
	var a *otellog.Attr
	for _, at := range l.places {
		if a = s.slots[at]; a != nil {
			break
		}
	}
	v := l.value
	switch {
	case l.as != nil:
		v = l.as(s, a)
	case a != nil:
		v = *a
	}
	if l.max > 0 {
		v.Str = cut(v.Str, l.max)
	}
	return v
}

// cut returns the first n bytes of s, fewer where a character would be cut.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// left returns which attributes a kind of record keeps under its own name: all but those
// that a row takes as they are. keep are prefixes of names that always stay.
func left(rows []row, c class, keep []string) []bool {
	stays := make([]bool, len(fields)+len(attributes))
	for i := range attributes {
		stays[len(fields)+i] = true
	}
	for _, r := range rows {
		if r.on&c == 0 || r.as != nil || len(r.from) != 1 {
			continue
		}
		kept := false
		for _, prefix := range keep {
			kept = kept || strings.HasPrefix(r.from[0], prefix)
		}
		if !kept {
			stays[names.Find(r.from[0])] = false
		}
	}
	return stays
}
