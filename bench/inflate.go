package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	kgzip "github.com/klauspost/compress/gzip"
)

// inflater is one way to inflate a file of the corpus into dst, which is large enough; it
// returns the result in dst.
type inflater struct {
	name    string
	inflate func(dst, packed []byte) ([]byte, error)
}

// The names of the inflaters that are the bases of comparison.
const (
	stdGzip   = "compress/gzip"
	klauspost = "klauspost/compress gzip"
)

// optional are the inflaters with requirements that not every machine meets.
var optional []inflater

// inflaters are maintained and available libraries. All are reused from file to file, and
// inflate into existing memory.
func inflaters() []inflater {
	return append([]inflater{
		reusable(stdGzip, new(gzip.Reader)),
		reusable(klauspost, new(kgzip.Reader)),
	}, optional...)
}

// reusable is a reader of either gzip package.
func reusable(name string, z interface {
	io.Reader
	Reset(io.Reader) error
}) inflater {
	var src bytes.Reader
	return inflater{name, func(dst, packed []byte) ([]byte, error) {
		src.Reset(packed)
		if err := z.Reset(&src); err != nil {
			return nil, err
		}
		dst = dst[:cap(dst)]
		n, err := io.ReadFull(z, dst)
		if err == nil { // full, and more would not fit
			return nil, io.ErrShortBuffer
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return dst[:n], nil
	}}
}

// room returns the inflated size of a file of the corpus, from the last four bytes of its
// one gzip member (RFC 1952), plus one byte.
func room(packed []byte) int {
	return int(binary.LittleEndian.Uint32(packed[len(packed)-4:])) + 1
}

// inflateAll inflates every file with one library. With check it compares the result with
// the file's text.
func (d *data) inflateAll(i inflater, dst []byte, check bool) error {
	for n, packed := range d.packed {
		text, err := i.inflate(dst, packed)
		if err != nil {
			return err
		}
		if len(text) != len(d.texts[n]) || check && !bytes.Equal(text, d.texts[n]) {
			return fmt.Errorf("file %d is %d bytes and not what was packed", n, len(text))
		}
	}
	return nil
}
