package otellog

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"keytrail/schemas/view"
)

// Names is a set of attribute names, for readers that need few of a record's forty
// attributes. It never changes and is safe for concurrent use.
type Names struct {
	list  []string
	first [256]uint16 // by hash, the place in list of the first name plus one; 0 for none
	next  []uint16    // by place, that of the next name of the same hash, plus one
}

// NewNames returns the set of the given names. It panics if there are more than 65,535, or if
// one is given twice: the names are constants of the program.
func NewNames(names ...string) *Names {
	n := &Names{list: slices.Clone(names), next: make([]uint16, len(names))}
	if len(names) > math.MaxUint16 {
		panic(fmt.Sprintf("otellog: %d names, want %d at most", len(names), math.MaxUint16))
	}
	for i, name := range names {
		if n.Find(name) >= 0 {
			panic(fmt.Sprintf("otellog: the name %q stands twice", name))
		}
		h := hashName(name)
		n.next[i], n.first[h] = n.first[h], uint16(i+1)
	}
	return n
}

// Find returns the place of a name among those given to NewNames, or -1.
func (n *Names) Find(name string) int {
	for i := n.first[hashName(name)]; i != 0; i = n.next[i-1] {
		if n.list[i-1] == name {
			return int(i) - 1
		}
	}
	return -1
}

// hashName mixes the length and three characters. That distinguishes nearly all names of
// the registry, so most unwanted attributes are skipped without a comparison.
func hashName(name string) uint8 {
	k := len(name)
	if k == 0 {
		return 0
	}
	return uint8(k)*37 + name[k-1]*5 + name[k/2]*11 + name[k*3/4]*23
}

// DecodeOnly is Decode for a reader that needs only the attributes in names. It leaves
// Resource, Severity, Observed and the other attributes empty, and takes about a quarter of
// the time. It does not inspect what it skips, so damage there is not an error.
func (r *Record) DecodeOnly(b []byte, names *Names) error {
	r.Reset()
	record, err := firstRecord(b)
	if err == nil {
		err = r.decodeNamed(record, names)
	}
	if err != nil && err != ErrNoRecord {
		return fmt.Errorf("cannot decode log record: %w", err)
	}
	return err
}

// firstRecord returns the bytes of the first log record in a request.
func firstRecord(request []byte) ([]byte, error) {
	for b := request; len(b) > 0; {
		logs, rest, err := nextOf(b, tagResourceLogs)
		if err != nil {
			return nil, err
		}
		for b = logs; len(b) > 0; {
			scope, more, err := nextOf(b, tagScopeLogs)
			if err != nil {
				return nil, err
			}
			record, _, err := nextOf(scope, tagLogRecords)
			if record != nil || err != nil {
				return record, err
			}
			b = more
		}
		b = rest
	}
	return nil, ErrNoRecord
}

// nextOf returns the bytes of the next field of a message that has the given tag, or nil,
// and the rest of the message.
func nextOf(b []byte, want uint64) (v, rest []byte, err error) {
	for len(b) > 0 {
		var tag uint64
		if tag, v, _, b, err = field(b); err != nil || tag == want {
			return v, b, err
		}
	}
	return nil, nil, nil
}

// decodeNamed reads the fields of a log record.
func (r *Record) decodeNamed(b []byte, names *Names) error {
	var body Attr
	for len(b) > 0 {
		rest, err := r.plain(b, names)
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			break
		}
		tag, v, n, rest, err := field(rest)
		if err != nil {
			return err
		}
		b = rest
		switch tag {
		case tagLogAttrs:
			err = r.namedAnyhow(v, names)
		case tagTime:
			r.Time = int64(n)
		case tagEventName:
			r.EventName = view.String(v)
		case tagBody:
			err = body.decodeValue(v, true)
		}
		if err != nil {
			return err
		}
	}
	if body.Kind == KindString {
		r.Body = body.Str
	}
	return nil
}

