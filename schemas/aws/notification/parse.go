package notification

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads one message body: an SQS message's body, SNS's text with or
// without its envelope ("raw message delivery"), or SQS messages as
// ReceiveMessage prints them. It is pure, and body is not changed.
func Parse(body []byte, lim Limits) Message {
	p := parser{lim: lim.WithDefaults()}
	if len(body) > p.lim.BodyBytes {
		detail := fmt.Sprintf("the message has %d bytes; the limit is %d", len(body), p.lim.BodyBytes)
		p.bad("", body, &fault{ReasonSize, detail})
		return p.msg
	}
	p.text(body, "", 0)
	if p.over > 0 {
		p.msg.Bad = append(p.msg.Bad, Bad{Reason: ReasonTooMany, Raw: body,
			Detail: fmt.Sprintf("the message has %d items over the limit of %d; they are not read", p.over, p.lim.Items)})
	}
	return p.msg
}

// parser walks one message.
type parser struct {
	lim  Limits
	msg  Message
	over int // items over Limits.Items
}

// fault is why something cannot be used.
type fault struct {
	reason Reason
	detail string
}

// room reports whether the message may have one item more.
func (p *parser) room() bool {
	if len(p.msg.Objects)+len(p.msg.Skipped)+len(p.msg.Notices)+len(p.msg.Bad) < p.lim.Items {
		return true
	}
	p.over++
	return false
}

func (p *parser) bad(at string, raw []byte, why *fault) {
	if p.room() {
		p.msg.Bad = append(p.msg.Bad, Bad{Where: at, Reason: why.reason, Detail: why.detail, Raw: raw})
	}
}

func (p *parser) notice(kind NoticeKind, detail string) {
	if p.room() {
		p.msg.Notices = append(p.msg.Notices, Notice{Kind: kind, Detail: detail})
	}
}

// object takes an object that was named, or reports why it cannot be fetched.
func (p *parser) object(at string, raw []byte, o Object, why *fault) {
	if why == nil {
		why = o.check()
	}
	switch {
	case why != nil:
		p.bad(at, raw, why)
	case !p.room():
	case o.created():
		p.msg.Objects = append(p.msg.Objects, o)
	default:
		p.msg.Skipped = append(p.msg.Skipped, o)
	}
}

// validation is the text with which CloudTrail tries a topic.
const validation = "CloudTrail validation message"

// text reads the text of a message: the body, or what stands in a wrapper.
func (p *parser) text(text []byte, at string, depth int) {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	if string(bytes.TrimSuffix(trimmed, []byte("."))) == validation {
		p.notice(NoticeValidation, "CloudTrail tries whether it may publish to the topic; there is nothing to do")
		return
	}
	if !utf8.Valid(trimmed) {
		p.bad(at, text, &fault{ReasonUTF8, "the text is not UTF-8"})
		return
	}
	if !json.Valid(trimmed) {
		p.bad(at, text, &fault{ReasonSyntax, "expected a notification in JSON: " + syntaxError(trimmed)})
		return
	}
	if !p.value(trimmed, at, depth) {
		p.bad(at, text, unknown(trimmed))
	}
}

// value reads a JSON value. It returns false, having reported nothing, if the
// value is neither a notification nor a wrapper: then it may be a part of something
// else, and the caller decides.
func (p *parser) value(raw []byte, at string, depth int) bool {
	switch raw[0] {
	case '[':
		return p.list(raw, at, depth)
	case '{':
	default:
		return false
	}
	m, why := members(raw)
	if why != nil {
		p.bad(at, raw, why)
		return true
	}
	shapes := m.shapes()
	if len(shapes) == 0 || len(shapes) == 1 && shapes[0] == "Message" {
		if p.isNotice(m) {
			return true
		}
	}
	if len(shapes) == 0 {
		return false
	}
	if len(shapes) > 1 {
		p.bad(at, raw, &fault{ReasonShape, "two shapes in one object: it has " + strings.Join(shapes, " and ")})
		return true
	}
	r := reader{}
	switch shape := shapes[0]; shape {
	case "s3":
		o := r.s3Record(m)
		p.object(at, raw, o, r.fault)
	case "detail-type":
		o := r.eventBridge(m)
		p.object(at, raw, o, r.fault)
	case "s3ObjectKey":
		p.cloudTrail(m, raw, at)
	case "Records", "Messages":
		return p.list(m[shape], join(at, shape), depth)
	default:
		p.wrapped(m, shape, raw, at, depth)
	}
	return true
}

