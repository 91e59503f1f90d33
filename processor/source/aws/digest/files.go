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
			c.found(LogFileMissing, f.Bucket, f.Key, "CloudTrail delivered it, but it is missing")
		case err != nil:
			return err
		case why != "":
			c.found(LogFileChanged, f.Bucket, f.Key, why)
		case sum != f.Hash:
			c.found(LogFileChanged, f.Bucket, f.Key, "its content does not have the hash of CloudTrail's delivery")
		}
	}
	return nil
}

// sum returns the hash of a log file's inflated bytes; why is the reason for having none.
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

// failing reports whether an error comes from the network, not from the gzip stream.
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

// errBehind means that data follows the first gzip member.
var errBehind = errors.New("there are bytes after CloudTrail's gzip member")

// member reads a gzip stream of one member, CloudTrail's format. Data appended to it that
// inflates to nothing is in no hash, and readers differ: some read it, some stop.
type member struct {
	z  *gzip.Reader
	in *bufio.Reader
}

func newMember(in io.Reader) (*member, error) {
	m := &member{in: bufio.NewReader(in)} // as it is a ByteReader, gzip reads no byte too many
	var err error
	if m.z, err = gzip.NewReader(m.in); err != nil {
		return nil, err
	}
	m.z.Multistream(false)
	return m, nil
}

// Read implements io.Reader.
func (m *member) Read(p []byte) (int, error) {
	n, err := m.z.Read(p)
	if err == io.EOF {
		if _, behind := m.in.Peek(1); behind == nil {
			err = errBehind
		}
	}
	return n, err
}
