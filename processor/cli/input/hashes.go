package input

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	"keytrail/processor/source"
	"keytrail/processor/usage"
)

// Hashes are the SHA-256s of the objects that a command reads, as they are stored: a file, an
// S3 object, an entry of an archive. They are safe for concurrent use.
type Hashes struct {
	mu   sync.Mutex
	list [][sha256.Size]byte
	size int64
}

// Object returns o, whose reader adds the hash once it is closed. It reads on to the end
// then, so the hash is that of the whole object.
func (h *Hashes) Object(o source.Object) source.Object {
	open := o.Open
	o.Open = func() (io.ReadCloser, error) {
		body, err := open()
		if err != nil {
			return nil, err
		}
		return &hashed{ReadCloser: body, to: h, hash: sha256.New(), known: o.Size >= 0}, nil
	}
	return o
}

// Sum returns the hash over the hashes. "sha256sum FILES | cut -d' ' -f1 | sort | sha256sum"
// gives the same.
func (h *Hashes) Sum() *usage.Inputs {
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := make([]string, 0, len(h.list))
	for _, sum := range h.list {
		lines = append(lines, hex.EncodeToString(sum[:])+"\n")
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return &usage.Inputs{Objects: int64(len(lines)), Bytes: h.size, SHA256: hex.EncodeToString(sum[:])}
}

// hashed is the reader of an object that is hashed.
type hashed struct {
	io.ReadCloser
	to   *Hashes
	hash hash.Hash
	n    int64
	err  error
	// known reports whether the object has a size. One without may have no end.
	known bool
}

func (r *hashed) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.hash.Write(p[:n])
	r.n, r.err = r.n+int64(n), err
	return n, err
}

func (r *hashed) Close() error {
	if r.err == nil && r.known {
		io.Copy(io.Discard, struct{ io.Reader }{r}) // what a decoder did not need
	}
	r.to.mu.Lock()
	r.to.list, r.to.size = append(r.to.list, [sha256.Size]byte(r.hash.Sum(nil))), r.to.size+r.n
	r.to.mu.Unlock()
	return r.ReadCloser.Close()
}
