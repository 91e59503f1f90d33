package digest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"keytrail/processor/source"
	"keytrail/processor/source/awsclient"
	"keytrail/processor/source/s3"
	"keytrail/schemas/notification"
)

// maxLogBytes bounds a log file, inflated: the bound of its events' decoder too.
const maxLogBytes = 4 << 30

// maxKeys bounds the public keys in mind: each region has a few a year.
const maxKeys = 10_000

// Verifier checks digests in S3. It reads every log file that a digest names, beside
// the reading of its events: that doubles the requests and bytes. It is safe for
// concurrent use.
type Verifier struct {
	objects *s3.Client
	trails  *cloudtrail.Client

	mu   sync.Mutex // guards keys
	keys map[string][]byte
}

// NewVerifier returns a Verifier. It calls nothing.
func NewVerifier(cfg aws.Config, objects *s3.Client) *Verifier {
	return &Verifier{objects: objects, trails: cloudtrail.NewFromConfig(cfg), keys: map[string][]byte{}}
}

// Object returns a digest as something to read: opening it checks the digest, and
// what it holds is the findings as events, one a line; nothing when all is as it
// should be. Trouble on the way is an error, never a finding.
func (v *Verifier) Object(ctx context.Context, r s3.Ref) source.Object {
	return source.Object{Name: r.Name(), Size: -1, ModTime: r.Modified, ETag: r.ETag, Open: func() (io.ReadCloser, error) {
		findings, err := v.Check(ctx, r)
		if err != nil {
			return nil, err
		}
		var b []byte
		for i := range findings {
			b = append(findings[i].AppendEvent(b), '\n')
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}}
}

// Check checks one digest: its signature, the digest that it continues, the log files
// that it names, and whether others lie beside them.
func (v *Verifier) Check(ctx context.Context, r s3.Ref) ([]Finding, error) {
	c := &check{v: v, ctx: ctx, ref: r, file: notification.FileOf(r.Key)}
	d, signature, why, err := v.read(ctx, r.Bucket, r.Key)
	switch {
	case err != nil:
		return nil, err
	case why != "":
		c.at = c.file.Stamp
		c.found(DigestInvalid, r.Bucket, r.Key, why)
		return c.findings, nil
	}
	c.at = d.End
	if err := c.signature(d, signature); err != nil {
		return nil, err
	}
	before, err := c.previous(d)
	if err == nil {
		err = c.files(d)
	}
	if err == nil && before != nil {
		err = c.extra(before, d)
	}
	return c.findings, err
}

// read reads a digest and its signature. why says that it is none.
func (v *Verifier) read(ctx context.Context, bucket, key string) (d *Digest, signature, why string, err error) {
	content, metadata, err := v.objects.Read(ctx, s3.Ref{Bucket: bucket, Key: key}, MaxBytes)
	if err != nil {
		return nil, "", "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(z, MaxBytes+1))
	}
	switch {
	case err != nil:
		return nil, "", "it can not be inflated: " + err.Error(), nil
	case len(content) > MaxBytes:
		return nil, "", fmt.Sprintf("it inflates to more than %d bytes", MaxBytes), nil
	}
	d, err = Parse(content)
	if err != nil {
		return nil, "", err.Error(), nil
	}
	return d, metadata["signature"], "", nil
}

// check is the state of checking one digest.
type check struct {
	v        *Verifier
	ctx      context.Context
	ref      s3.Ref
	file     notification.File
	at       time.Time
	findings []Finding
}

func (c *check) found(kind Kind, bucket, key, detail string) {
	c.findings = append(c.findings, Finding{
		Kind: kind, Account: c.file.Account, Region: c.file.Region, At: c.at,
		Digest: c.ref.Name(), Object: s3.Scheme + bucket + "/" + key, Detail: detail,
	})
}

func (c *check) signature(d *Digest, signature string) error {
	if signature == "" {
		c.found(DigestInvalid, c.ref.Bucket, c.ref.Key, "it has no signature in its metadata")
		return nil
	}
	if d.Bucket != c.ref.Bucket || d.Key != c.ref.Key {
		c.found(DigestInvalid, c.ref.Bucket, c.ref.Key, "it was written for "+s3.Scheme+d.Bucket+"/"+d.Key+": it was moved or copied")
		return nil
	}
	key, err := c.v.key(c.ctx, c.file.Region, d)
	if err != nil {
		return err
	}
	if key == nil {
		c.found(DigestInvalid, c.ref.Bucket, c.ref.Key, "CloudTrail has no public key "+d.Fingerprint+" for the time in which it was signed")
	} else if err := d.Verify(signature, key); err != nil {
		c.found(DigestInvalid, c.ref.Bucket, c.ref.Key, err.Error())
	}
	return nil
}

// key returns a public key, nil when CloudTrail has none.
func (v *Verifier) key(ctx context.Context, region string, d *Digest) ([]byte, error) {
	id := region + "/" + d.Fingerprint
	v.mu.Lock()
	key := v.keys[id]
	v.mu.Unlock()
	if key != nil {
		return key, nil
	}
	ctx, cancel := context.WithTimeout(ctx, awsclient.RequestTimeout)
	defer cancel()
	in := &cloudtrail.ListPublicKeysInput{StartTime: aws.Time(d.Start), EndTime: aws.Time(d.End)}
	for pages := cloudtrail.NewListPublicKeysPaginator(v.trails, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx, func(o *cloudtrail.Options) {
			if region != "" {
				o.Region = region
			}
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list CloudTrail's public keys in %s: %w", region, awsclient.Short(err))
		}
		v.mu.Lock()
		for _, k := range out.PublicKeyList {
			if len(v.keys) < maxKeys {
				v.keys[region+"/"+aws.ToString(k.Fingerprint)] = k.Value
			}
			if aws.ToString(k.Fingerprint) == d.Fingerprint {
				key = k.Value
			}
		}
		v.mu.Unlock()
	}
	return key, nil
}

// previous checks that d continues the digest before, and returns that one.
func (c *check) previous(d *Digest) (*Digest, error) {
	p := d.Previous
	if p == nil {
		return nil, nil
	}
	before, signature, why, err := c.v.read(c.ctx, p.Bucket, p.Key)
	switch {
	case gone(err):
		c.found(DigestMissing, p.Bucket, p.Key, "the digest before is gone: what was delivered in its time can not be checked")
		return nil, nil
	case err != nil:
		return nil, err
	case why != "":
		c.found(DigestChanged, p.Bucket, p.Key, why)
		return nil, nil
	case before.sum != p.Hash:
		c.found(DigestChanged, p.Bucket, p.Key, "the digest before has another hash than the next one says")
		return nil, nil
	case signature != p.Signature:
		c.found(DigestChanged, p.Bucket, p.Key, "the digest before has another signature than the next one says")
	}
	return before, nil
}

func gone(err error) bool {
	var r *source.Rejected
	return errors.As(err, &r) && r.Reason == source.ReasonGone
}

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
	z, err := gzip.NewReader(in)
	h := sha256.New()
	n := int64(0)
	if err == nil {
		n, err = io.Copy(h, io.LimitReader(z, maxLogBytes+1))
	}
	switch {
	case in.err != nil:
		return "", "", in.err
	case err != nil:
		return "", "it can not be inflated: " + err.Error(), nil
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

// extra looks for log files of the time that before covers and that no digest names.
// A file of its first or last minutes may stand in the digest next to it.
func (c *check) extra(before, d *Digest) error {
	folder := "/" + c.file.Region + "/"
	account, _, ok := strings.Cut(c.ref.Key, "/CloudTrail-Digest"+folder)
	if !ok { // not where CloudTrail puts it, and so its logs are not either
		return nil
	}
	logs := account + "/CloudTrail" + folder
	var earlier *Digest
	for after := s3.StartKey(logs, before.Start); ; {
		p, err := c.v.objects.List(c.ctx, c.ref.Bucket, logs, after, 1000)
		if err != nil {
			return err
		}
		for _, r := range p.Objects {
			f := notification.FileOf(r.Key)
			if !f.Stamp.Before(before.End.Truncate(time.Minute)) {
				return nil
			}
			if f.Stamp.IsZero() || f.Stamp.Before(before.Start) || before.Names(r.Bucket, r.Key) || d.Names(r.Bucket, r.Key) {
				continue
			}
			if earlier == nil && before.Previous != nil {
				if earlier, _, _, err = c.v.read(c.ctx, before.Previous.Bucket, before.Previous.Key); err != nil && !gone(err) {
					return err
				}
			}
			if earlier == nil || !earlier.Names(r.Bucket, r.Key) {
				c.found(LogFileExtra, r.Bucket, r.Key, "it lies among the logs of its time, and no digest names it")
			}
		}
		if after = p.Last; !p.More {
			return nil
		}
	}
}
