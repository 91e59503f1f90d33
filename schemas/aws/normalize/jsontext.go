package normalize

import (
	"encoding/binary"

	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/view"
)

// Bounds of what callers choose, in bytes. AWS KMS takes encryption contexts of up to
// 8,192. The longest that a service makes, with the ARN of an object of Amazon S3, has
// some 1,200.
const (
	maxMap    = 2048 // the JSON of a free map; members beyond it are in the body only
	maxObject = 256  // a whole context as the object of a call; a longer one is its digest
)

// jsonText writes pairs as one JSON object, in their order and without spaces, so that
// equal maps in equal order are equal texts and different ones are not. It leaves out each
// member with which the text would be longer than most bytes, and reports whether the text
// is whole. The text is in scratch memory.
func (n *Normalizer) jsonText(pairs []cloudtrail.KV, most int) (text string, whole bool) {
	whole = true
	n.scratch = append(n.scratch, '{')
	from := len(n.scratch)
	for i := range pairs {
		end := len(n.scratch)
		if end > from {
			n.scratch = append(n.scratch, ',')
		}
		n.scratch = append(appendQuoted(n.scratch, pairs[i].Key), ':')
		n.scratch = appendQuoted(n.scratch, pairs[i].Value)
		if len(n.scratch)-from+2 > most {
			n.scratch, whole = n.scratch[:end], false
		}
	}
	n.scratch = append(n.scratch, '}')
	return view.String(n.scratch[from-1:]), whole
}

// appendQuoted appends a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	clean := cleanWords(s)
	dst = append(dst, s[:clean]...)
	for i := clean; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// cleanWords returns how many bytes at the beginning of s certainly need no escape in
// JSON: a multiple of eight, as it looks at eight at once.
//
// Source: S. E. Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than
// n" and "equal to n".
func cleanWords(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for b := []byte(s); i+8 <= len(b); i += 8 { // not copied: it does not leave this function
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		if ((quote-ones)&^quote|(slash-ones)&^slash|(w-ones*' ')&^w)&tops != 0 {
			break
		}
	}
	return i
}
