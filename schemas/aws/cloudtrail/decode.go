package cloudtrail

import (
	"math/bits"
	"strings"
	"unsafe"

	"keytrail/schemas/decoding"
	"keytrail/schemas/view"
)

// Decoder decodes single events. The zero value is not usable; make one with
// NewDecoder. A Decoder is not safe for concurrent use.
type Decoder struct {
	s     scanner
	lim   decoding.Limits
	roots [kinds]node // the orders of names learned, by kind of object
	nodes int         // below the roots

	callers     callers
	connections [16]caller
	noting      bool      // what is found goes to found as well
	found       []finding // in the object that begins at noted
	noted       int
}

// NewDecoder returns a Decoder with the given limits (zero fields take their
// defaults).
func NewDecoder(lim decoding.Limits) *Decoder { return &Decoder{lim: lim.WithDefaults()} }

// Decode decodes data, which must hold exactly one event, into ev, whose
// strings become views into data. It returns nil or a *BadRecord; an object
// that is JSON but no CloudTrail event is ReasonEnvelope.
func (d *Decoder) Decode(data []byte, ev *Event) error {
	n := d.first(data, ev)
	bad := func(reason decoding.Reason, detail string) error {
		raw, cut := decoding.Clip(data)
		return &decoding.BadRecord{
			Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Reason: reason, Detail: detail, Raw: raw, Cut: cut,
		}
	}
	if n == failed {
		return bad(d.s.why.reason, d.s.why.detail)
	}
	if end, _ := d.s.space(n); end < len(data) {
		return bad(decoding.ReasonSyntax, "bytes follow the event")
	}
	if !ev.isEvent() {
		return bad(decoding.ReasonEnvelope, "no eventSource, eventName or eventVersion of CloudTrail")
	}
	return nil
}

// Origin returns the event's place, its id and its bytes.
func (ev *Event) Origin() decoding.Origin {
	return decoding.Origin{Object: ev.Object, Index: ev.Index, Offset: ev.Offset, ID: ev.ID, Raw: ev.Raw}
}

// Bad returns a BadRecord in the place of ev, for an event that decoded and still
// cannot be used.
func (ev *Event) Bad(reason decoding.Reason, detail string) *decoding.BadRecord {
	at := ev.Origin()
	return at.Bad(reason, detail)
}

// isEvent reports whether the object just decoded is a CloudTrail event.
// S3's notifications have the same names; their source is aws:s3, and Lambda's
// records of other services aws:sqs and the like. Results of queries have them beside
// the original.
func (ev *Event) isEvent() bool {
	return (ev.Name != "" || ev.Source != "" || ev.Version != "") && !ev.env.holds && strings.IndexByte(ev.Source, ':') < 0
}

// reset empties ev and keeps its slices' memory and its place. It is emptied
// where it is: a literal of 2 kB would be made elsewhere and copied.
func (ev *Event) reset() {
	object, index, offset := ev.Object, ev.Index, ev.Offset
	resources, context, to := ev.Resources[:0], ev.Context[:0], ev.ToContext[:0]
	operations, carried := ev.Lists.GrantOperations[:0], ev.env.carried[:0]
	*ev = Event{}
	ev.Object, ev.Index, ev.Offset = object, index, offset
	ev.Resources, ev.Context, ev.ToContext = resources, context, to
	ev.Lists.GrantOperations, ev.env.carried = operations, carried
}

// first decodes the JSON value at the start of data, which may go on behind it,
// and returns the place behind the value. An object's event fields go to ev and
// its envelope fields to ev.env.
func (d *Decoder) first(data []byte, ev *Event) int {
	ev.reset()
	s := &d.s
	s.reset(data, d.lim.Depth)
	from, c := s.space(0)
	var end int
	if c == '{' {
		end = d.object(kindRecord, from, ev)
	} else {
		end = s.skip(from)
	}
	if end != failed {
		ev.Raw = data[from:end]
	}
	return end
}

