package syslog

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"keytrail/processor/sink/ids"
	"keytrail/schemas/body"
	"keytrail/schemas/otellog"
)

// keepBuffer bounds the memory that an encoder keeps between batches: a batch of the default
// size with room for the headers and the names of JSON.
const keepBuffer = 16 << 20

// encoder makes messages of records. It is for one goroutine at a time.
type encoder struct {
	body     body.Encoder
	facility int
	names    string // hostname, app name and process id
	data     string // the begin of the structured data
	octet    bool   // frames with lengths; else with line feeds
	bare     bool   // no frames
	limit    int    // of one message

	record  otellog.Record
	ids     []ids.ID
	message []byte
	buf     []byte // the messages of one batch
	ends    []int  // where each ends
	at      []int  // the record of each
}

func newEncoder(c *Config) *encoder {
	b, err := body.New(c.Body)
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err)) // Config.Validate has checked it
	}
	scheme, _ := c.split()
	e := &encoder{
		body: b, facility: slices.Index(facilities, c.Facility), names: " " + hostname(c) + " " + c.AppName + " - ",
		data: "[keytrail@" + strconv.Itoa(c.EnterpriseID), bare: scheme == schemeUDP, limit: int(c.MaxMessage),
	}
	e.octet = c.Framing == FramingOctet ||
		c.Framing == "" && (scheme == schemeTLS || c.Body != "cef" && c.Body != "leef")
	if e.limit == 0 {
		if e.limit = defaultMaxMessage; e.bare {
			e.limit = defaultMaxMessageUDP
		}
	}
	return e
}

// hostname returns the field HOSTNAME, "-" for an unknown name.
func hostname(c *Config) string {
	name := c.Hostname
	if name == "" {
		name, _ = os.Hostname()
	}
	return field(name, 255)
}

// field returns text as a field of the header: other characters as "_", "-" for "".
func field(text string, most int) string {
	if text == "" {
		return "-"
	}
	b := []byte(text[:min(len(text), most)])
	for i, c := range b {
		if notPrintable(rune(c)) {
			b[i] = '_'
		}
	}
	return string(b)
}

// reset forgets the messages of the last batch.
func (e *encoder) reset() {
	if cap(e.buf) > keepBuffer {
		e.buf = nil
	}
	e.buf, e.ends, e.at = e.buf[:0], e.ends[:0], e.at[:0]
}

// errTooLarge is the error of a message over the limit.
type errTooLarge struct{ size, limit int }

func (e errTooLarge) Error() string {
	return fmt.Sprintf("the message has %d bytes, and max_message is %d; raise it if the receiver takes more, "+
		"and use tcp or tls for messages of this size", e.size, e.limit)
}

// add encodes one record and appends its frame. at is its place in the batch.
func (e *encoder) add(value []byte, at int) error {
	e.record.Reset()
	if err := e.record.Decode(value); err != nil {
		return fmt.Errorf("cannot decode record %d of the batch: %w", at, err)
	}
	m, err := e.body.Append(e.header(e.message[:0]), &e.record)
	if err != nil {
		return fmt.Errorf("cannot encode record %d of the batch: %w", at, err)
	}
	if e.message = m; len(m) > e.limit {
		return errTooLarge{len(m), e.limit}
	}
	if !e.bare && e.octet {
		e.buf = append(strconv.AppendInt(e.buf, int64(len(m)), 10), ' ')
	}
	if e.buf = append(e.buf, m...); !e.bare && !e.octet {
		e.buf = append(e.buf, '\n')
	}
	e.ends, e.at = append(e.ends, len(e.buf)), append(e.at, at)
	return nil
}

// header appends the header and the structured data of the record. A body follows: without
// a byte order mark, which receivers of JSON, CEF and LEEF do not expect.
func (e *encoder) header(b []byte) []byte {
	b = strconv.AppendInt(append(b, '<'), int64(e.facility*8+severity(e.record.Severity)), 10)
	b = append(b, ">1 "...)
	at := e.record.Time
	if at <= 0 {
		at = e.record.Observed
	}
	if at > 0 {
		b = time.Unix(0, at).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	} else {
		b = append(b, '-')
	}
	b = append(b, e.names...)
	b = append(append(b, field(e.record.EventName, 32)...), ' ')
	e.ids = ids.Append(e.ids[:0], &e.record)
	if len(e.ids) == 0 {
		return append(b, "- "...)
	}
	b = append(b, e.data...)
	for _, id := range e.ids {
		b = appendParam(append(append(append(b, ' '), id.Name...), `="`...), id.Value)
	}
	return append(b, "] "...)
}

// appendParam appends the value of a parameter and the quote behind it (RFC 5424, section
// 6.3.3). Control characters become blanks: a line feed would end the frame.
func appendParam(dst []byte, value string) []byte {
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\' || c == ']':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f:
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// severity returns the syslog severity of an OpenTelemetry severity number (OpenTelemetry
// logs data model, "Mapping of SeverityNumber"): 2 critical, 3 error, 4 warning,
// 6 informational, 7 debug.
func severity(n otellog.Severity) int {
	switch {
	case n >= 21:
		return 2
	case n >= otellog.SeverityError:
		return 3
	case n >= otellog.SeverityWarn:
		return 4
	case n >= otellog.SeverityInfo || n == 0:
		return 6
	}
	return 7
}