// wrapped reads what stands in a wrapper's member: a text that holds JSON or,
// when a person or a tool unwrapped it half, the JSON itself.
func (p *parser) wrapped(m object, name string, raw []byte, at string, depth int) {
	at = join(at, name)
	if depth >= p.lim.Wrappers {
		p.bad(at, raw, &fault{ReasonDepth, fmt.Sprintf("more than %d wrappers around a notification", p.lim.Wrappers)})
		return
	}
	if m.kind(name) != '"' {
		if inner := m[name]; !p.value(inner, at, depth+1) {
			p.bad(at, inner, unknown(inner))
		}
		return
	}
	r := reader{}
	text := r.text(m, name)
	if r.fault != nil {
		p.bad(at, raw, r.fault)
		return
	}
	p.text([]byte(text), at, depth+1)
}

// list reads the items of a list. When none of them is known, the list is not
// known either: it may be a CloudTrail file.
func (p *parser) list(raw []byte, at string, depth int) bool {
	if depth > p.lim.Wrappers {
		p.bad(at, raw, &fault{ReasonDepth, fmt.Sprintf("lists inside more than %d lists and wrappers", p.lim.Wrappers)})
		return true
	}
	type other struct {
		at  string
		raw []byte
	}
	var others []other
	n, known := 0, 0
	for item := range items(raw) {
		place := at + "[" + strconv.Itoa(n) + "]"
		n++
		if p.value(item, place, depth+1) {
			known++
		} else if len(others) <= p.lim.Items { // one more than there is room for
			others = append(others, other{place, item})
		}
	}
	if n == 0 {
		p.notice(NoticeEmpty, "a list without items")
		return true
	}
	if known == 0 {
		return false
	}
	for _, o := range others {
		p.bad(o.at, o.raw, unknown(o.raw))
	}
	p.over += n - known - len(others)
	return true
}

// isNotice takes the messages that are known and name no object.
func (p *parser) isNotice(m object) bool {
	r := reader{} // a value that is not a string has the text "", which is not a notice
	topic := clip(r.optional(m, "TopicArn"))
	switch event, kind := r.optional(m, "Event"), r.optional(m, "Type"); {
	case event == "s3:TestEvent":
		p.notice(NoticeTest, "S3 tries the notifications of bucket "+clip(r.optional(m, "Bucket"))+"; there is nothing to do")
	case kind == "SubscriptionConfirmation":
		p.notice(NoticeSubscribe, "SNS sends nothing from topic "+topic+" until the subscription is confirmed: "+
			"open the SubscribeURL of this message, or call ConfirmSubscription with its Token")
	case kind == "UnsubscribeConfirmation":
		p.notice(NoticeUnsubscribe, "the subscription to topic "+topic+" has ended, and SNS sends nothing more from it; "+
			"if that was not wanted, subscribe again")
	default:
		return false
	}
	return true
}

// unknown says what was expected and what stands there.
func unknown(raw []byte) *fault {
	found := "a value that is not an object"
	switch raw[0] {
	case '[':
		found = "a list of which no item is one"
	case '{':
		found = "an object with no names"
		if m, why := members(raw); why == nil && len(m) > 0 {
			found = "an object with the names " + m.names()
		}
	}
	return &fault{ReasonShape, "expected a notification of S3 (Records with s3), EventBridge (detail-type of an object) " +
		"or CloudTrail (s3ObjectKey), or a wrapper of SQS (Body) or SNS (Message); found " + found}
}

// syntaxError says why text is not JSON, and where.
func syntaxError(text []byte) string {
	var whole json.RawMessage
	err := json.Unmarshal(text, &whole)
	var where *json.SyntaxError
	if errors.As(err, &where) {
		return fmt.Sprintf("%v, at byte %d", err, where.Offset)
	}
	return fmt.Sprint(err)
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// clip quotes a text from outside for a person to read, at most 100 bytes.
func clip(s string) string {
	if len(s) <= 100 {
		return strconv.Quote(s)
	}
	return strconv.Quote(strings.ToValidUTF8(s[:100], "")) + "..."
}
