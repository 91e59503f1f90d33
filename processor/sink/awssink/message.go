package awssink

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"keytrail/processor/sink"
	"keytrail/processor/sink/ids"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Message is one record as SNS and SQS take it.
type Message struct {
	Body string
	// Subject is that of a mail, "" for none: at most 100 printable ASCII characters.
	Subject    string
	Attributes []Attribute
	// Group and Dedup are the ids of a FIFO queue or topic: 1 to 128 printable ASCII
	// characters; "" otherwise.
	Group, Dedup string

	at int // its record's place in the batch
}

// Attribute is a message attribute of the type String. Its value is not empty.
type Attribute struct{ Name, Value string }

// attributeType is the type of all attributes. It counts against the size of a message.
const attributeType = "String"

// size returns the bytes that count against the limit of a message and of a request.
func (m *Message) size() int {
	n := len(m.Body) + len(m.Subject)
	for _, a := range m.Attributes {
		n += len(a.Name) + len(attributeType) + len(a.Value)
	}
	return n
}

// Writer makes the text of a message from a record. It appends to dst.
type Writer interface {
	Append(dst []byte, r *otellog.Record) ([]byte, error)
}

// Bodies returns the forms that the text of a message can have: those that are JSON.
func Bodies() (names []string) {
	for _, name := range body.Names() {
		if body.ContentType(name) == "application/json" {
			names = append(names, name)
		}
	}
	return names
}

// WriterOf returns what makes writers of a body, which is one of Bodies.
func WriterOf(name string) func() Writer {
	return func() Writer {
		e, err := body.New(name)
		if err != nil {
			panic(fmt.Sprintf("BUG: %v", err)) // Config.Validate has checked it
		}
		return e
	}
}

// encoder makes messages. It is for one goroutine at a time.
type encoder struct {
	writer  Writer
	subject func(*otellog.Record) string // nil: none
	fifo    bool
	record  otellog.Record
	ids     []ids.ID
	buf     []byte
}

// message returns the message of a record.
func (e *encoder) message(r *sink.Record, at int) (Message, error) {
	e.record.Reset()
	if err := e.record.Decode(r.Value); err != nil {
		return Message{}, fmt.Errorf("cannot decode record %d of the batch: %w", at, err)
	}
	var err error
	if e.buf, err = e.writer.Append(e.buf[:0], &e.record); err != nil {
		return Message{}, fmt.Errorf("cannot encode record %d of the batch: %w", at, err)
	}
	m := Message{at: at, Body: characters(string(e.buf))}
	if e.subject != nil {
		m.Subject = Printable(e.subject(&e.record), 100)
	}
	e.ids = ids.Append(e.ids[:0], &e.record)
	m.Attributes = e.attributes()
	if e.fifo {
		m.Group, m.Dedup = token(entity(&e.record)), token(e.dedup(r))
	}
	return m, nil
}

// attributes returns what subscribers and filter policies choose by.
func (e *encoder) attributes() (list []Attribute) {
	add := func(name, value string) {
		if value = Printable(value, 256); value != "" {
			list = append(list, Attribute{name, value})
		}
	}
	add("event_name", e.record.EventName)
	add("severity", cmp.Or(e.record.Str(semconv.KeytrailAnomalySeverity), e.record.Str(semconv.KeytrailIncidentSeverity)))
	add("state", cmp.Or(e.record.Str(semconv.KeytrailAnomalyState), e.record.Str(semconv.KeytrailIncidentState)))
	add("kind", e.record.Str(semconv.KeytrailAnomalyKind))
	add("account", where(&e.record, semconv.CloudAccountID))
	add("region", where(&e.record, semconv.CloudRegion))
	for _, id := range e.ids {
		add(id.Name, id.Value)
	}
	return list
}

// where returns an attribute of the resource, "" for none.
func where(r *otellog.Record, key string) string {
	for i := range r.Resource {
		if r.Resource[i].Key == key {
			return r.Resource[i].Str
		}
	}
	return ""
}

// dedup returns what is the same whenever a record is sent: the id of the publication, or
// the record's place in Kafka. An open window is published again with the same id and
// revision.
func (e *encoder) dedup(r *sink.Record) string {
	if id := e.record.Str(semconv.LogRecordUID); id != "" {
		return id
	}
	return fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset)
}

// entity returns the key, the principal or the pair that a record is about. A FIFO queue
// keeps the order of its messages.
func entity(r *otellog.Record) string {
	key, principal := r.Str(semconv.AWSKMSKeyARN), r.Str(semconv.KeytrailPrincipalID)
	switch {
	case key != "" && principal != "" && r.EventName != semconv.EventAWSKMSAPICall:
		return key + "|" + principal
	case key != "":
		return key
	case principal != "":
		return principal
	}
	return "keytrail"
}

// token returns text as an id of a FIFO queue: itself, or a digest if it is too long or has
// other characters.
func token(text string) string {
	if len(text) <= 128 && text != "" && Printable(text, 128) == text && !strings.Contains(text, " ") {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Printable returns at most most bytes of text, with other characters than printable ASCII
// as "?" and without blanks at its ends.
func Printable(text string, most int) string {
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text))
	return strings.TrimSpace(text[:min(len(text), most)])
}

// characters returns text without the characters that SQS refuses: those that XML 1.0 does
// not have. A body of JSON, which begins with a brace, gets their escapes.
func characters(text string) string {
	bad := func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}
	if utf8.ValidString(text) && !strings.ContainsFunc(text, bad) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !bad(r):
			b.WriteRune(r)
		case strings.HasPrefix(text, "{"):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String()
}
