package detect

import (
	"bytes"
	"encoding/binary"
	"strings"

	"keytrail/schemas/wire"
)

// names writes the names of KMS keys and principals short: what stands before the first
// slash, and with it, is the same for all keys of an account and Region or all roles of
// an account, and is written as its number; an id that is a UUID takes 16 bytes for 36.
// Of an entity's packed form the names were a third. One name always gets the same
// short form from the same names. Not safe for concurrent use.
type names struct {
	heads []string
	known map[string]uint64 // their places in heads
	text  [2][]byte         // memory of compare and expand
}

// maxHeads bounds the heads that are kept, with the accounts and Regions that they are
// of, and maxHeadBytes each of them: half a megabyte at the most, as a caller can write
// anything into a key id. Names with others are written whole.
const (
	maxHeads     = 4096
	maxHeadBytes = 128
)

// The first number of a short form: 0 of a name that is written whole behind it; else
// twice the place of the head, plus two, and one more when a UUID follows.
const whole = 0

// short appends the short form of a name.
func (n *names) short(dst []byte, name string) []byte {
	cut := strings.IndexByte(name, '/') + 1
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

// append appends the name of which short is the form.
func (n *names) append(dst, short []byte) []byte {
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

// expand returns the name of which short is the form.
func (n *names) expand(short []byte) string {
	n.text[0] = n.append(n.text[0][:0], short)
	return string(n.text[0])
}

// compare orders two short forms as their names. Of names with the same head the rests
// are in the same order, UUIDs as their digits.
func (n *names) compare(a, b []byte) int {
	head, k := binary.Uvarint(a)
	if other, _ := binary.Uvarint(b); head == other {
		return bytes.Compare(a[k:], b[k:])
	}
	n.text[0], n.text[1] = n.append(n.text[0][:0], a), n.append(n.text[1][:0], b)
	return bytes.Compare(n.text[0], n.text[1])
}
