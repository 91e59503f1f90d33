package ack

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"
)

// Version is that of the protocol. Both plugins are built from one source; another
// version is refused with a message.
const Version = 2

// Bounds of a frame: 4,096 acknowledged ranges and 1,024 held ones of two numbers of at most
// 10 bytes each, and what stands before them. A name is at most 255 bytes, a text at most
// 1,024.
const (
	MaxFrameRanges = 4096
	MaxHeldRanges  = 1024
	maxFrameBytes  = (MaxFrameRanges+MaxHeldRanges)*20 + 128
	maxName        = 255
	maxText        = 1024
)

// The kinds of frames. out_kms sends hello and acks, in_kms the others.
const (
	kindHello   = 1 // the output's name
	kindWelcome = 2 // the run
	kindRefuse  = 3 // why, as text
	kindAcks    = 4 // number of the frame, run, health, ranges
	kindConfirm = 5 // number of the frame
)

// Health is the state of Kafka and of the chunks of an out_kms.
type Health struct {
	// Silent is the time since Kafka last acknowledged a record, or answered while
	// there was none to acknowledge.
	Silent time.Duration
	// Unfinished is the number of chunks with records of the run that Fluent Bit was told
	// to hand over again and that have not been delivered since, without those that miss
	// only held records.
	Unfinished uint64
	// Backlog reports whether chunks with records of runs that have ended are, or were until
	// recently, on their way: records of the run may wait behind them in Fluent Bit.
	Backlog bool
	// Held are records that the output has and Kafka refuses, at most MaxHeldRanges ranges.
	// Fluent Bit hands them to the output over and over, so in_kms need not.
	Held []Range
}

// frame is one message. Which fields are set depends on the kind.
type frame struct {
	kind   byte
	name   string
	run    Run
	text   string
	number uint64
	health Health
	ranges []Range
}

// append appends the frame: its length in four bytes, the version, the kind and the
// body.
func (f *frame) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, Version, f.kind)
	switch f.kind {
	case kindHello:
		dst = append(dst, f.name...)
	case kindWelcome:
		dst = append(dst, f.run[:]...)
	case kindRefuse:
		dst = append(dst, f.text...)
	case kindAcks:
		dst = binary.AppendUvarint(dst, f.number)
		dst = append(dst, f.run[:]...)
		dst = binary.AppendUvarint(dst, uint64(max(0, f.health.Silent.Milliseconds())))
		dst = binary.AppendUvarint(dst, f.health.Unfinished)
		backlog := byte(0)
		if f.health.Backlog {
			backlog = 1
		}
		dst = append(dst, backlog)
		dst = appendRanges(appendRanges(dst, f.health.Held), f.ranges)
	case kindConfirm:
		dst = binary.AppendUvarint(dst, f.number)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendRanges(dst []byte, list []Range) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	at := uint64(0)
	for _, r := range list {
		dst = binary.AppendUvarint(dst, r.From-at)
		dst = binary.AppendUvarint(dst, r.Len())
		at = r.To
	}
	return dst
}

// errVersion is what parse returns for a frame of another version.
var errVersion = errors.New("in_kms and out_kms are of different releases: use those of one")

// parse reads what append appended, without the length. Anything that append would not
// have written is an error.
func (f *frame) parse(b []byte) error {
	*f = frame{ranges: f.ranges[:0]}
	if len(b) < 2 {
		return errors.New("a message without a kind")
	}
	if b[0] != Version {
		return fmt.Errorf("it speaks version %d and this plugin version %d; %w", b[0], Version, errVersion)
	}
	f.kind, b = b[1], b[2:]
	switch f.kind {
	case kindHello:
		if len(b) == 0 || len(b) > maxName || !utf8.Valid(b) {
			return fmt.Errorf("a name of %d bytes, or not text", len(b))
		}
		f.name = string(b)
		return nil
	case kindWelcome:
		if len(b) != len(f.run) {
			return fmt.Errorf("a run of %d bytes", len(b))
		}
		copy(f.run[:], b)
		return nil
	case kindRefuse:
		if len(b) > maxText || !utf8.Valid(b) {
			return fmt.Errorf("a refusal of %d bytes, or not text", len(b))
		}
		f.text = string(b)
		return nil
	case kindAcks:
		return f.parseAcks(b)
	case kindConfirm:
		r := reader{b: b}
		f.number = r.number()
		return r.end()
	}
	return fmt.Errorf("a message of the unknown kind %d", f.kind)
}

func (f *frame) parseAcks(b []byte) error {
	r := reader{b: b}
	f.number = r.number()
	copy(f.run[:], r.bytes(len(f.run)))
	silent := r.number()
	f.health.Unfinished = r.number()
	backlog := r.number()
	if silent > uint64(math.MaxInt64/time.Millisecond) || backlog > 1 {
		return fmt.Errorf("a silence of %d ms, a backlog of %d: more than there can be", silent, backlog)
	}
	f.health.Silent, f.health.Backlog = time.Duration(silent)*time.Millisecond, backlog == 1
	var err error
	if f.health.Held, err = r.ranges(nil, MaxHeldRanges); err != nil {
		return err
	}
	if f.ranges, err = r.ranges(f.ranges, MaxFrameRanges); err != nil {
		return err
	}
	return r.end()
}

// reader takes parts off a message and remembers the first failure.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	// Only the shortest form of a number is valid, so each message has one encoding.
	if size <= 0 || (size > 1 && r.b[size-1] == 0) {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// ranges appends at most max ranges to dst.
func (r *reader) ranges(dst []Range, max uint64) ([]Range, error) {
	n := r.number()
	if n > max {
		return dst, fmt.Errorf("%d ranges: at most %d are taken", n, max)
	}
	at := uint64(0)
	for i := range n {
		gap, size := r.number(), r.number()
		from := at + gap
		to := from + size
		if from < at || to <= from || (i > 0 && gap == 0) {
			return dst, fmt.Errorf("range %d is empty, overflows or touches the one before", i)
		}
		dst = append(dst, Range{from, to})
		at = to
	}
	return dst, nil
}

func (r *reader) bytes(n int) []byte {
	if len(r.b) < n {
		r.failed, r.b = true, nil
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) end() error {
	if r.failed || len(r.b) > 0 {
		return fmt.Errorf("a message that is cut, or has %d bytes too many", len(r.b))
	}
	return nil
}

// read reads one frame. It uses the memory of buf and returns it, grown if need be. A frame
// that is too long is an error before anything is kept of it.
func (f *frame) read(r *bufio.Reader, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrameBytes {
		return buf, fmt.Errorf("a message of %d bytes; at most %d are taken", n, maxFrameBytes)
	}
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, err
	}
	return buf, f.parse(buf)
}