// object decodes the object at pos along the tree of its kind's names.
func (d *Decoder) object(k kind, pos int, ev *Event) int {
	s := &d.s
	if !s.deeper() {
		return failed
	}
	pos, c := s.space(pos + 1)
	if c == '}' {
		s.depth--
		return pos + 1
	}
	for n, data := &d.roots[k], s.data; ; {
		if c != '"' {
			return s.unexpected(pos, "a name in quotes")
		}
		child := n.usual
		if child == nil || !child.isAt(data, pos) {
			var next int
			if child, next = d.unusual(k, n, pos, ev); child == nil {
				return next
			}
		}
		// Two members of three are strings behind the colon, and the next name is
		// behind the comma. For these all is here: no calls, no white space.
		n, pos = child, pos+len(child.name)+2
		if pos+1 < len(data) && data[pos] == ':' && data[pos+1] == '"' && child.field.act == actText {
			from := pos + 2
			m := s.word(from)
			end := from + bits.TrailingZeros64(m)
			if m == 0 {
				end = s.farther(from)
			}
			if end+2 < len(data) && data[end] == '"' && end-from <= d.lim.FieldBytes {
				*(*string)(unsafe.Add(unsafe.Pointer(ev), child.field.at)) = view.String(data[from:end])
				if pos = end + 1; data[pos] == ',' && data[pos+1] == '"' && !d.noting {
					pos++
					continue
				}
			} else {
				pos = d.value(child, pos, ev)
			}
		} else {
			pos = d.value(child, pos, ev)
		}
		if pos == failed {
			return failed
		}
		if d.noting {
			d.note(n, ev)
		}
		switch pos, c = s.space(pos); c {
		case ',':
			pos, c = s.space(pos + 1)
		case '}':
			s.depth--
			return pos + 1
		default:
			return s.unexpected(pos, "',' or '}'")
		}
	}
}

// unusual returns the node of the name at pos, which is not the usual one behind
// n. Without one the object ends at the position returned, or has failed.
func (d *Decoder) unusual(k kind, n *node, pos int, ev *Event) (*node, int) {
	if child := n.follow(d.s.data, pos); child != nil {
		return child, pos
	}
	child, ok := d.learn(k, n, pos)
	if !ok {
		return nil, failed
	}
	if child == nil {
		return nil, d.rest(k, n, pos, ev)
	}
	return child, pos
}

// value decodes the value of n's member, of which the colon is at pos or behind
// white space there.
func (d *Decoder) value(n *node, pos int, ev *Event) int {
	s := &d.s
	pos, c := s.space(pos)
	if c != ':' {
		return s.unexpected(pos, "':'")
	}
	pos, c = s.space(pos + 1)
	return d.member(&n.field, n.name, pos, c, ev)
}

// rest decodes the members of an object from the name at pos on, which is not in
// the tree; n is the name before it.
func (d *Decoder) rest(k kind, n *node, pos int, ev *Event) int {
	s := &d.s
	d.noting = false
	w := walk{base: len(s.keys)}
	for ; n.up != nil; n = n.up {
		s.duplicate(&w, n.name)
	}
	for {
		name, value, ok := s.next(&w, pos)
		if !ok {
			return value
		}
		f := k.field(name)
		value, c := s.space(value)
		if pos = d.member(&f, name, value, c, ev); pos == failed {
			return failed
		}
	}
}

