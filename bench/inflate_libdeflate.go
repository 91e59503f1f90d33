//go:build libdeflate

package main

import (
	"github.com/4kills/go-libdeflate/v2"
)

// libdeflate is C, reached through cgo, and takes whole buffers only.
func init() {
	z, err := libdeflate.NewDecompressor() // the program's only one; never closed
	optional = append(optional, inflater{"libdeflate (C, through 4kills/go-libdeflate)",
		func(dst, packed []byte) ([]byte, error) {
			if err != nil {
				return nil, err
			}
			dst = dst[:room(packed)-1]
			_, _, err := z.Decompress(packed, dst, libdeflate.ModeGzip)
			return dst, err
		}})
}