// plain reads the attributes at the beginning of b and appends those whose names are
// wanted. It stops at the first that is not in the form that all writers use: a name of up
// to 127 bytes, then the value, with lengths of one or two bytes. It returns the rest of b.
// It is one loop because most of a record's forty attributes are skipped after a look at a
// few bytes.
func (r *Record) plain(b []byte, names *Names) (rest []byte, err error) {
	for len(b) > 6 && b[0] == tagLogAttrs {
		n, at := int(b[1]), 2
		if n >= 1<<7 {
			n, at = n&0x7f|int(b[2])<<7, 3
		}
		if n > len(b)-at || n < 4 || at == 3 && b[2] >= 1<<7 {
			break
		}
		attr := b[at : at+n]
		end := 2 + int(attr[1]) // of the name
		if attr[0] != tagKey || end > 2+0x7f || end > n-2 || attr[end] != tagValue {
			break
		}
		size, head := int(attr[end+1]), end+2
		if size >= 1<<7 {
			if head >= n || attr[head] >= 1<<7 {
				break
			}
			size, head = size&0x7f|int(attr[head])<<7, head+1
		}
		if size != n-head {
			break
		}
		b = b[at+n:]
		if i := names.Find(view.String(attr[2:end])); i >= 0 {
			if err := r.wanted(names.list[i], attr[head:]); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// wanted appends an attribute with an AnyValue.
func (r *Record) wanted(name string, value []byte) error {
	if len(value) >= 2 && value[0] == tagStringValue && int(value[1]) == len(value)-2 && value[1] < 1<<7 {
		a := grow(&r.Attrs, name, KindString)
		a.Str, a.Int = view.String(value[2:]), 0
		return nil
	}
	a := Attr{Key: name}
	if err := a.decodeValue(value, false); err != nil {
		return err
	}
	if a.Kind != 0 {
		r.Attrs = append(r.Attrs, a)
	}
	return nil
}

// namedAnyhow appends an attribute in any encoding if its name is wanted.
func (r *Record) namedAnyhow(b []byte, names *Names) error {
	n := len(r.Attrs)
	if err := decodeAttr(&r.Attrs, b); err != nil {
		return err
	}
	if len(r.Attrs) > n && names.Find(r.Attrs[n].Key) < 0 {
		r.Attrs = r.Attrs[:n]
	}
	return nil
}

// field reads the first field of the message b. It returns the field's bytes if it is
// length-delimited, else its number, and the rest of the message.
func field(b []byte) (tag uint64, v []byte, n uint64, rest []byte, err error) {
	// Tags of one byte and lengths of one or two are nearly all there are.
	if len(b) > 2 && b[0] < 1<<7 && b[0]&7 == 2 && b[2] < 1<<7 {
		n, k := int(b[1]), 2
		if n >= 1<<7 {
			n, k = n&0x7f|int(b[2])<<7, 3
		}
		if n <= len(b)-k {
			return uint64(b[0]), b[k : k+n], 0, b[k+n:], nil
		}
	}
	return anyField(b)
}

func anyField(b []byte) (tag uint64, v []byte, n uint64, rest []byte, err error) {
	tag, k := binary.Uvarint(b)
	if k <= 0 {
		return 0, nil, 0, nil, errWire
	}
	b = b[k:]
	switch tag & 7 {
	case 0:
		if n, k = binary.Uvarint(b); k <= 0 {
			return 0, nil, 0, nil, errWire
		}
		return tag, nil, n, b[k:], nil
	case 1:
		if len(b) >= 8 {
			return tag, nil, binary.LittleEndian.Uint64(b), b[8:], nil
		}
	case 2:
		n, k = binary.Uvarint(b)
		if k > 0 && n <= uint64(len(b)-k) {
			return tag, b[k : k+int(n)], 0, b[k+int(n):], nil
		}
	case 5:
		if len(b) >= 4 {
			return tag, nil, uint64(binary.LittleEndian.Uint32(b)), b[4:], nil
		}
	}
	return 0, nil, 0, nil, errWire
}