// member reads the value at pos, which begins with c, as f wants it.
func (d *Decoder) member(f *field, name string, pos int, c byte, ev *Event) int {
	s := &d.s
	at := unsafe.Add(unsafe.Pointer(ev), f.at)
	switch f.act {
	case actText:
		return d.text(pos, (*string)(at))
	case actBool:
		return s.boolean(pos, c, (*Bool)(at))
	case actObject:
		switch {
		case c != '{':
		case f.kind == kindIdentity:
			return d.identity(pos, ev)
		case f.kind == kindTLS:
			return d.connection(pos, ev)
		default:
			return d.object(f.kind, pos, ev)
		}
	case actContext:
		if c == '{' && len(ev.Context) == 0 {
			return d.object(kindContext, pos, ev)
		}
	case actToContext:
		if c == '{' { // the pairs of any context go to ev.Context
			source := ev.Context
			ev.Context = ev.ToContext[:0]
			pos = d.object(kindContext, pos, ev)
			ev.Context, ev.ToContext = source, ev.Context
			return pos
		}
	case actPair:
		if ev.Context = append(ev.Context, KV{Key: name}); d.short(pos, &name) == failed {
			return failed
		}
		return d.text(pos, &ev.Context[len(ev.Context)-1].Value)
	case actJSON:
		return d.short(s.json(pos, (*string)(at)), (*string)(at))
	case actStrings:
		return d.strings(pos, c, &ev.Lists.GrantOperations)
	case actTargets:
		return d.targets(pos, c, ev)
	case actOthers:
		n := len(ev.Resources)
		pos = d.targets(pos, c, ev)
		ev.Resources = ev.Resources[:n]
		return pos
	case actList, actDetail, actCarrier, actPacked, actOriginal, actResult, actNotice, actPiece, actNames:
		return ev.env.member(s, f.act, pos, c)
	}
	return s.skip(pos)
}

// text reads a field's value as text.
func (d *Decoder) text(pos int, dst *string) int { return d.short(d.s.text(pos, dst), dst) }

// short returns pos, behind a field whose value is v, unless that is too long.
func (d *Decoder) short(pos int, v *string) int {
	if len(*v) > d.lim.FieldBytes && pos != failed {
		return d.s.fail(decoding.ReasonFieldSize, "a field is longer than the limit")
	}
	return pos
}

// boolean reads true or false, bare or as a string; anything else is Missing.
func (s *scanner) boolean(pos int, c byte, dst *Bool) int {
	switch c {
	case 't':
		*dst = True
		return s.literal(pos, "true")
	case 'f':
		*dst = False
		return s.literal(pos, "false")
	}
	var v string
	pos = s.text(pos, &v)
	switch v {
	case "true":
		*dst = True
	case "false":
		*dst = False
	}
	return pos
}

// strings appends the string items of an array to *dst; other values and empty
// strings are passed over.
func (d *Decoder) strings(pos int, c byte, dst *[]string) int {
	s := &d.s
	if c != '[' {
		return s.skip(pos)
	}
	var a items
	pos = s.openArray(&a, pos)
	for ok := true; pos != failed; {
		if pos, ok = s.item(&a, pos); !ok {
			return pos
		}
		if pos, c = s.space(pos); c != '"' {
			pos = s.skip(pos)
			continue
		}
		var v string
		if v, pos = s.str(pos); d.short(pos, &v) == failed {
			return failed
		} else if v != "" {
			*dst = append(*dst, v)
		}
	}
	return failed
}

// target is an entry of resources while it is decoded. Copies that passed
// through other tools spell ARN in lower case.
type target struct {
	Target
	lower, version, id string
}

// targets decodes resources.
//
// A record cut inside its resources takes the records behind it in as further
// resources, and the end of the file makes it whole again. So a target that has
// a record's own name is where the next record begins.
func (d *Decoder) targets(pos int, c byte, ev *Event) int {
	s := &d.s
	if c != '[' {
		return s.skip(pos)
	}
	var a items
	pos = s.openArray(&a, pos)
	for ok := true; pos != failed; {
		if pos, ok = s.item(&a, pos); !ok {
			return pos
		}
		ev.item = target{}
		switch pos, c = s.space(pos); c {
		case '"': // EventBridge lists bare ARNs
			pos = d.text(pos, &ev.item.ARN)
		case '{':
			pos = d.object(kindTarget, pos, ev)
		default:
			pos = s.skip(pos)
		}
		if pos == failed {
			return failed
		}
		t := &ev.item
		if t.version != "" || t.id != "" {
			return s.syntax("a record begins inside the resources of another")
		}
		if t.ARN == "" {
			t.ARN = t.lower
		}
		if t.Target != (Target{}) {
			ev.Resources = append(ev.Resources, t.Target)
		}
	}
	return failed
}
