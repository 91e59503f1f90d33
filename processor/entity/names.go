package entity

import (
	"bytes"
	"encoding/binary"
	"strings"

	"keytrail/schemas/wire"
)

// names gives names of KMS keys and principals a short form. In every cloud, many names
// share what stands before their last slash: keys the account and Region, or the key ring,
// and roles the account and path. Such a head becomes a number, and a UUID of 36 characters
// becomes 16 bytes. Without this codec, names are a third of what an entity takes. One names
// always gives the same short form to the same name, and different ones to different names.
// Short forms of different names values do not compare. The zero value is ready to use. It is
// not safe for concurrent use.
type names struct {
	heads []string
	known map[string]uint64 // their places in heads
	text  [2][]byte         // memory of compare
}

// Callers can write anything into a key id, so the heads are bounded: at most maxHeads, of
// at most maxHeadBytes each, take half a megabyte. Names with other heads stay whole.
const (
	maxHeads     = 4096
	maxHeadBytes = 128
)

// whole is the first number of a short form that has the whole name behind it. In all
// others, the first number is twice the place of the head, plus two, and one more when a
// UUID follows.
const whole = 0

// shorten appends the short form of a name to dst.
func (n *names) shorten(dst []byte, name string) []byte {
	cut := strings.LastIndexByte(name, '/') + 1
	at, ok := n.known[name[:cut]]
	if !ok {
		if cut == 0 || cut > maxHeadBytes || len(n.heads) == maxHeads {
			return append(append(dst, whole), name...)
		}
		if n.known == nil {
			n.known = map[string]uint64{}
		}
		at = uint64(len(n.heads))
		head := strings.Clone(name[:cut])
		n.heads, n.known[head] = append(n.heads, head), at
	}
	if hi, lo, ok := wire.ParseUUID(name[cut:]); ok {
		dst = binary.AppendUvarint(dst, 2*at+3)
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, hi), lo)
	}
	return append(binary.AppendUvarint(dst, 2*at+2), name[cut:]...)
}

// expand appends the name that has the given short form to dst. The short form must come
// from the same names.
func (n *names) expand(dst, short []byte) []byte {
	head, k := binary.Uvarint(short)
	rest := short[k:]
	switch {
	case head == whole:
		return append(dst, rest...)
	case head&1 != 0:
		dst = append(dst, n.heads[head/2-1]...)
		return wire.AppendUUID(dst, binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]))
	}
	return append(append(dst, n.heads[head/2-1]...), rest...)
}

// compare orders two short forms like their names, as bytes.Compare does.
func (n *names) compare(a, b []byte) int {
	head, k := binary.Uvarint(a)
	if other, _ := binary.Uvarint(b); head == other { // the rests are in the same order, UUIDs like their digits
		return bytes.Compare(a[k:], b[k:])
	}
	n.text[0], n.text[1] = n.expand(n.text[0][:0], a), n.expand(n.text[1][:0], b)
	return bytes.Compare(n.text[0], n.text[1])
}
