package ack

import (
	"encoding/base64"
	"encoding/binary"
)

// Run names one run of in_kms: 128 random bits, new at each start.
type Run [16]byte

// IDSize is the length of a number as text: 16 bytes of the run and 8 of the number
// are exactly 32 characters of base64.
const IDSize = 32

// The text is ASCII, so that it survives filters and outputs that know only text. The
// length of the input is a multiple of three, so that nothing is padded.
var idText = base64.RawURLEncoding

// AppendID appends the text that names record n of run.
func AppendID(dst []byte, run *Run, n uint64) []byte {
	var id [24]byte
	copy(id[:], run[:])
	binary.BigEndian.PutUint64(id[16:], n)
	return idText.AppendEncode(dst, id[:])
}

// PutID writes what AppendID appends over the first IDSize bytes of dst.
func PutID(dst []byte, run *Run, n uint64) { AppendID(dst[:0:IDSize], run, n) }

// ParseID reads the text of AppendID. It reports false for anything else.
func ParseID(text []byte) (run Run, n uint64, ok bool) {
	var id [24]byte
	if len(text) != IDSize {
		return run, 0, false
	}
	if got, err := idText.Decode(id[:], text); err != nil || got != len(id) {
		return run, 0, false
	}
	copy(run[:], id[:])
	return run, binary.BigEndian.Uint64(id[16:]), true
}
