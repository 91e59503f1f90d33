package otellog

import (
	"encoding/binary"
	"iter"
)

// Split yields the requests that stand end to end in b, as AppendRequest made
// them: one ResourceLogs each, sharing b's memory. Bytes that are not
// protobuf end it.
func Split(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) > 0 && b[0] == tagResourceLogs {
			n, k := binary.Uvarint(b[1:])
			if k <= 0 || n > uint64(len(b)-1-k) {
				return
			}
			end := 1 + k + int(n)
			if !yield(b[:end:end]) {
				return
			}
			b = b[end:]
		}
	}
}
