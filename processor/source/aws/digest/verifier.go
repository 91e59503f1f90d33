package digest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
	"keytrail/schemas/aws/notification"
)

// maxLogBytes bounds an inflated log file, like the decoder of its events.
const maxLogBytes = 4 << 30

// maxKeys bounds the cached public keys: each region has a few a year.
const maxKeys = 10_000

// keyMargin is how far around a digest's time public keys are requested. A digest may be
// signed a little after its time, with the next key. The fingerprint decides.
const keyMargin = 24 * time.Hour

// Verifier checks digests in S3. It reads every log file that a digest names, in addition
// to the reading of its events: that doubles requests and bytes. It is safe for
// concurrent use.
type Verifier struct {
	objects *s3.Client
	trails  *cloudtrail.Client

	mu   sync.Mutex // guards keys
	keys map[string][]byte
}

// NewVerifier returns a Verifier. It makes no call.
func NewVerifier(cfg aws.Config, objects *s3.Client) *Verifier {
	return &Verifier{objects: objects, trails: cloudtrail.NewFromConfig(cfg), keys: map[string][]byte{}}
}

// Is reports whether an S3 key is that of a digest.
func Is(key string) bool {
	f, fault := notification.ParseKey(key)
	return fault == "" && f.Kind == notification.FileDigest
}

// Object returns a digest as an object: opening it checks the digest, and its content is
// the findings as events, one per line, or nothing. A failure to check is an error, never
// a finding.
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

// Check checks one digest: its signature, the previous digest, the log files that it
// names, and whether there are extra ones.
func (v *Verifier) Check(ctx context.Context, r s3.Ref) ([]Finding, error) {
	c := &check{v: v, ctx: ctx, ref: r, file: notification.FileOf(r.Key)}
	d, why, err := v.read(ctx, r.Bucket, r.Key)
	switch {
	case err != nil:
		return nil, err
	case why != "":
		c.at = c.file.Stamp
		c.found(DigestInvalid, r.Bucket, r.Key, why)
		return c.findings, nil
	}
	c.at = d.End
	if why, err = v.verify(ctx, d, r.Bucket, r.Key); err != nil {
		return nil, err
	}
	if why != "" {
		c.found(DigestInvalid, r.Bucket, r.Key, why)
	}
	before, err := c.previous(d)
	if err == nil {
		err = c.files(d.Digest)
	}
	if err == nil && before != nil && !c.file.Backfill { // a backfill digest names only part of its time
		err = c.extra(before, d)
	}
	return c.findings, err
}

// stored is a digest with its hexadecimal signature, and its generation time if its
// metadata have it, as a backfill digest's must.
type stored struct {
	*Digest
	signature string
	generated string
}

// read reads a digest and its metadata. why is the reason if it is not a digest.
func (v *Verifier) read(ctx context.Context, bucket, key string) (d *stored, why string, err error) {
	content, metadata, err := v.objects.Read(ctx, s3.Ref{Bucket: bucket, Key: key}, MaxBytes)
	if rejected := (*source.Rejected)(nil); errors.As(err, &rejected) && rejected.Reason == source.ReasonTooBig {
		return nil, rejected.Detail, nil
	}
	if err != nil {
		return nil, "", err
	}
	z, err := newMember(bytes.NewReader(content))
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(z, MaxBytes+1))
	}
	switch {
	case err != nil:
		return nil, "it cannot be inflated: " + err.Error(), nil
	case len(content) > MaxBytes:
		return nil, fmt.Sprintf("it inflates to more than %d bytes", MaxBytes), nil
	}
	parsed, err := Parse(content)
	if err != nil {
		return nil, err.Error(), nil
	}
	return &stored{parsed, metadata["signature"], metadata["backfill-generation-timestamp"]}, "", nil
}

// verify checks a digest's place and signature. why is the reason if one is wrong.
func (v *Verifier) verify(ctx context.Context, d *stored, bucket, key string) (why string, err error) {
	f := notification.FileOf(key)
	from, to := d.Start, d.End
	switch {
	case d.signature == "":
		return "it has no signature in its metadata", nil
	case d.Bucket != bucket || d.Key != key:
		return "it was written for " + s3.Scheme + d.Bucket + "/" + d.Key + ": it was moved or copied", nil
	case f.Backfill:
		if from, err = time.Parse(time.RFC3339, d.generated); err != nil {
			return "its metadata lack the generation time of a backfill digest", nil
		}
		to = from
	}
	public, err := v.key(ctx, f.Region, d.Fingerprint, from.Add(-keyMargin), to.Add(keyMargin))
	switch {
	case err != nil:
		return "", err
	case public == nil:
		return "CloudTrail has no public key " + d.Fingerprint + " for the time of its signature", nil
	}
	if err := d.Verify(d.signature, public); err != nil {
		return err.Error(), nil
	}
	return "", nil
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

// key returns CloudTrail's public key with that fingerprint in use between from and to,
// or nil.
func (v *Verifier) key(ctx context.Context, region, fingerprint string, from, to time.Time) ([]byte, error) {
	id := region + "/" + fingerprint
	v.mu.Lock()
	key := v.keys[id]
	v.mu.Unlock()
	if key != nil {
		return key, nil
	}
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	in := &cloudtrail.ListPublicKeysInput{StartTime: aws.Time(from), EndTime: aws.Time(to)}
	for pages := cloudtrail.NewListPublicKeysPaginator(v.trails, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx, func(o *cloudtrail.Options) {
			if region != "" {
				o.Region = region
			}
		})
		if err != nil {
			failed := fmt.Errorf("cannot list CloudTrail's public keys in %s: %w", region, client.Short(err))
			if client.Forbidden(err) {
				failed = source.Denied(failed)
			}
			return nil, failed
		}
		v.mu.Lock()
		for _, k := range out.PublicKeyList {
			if len(v.keys) < maxKeys {
				v.keys[region+"/"+aws.ToString(k.Fingerprint)] = k.Value
			}
			if aws.ToString(k.Fingerprint) == fingerprint {
				key = k.Value
			}
		}
		v.mu.Unlock()
	}
	return key, nil
}
