package digest

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"keytrail/processor/source/aws/s3"
)

// files checks the log files that d names.
func (c *check) files(d *Digest) error {
	for _, f := range d.Files {
		sum, why, err := c.v.sum(c.ctx, f)
		switch {
		case gone(err):
			c.found(LogFileMissing, f.Bucket, f.Key, "CloudTrail delivered it, and it is gone")
		case err != nil:
			return err
		case why != "":
			c.found(LogFileChanged, f.Bucket, f.Key, why)
		case sum != f.Hash:
			c.found(LogFileChanged, f.Bucket, f.Key, "its content has another hash than when CloudTrail delivered it")
		}
	}
	return nil
}

// sum returns the hash of a log file's inflated bytes; why says that it has none.
func (v *Verifier) sum(ctx context.Context, f File) (sum, why string, err error) {
	body, err := v.objects.Open(ctx, s3.Ref{Bucket: f.Bucket, Key: f.Key})
	if err != nil {
		return "", "", err
	}
	defer body.Close()
	in := &failing{in: body}
	z, err := newMember(in)
	h := sha256.New()
	n := int64(0)
	if err == nil {
		n, err = io.Copy(h, io.LimitReader(z, maxLogBytes+1))
	}
	switch {
	case in.err != nil:
		return "", "", in.err
	case err != nil:
		return "", "it cannot be inflated: " + err.Error(), nil
	case n > maxLogBytes:
		return "", fmt.Sprintf("it inflates to more than %d bytes", int64(maxLogBytes)), nil
	}
	return hex.EncodeToString(h.Sum(nil)), "", nil
}

// failing tells an error of the network from one of the gzip stream.
type failing struct {
	in  io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.in.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// errBehind is what reading ends with when something stands behind the first member.
var errBehind = errors.New("there are bytes behind the gzip member that CloudTrail wrote")

// member reads a gzip stream of one member, as CloudTrail writes its files. What somebody
// appends is in no hash where it inflates to nothing, and readers disagree about it: some
// read on, some stop.
type member struct {
	z  *gzip.Reader
	in *bufio.Reader
}

func newMember(in io.Reader) (*member, error) {
	m := &member{in: bufio.NewReader(in)} // a ByteReader: gzip reads no byte too many
	var err error
	if m.z, err = gzip.NewReader(m.in); err != nil {
		return nil, err
	}
	m.z.Multistream(false)
	return m, nil
}

// Read is io.Reader's.
func (m *member) Read(p []byte) (int, error) {
	n, err := m.z.Read(p)
	if err == io.EOF {
		if _, behind := m.in.Peek(1); behind == nil {
			err = errBehind
		}
	}
	return n, err
}
