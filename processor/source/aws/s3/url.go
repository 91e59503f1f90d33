package s3

import (
	"context"
	"fmt"
	"iter"
	"regexp"
	"strings"

	"keytrail/processor/source"
)

// Scheme begins an S3 URL.
const Scheme = "s3://"

// bucketName matches valid bucket names: they become part of the requested address.
var bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$`)

// ValidBucket reports whether name is a valid bucket name.
func ValidBucket(name string) bool { return bucketName.MatchString(name) }

// ParseURL splits s3://bucket/prefix. The prefix may be empty or part of a name: S3 has
// no folders.
func ParseURL(url string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(url, Scheme)
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || !ValidBucket(bucket) {
		return "", "", fmt.Errorf("cannot use %q: want s3://BUCKET/PREFIX with the name of a bucket", url)
	}
	return bucket, prefix, nil
}

// Objects yields every object whose key begins with the prefix, in order of keys, once.
// An error ends it: a listing with a missing page is incomplete.
func (c *Client) Objects(ctx context.Context, bucket, prefix string) iter.Seq2[source.Object, error] {
	return func(yield func(source.Object, error) bool) {
		for after := ""; ; {
			p, err := c.List(ctx, bucket, prefix, after, maxPage)
			if err != nil {
				yield(source.Object{}, err)
				return
			}
			for _, r := range p.Objects {
				if !yield(c.Object(ctx, r), nil) {
					return
				}
			}
			if after = p.Last; !p.More {
				return
			}
		}
	}
}
