package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/digest"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/usage"
)

// verifying compares the files of a trail in S3 with the digests that "keytrail usage" finds
// beside them.
type verifying struct {
	verifier *digest.Verifier
	mu       sync.Mutex // guards result
	result   usage.Digests
	last     error // why a digest could not be checked
}

// verifies returns the verifying of --verify-digests, or nil.
func (u *usaging) verifies(paths []string) (*verifying, error) {
	if !u.verify {
		return nil, nil
	}
	for _, path := range paths {
		if !strings.HasPrefix(path, s3.Scheme) {
			return nil, usagef("--verify-digests needs s3://BUCKET/PREFIX: the signature of a digest is in the metadata of "+
				"its object, which %q does not have", path)
		}
	}
	cfg, err := u.in.AWSConfig()
	if err != nil {
		return nil, err
	}
	v := &verifying{verifier: digest.NewVerifier(cfg, s3.NewClient(cfg))}
	v.result.Findings = []usage.Finding{} // not null
	return v, nil
}

// object returns an object that is checked when it is opened, if it is a digest.
func (v *verifying) object(ctx context.Context, o source.Object) source.Object {
	if v == nil {
		return o
	}
	bucket, key, err := s3.ParseURL(o.Name)
	if err != nil || !digest.Is(key) {
		return o
	}
	open := o.Open
	o.Open = func() (io.ReadCloser, error) {
		v.take(v.verifier.Check(ctx, s3.Ref{Bucket: bucket, Key: key}))
		return open()
	}
	return o
}

func (v *verifying) take(findings []digest.Finding, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.result.Unchecked++
		v.last = err
		return
	}
	var list []usage.Finding
	for _, f := range findings {
		list = append(list, usage.Finding{Kind: string(f.Kind), At: f.At.UTC(), Account: f.Account, Region: f.Region,
			Object: f.Object, Detail: f.Detail})
	}
	v.result.Add(list)
}

// digests returns the result, or nil without --verify-digests.
func (v *verifying) digests() *usage.Digests {
	if v == nil {
		return nil
	}
	return &v.result
}

// failed returns an error if a digest could not be checked, or none was found.
func (v *verifying) failed() error {
	switch {
	case v == nil:
		return nil
	case v.last != nil:
		return fmt.Errorf("%d digests could not be checked: %w", v.result.Unchecked, v.last)
	case v.result.Checked == 0:
		return fmt.Errorf("the input has no digest: read the folder that has both CloudTrail and CloudTrail-Digest")
	}
	return nil
}
