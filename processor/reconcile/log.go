// Package reconcile matches the calls of a trail with an application's own log of the calls
// that it meant to make. A call without a partner in the log was made by somebody else with
// the application's rights, or by a part of it that does not log; an expected call without a
// partner in the trail never reached KMS, or the trail lost it. The idea is that of
// login.gov's kms_log (18F/identity-lambda-functions).
//
// It is pure, and exact: each call has at most one partner, at most Skew away, and as many
// pairs are found as can be.
package reconcile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Bounds of a log and of the calls that are compared with it: each takes some 60 bytes.
const (
	MaxExpected = 10_000_000
	MaxCalls    = 10_000_000
	MaxLine     = 64 << 10 // bytes of a line of the log
)

// identity is what a call and its partner have in common. A property that the log does not
// give is "".
type identity struct{ key, principal, operation, context string }

// expected is an expected call.
type expected struct {
	time   int64 // ns since 1970
	file   int32 // in Log.files
	line   int32
	at     int32 // its identity's number
	paired bool
}

// Log is an application's log of the calls that it meant to make. It is safe for concurrent
// use once it is read.
type Log struct {
	fields     identity // a property is "" unless the log gives it; see parse
	files      []string
	calls      []expected
	identities []identity
	numbers    map[identity]int32
	ids        map[string]struct{}
	// parts numbers the operations and contexts that are expected; see Number.
	parts map[part]uint32
	// Repeated counts lines whose id an earlier line had.
	Repeated int
}

type part struct{ operation, context string }

// elsewhere is the context of calls whose context is not expected of their operation.
const elsewhere = "\x00"

// ErrTooMany means that a log is too long.
var ErrTooMany = errors.New("the log has more expected calls than can be compared")

// NewLog returns an empty Log.
func NewLog() *Log {
	return &Log{numbers: map[identity]int32{}, ids: map[string]struct{}{}, parts: map[part]uint32{}}
}

// Len returns the number of expected calls.
func (l *Log) Len() int { return len(l.calls) }

// Period returns the times of the first and the last expected call, in ns since 1970.
func (l *Log) Period() (first, last int64) {
	first, last = math.MaxInt64, math.MinInt64
	for i := range l.calls {
		first, last = min(first, l.calls[i].time), max(last, l.calls[i].time)
	}
	return first, last
}

// Open begins a file of the log.
func (l *Log) Open(file string) { l.files = append(l.files, file) }

// line is a line of the log.
type line struct {
	Time      string             `json:"time"`
	Key       string             `json:"key"`
	Principal *string            `json:"principal"`
	Operation *string            `json:"operation"`
	Context   *map[string]string `json:"encryption_context"`
	ID        string             `json:"id"`
}

// Add takes a line of the file opened last, a JSON object:
//
//	time                RFC 3339, fractions allowed: when the call was made
//	key                 ARN or id of the KMS key, or an alias
//	operation           such as Decrypt; without it, any cryptographic operation
//	principal           an ARN, or its end such as role/app; without it, any principal
//	encryption_context  the whole of it, {} for none; without it, any
//	id                  lines with one id are one expected call
//
// All lines give the same of operation, principal and encryption_context. Other names are
// ignored. n is the line's number, from 1. The error says what is wrong with the line.
func (l *Log) Add(n int, text []byte) error {
	var in line
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&in); err != nil {
		return fmt.Errorf("not a JSON object of an expected call: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value on the line")
	}
	at, err := time.Parse(time.RFC3339Nano, in.Time)
	if err != nil {
		return fmt.Errorf("time is %q, want RFC 3339 such as 2026-11-20T09:00:00.250Z", in.Time)
	}
	if in.Key == "" {
		return errors.New("key is absent: want the ARN or id of a KMS key, or an alias")
	}
	var has, v identity
	give := func(has, to *string, from *string) {
		if from != nil {
			*has, *to = "given", strings.Clone(*from)
		}
	}
	v.key = in.Key
	give(&has.operation, &v.operation, in.Operation)
	give(&has.principal, &v.principal, in.Principal)
	if in.Context != nil {
		has.context, v.context = "given", contextText(*in.Context)
	}
	return l.add(expected{time: at.UnixNano(), file: int32(len(l.files) - 1), line: int32(n)}, in.ID, has, v)
}

// add adds an expected call with the properties that has tells of.
func (l *Log) add(e expected, id string, has, v identity) error {
	if len(l.calls) == 0 {
		l.fields = has
	}
	if has != l.fields {
		return fmt.Errorf("the line gives %s, the first line gives %s; all lines give the same", has.given(),
			l.fields.given())
	}
	if _, ok := l.ids[id]; ok {
		l.Repeated++
		return nil
	}
	if len(l.calls) >= MaxExpected {
		return fmt.Errorf("%w: %d; split it by time", ErrTooMany, MaxExpected)
	}
	if id != "" {
		l.ids[id] = struct{}{}
	}
	n, ok := l.numbers[v]
	if !ok {
		n = int32(len(l.identities))
		l.numbers[v], l.identities = n, append(l.identities, v)
	}
	for _, p := range [...]part{{v.operation, elsewhere}, {v.operation, v.context}} {
		if _, ok := l.parts[p]; !ok {
			l.parts[p] = uint32(len(l.parts)) + 1
		}
	}
	e.at = n
	l.calls = append(l.calls, e)
	return nil
}

// given names the properties that a line gives.
func (v identity) given() string {
	names := []string{"key"}
	for _, f := range [...][2]string{{v.operation, "operation"}, {v.principal, "principal"},
		{v.context, "encryption_context"}} {
		if f[0] != "" {
			names = append(names, f[1])
		}
	}
	return strings.Join(names, ", ")
}

// Number returns the number of a record's operation and encryption context among the
// expected ones; 0 if the log does not tell of such calls.
func (l *Log) Number(rec *otellog.Record) uint32 {
	var p part
	if l.fields.operation != "" {
		_, p.operation, _ = strings.Cut(rec.Str(semconv.RPCMethod), "/")
	}
	if l.fields.context == "" {
		return l.parts[p]
	}
	p.context = contextOf(rec.Str(semconv.AWSKMSEncryptionContext))
	if n, ok := l.parts[p]; ok {
		return n
	}
	p.context = elsewhere
	return l.parts[p]
}

// judges reports whether the log tells of calls such as c, whose Number is n.
func (l *Log) judges(c *count.Call, n uint32) bool {
	return n != 0 && (l.fields.operation != "" || keyledger.Cryptographic(c.Class))
}

// contextOf returns an encryption context, as a record has it, in the form of contextText.
func contextOf(text string) string {
	if text == "" {
		return contextText(nil)
	}
	var pairs map[string]string
	if json.Unmarshal([]byte(text), &pairs) != nil {
		return text // not pairs of strings, so it equals no expected one
	}
	return contextText(pairs)
}

// contextText is the one text of an encryption context: JSON, names in order.
func contextText(pairs map[string]string) string {
	names := make([]string, 0, len(pairs))
	for name := range pairs {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		n, _ := json.Marshal(name) // of a string: it cannot fail
		v, _ := json.Marshal(pairs[name])
		b = append(append(append(b, n...), ':'), v...)
	}
	return string(append(b, '}'))
}
