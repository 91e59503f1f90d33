package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
)

const (
	// readTimeout bounds the wait for the next bytes of a body. It applies only during a
	// Read, not to the consumer's time between two reads.
	readTimeout = time.Minute
	// maxResumes bounds consecutive resumptions of one body without a byte between them.
	maxResumes = 5
)

// errChanged ends reading if the object was replaced meanwhile.
var errChanged = errors.New("the object was replaced while it was read")

// body reads one object, over as many connections as necessary.
type body struct {
	ctx    context.Context
	client *Client
	ref    Ref

	in      io.ReadCloser
	cancel  context.CancelFunc // ends in's connection
	offset  int64              // bytes read
	size    int64              // of the object, -1 if S3 did not say
	etag    string
	resumes int // since the last byte
}

// open requests the object from the offset on.
func (b *body) open() error {
	ctx, cancel := context.WithCancel(b.ctx)
	slow := time.AfterFunc(client.RequestTimeout, cancel) // until the body begins
	out, err := b.client.get(ctx, &b.ref, b.offset, b.etag)
	if !slow.Stop() && err == nil {
		out.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return err
	}
	if b.offset == 0 {
		b.etag, b.size = "", -1
		if out.ETag != nil {
			b.etag = *out.ETag // with the quotes that If-Match requires
		}
		if out.ContentLength != nil {
			b.size = *out.ContentLength
		}
	} else if out.ContentLength != nil && b.size >= 0 && *out.ContentLength != b.size-b.offset {
		// A proxy ignores ranges and sends the whole object again.
		out.Body.Close()
		cancel()
		return fmt.Errorf("requested the bytes from %d on of %d, but got %d", b.offset, b.size, *out.ContentLength)
	}
	b.in, b.cancel = out.Body, cancel
	return nil
}

// Read implements io.Reader. It resumes after a broken connection.
func (b *body) Read(p []byte) (int, error) {
	for {
		n, err := b.read(p)
		b.offset += int64(n)
		if n > 0 {
			b.resumes = 0
			return n, nil // the next Read returns err again
		}
		if err == nil {
			continue
		}
		if err == io.EOF && (b.size < 0 || b.offset == b.size) {
			return 0, io.EOF
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err = b.resume(err); err != nil {
			return 0, fmt.Errorf("cannot read %q after byte %d: %w", b.ref.Name(), b.offset, err)
		}
	}
}

// read reads from the current connection, and gives up if it is silent.
func (b *body) read(p []byte) (int, error) {
	silent := time.AfterFunc(readTimeout, b.cancel)
	defer silent.Stop()
	return b.in.Read(p)
}

// resume opens another connection at the current offset because of why. It returns nil if
// reading can continue.
func (b *body) resume(why error) error {
	for b.ctx.Err() == nil && b.etag != "" && b.resumes < maxResumes {
		b.resumes++
		b.Close()
		err := b.open()
		if err == nil {
			return nil
		}
		switch client.Code(err) {
		case "PreconditionFailed":
			return errChanged
		case "NoSuchKey", "NoSuchVersion":
			return &source.Rejected{Reason: source.ReasonGone, Detail: b.ref.Name() + " was removed while it was read"}
		}
		why = err
	}
	return client.Short(why)
}

// Close ends the connection.
func (b *body) Close() error {
	b.cancel()
	return b.in.Close()
}
