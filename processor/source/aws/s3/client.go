// Package s3 finds and opens CloudTrail's files in S3: a Follower finds new files of a
// trail and records the finished ones, Objects lists an s3:// URL once, and a Client
// opens one object.
//
// An object is read as a stream: a reader holds only the buffers of its connection.
// Reading resumes after a broken or idle connection, as long as the object is unchanged.
//
// Source: S3 API Reference, ListObjectsV2 and GetObject.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
)

// Client calls S3. It is safe for concurrent use.
type Client struct {
	api *awss3.Client

	mu      sync.Mutex        // guards regions
	regions map[string]string // of buckets outside the configured region; bounded by maxRegions
}

// maxRegions bounds the cached regions of buckets: a trail has one bucket.
const maxRegions = 10_000

// NewClient returns a Client. A cfg with an endpoint is for an S3-compatible service.
// Those seldom have a host name per bucket, so the bucket is in the path.
func NewClient(cfg aws.Config) *Client {
	return &Client{
		api: awss3.NewFromConfig(cfg, func(o *awss3.Options) {
			o.UsePathStyle = cfg.BaseEndpoint != nil
			// Trails' objects have no such checksums, and a warning about that helps
			// nobody.
			o.DisableLogOutputChecksumValidationSkipped = true
			// A range of an object has no checksum. TLS and gzip's CRC-32 guard the
			// bytes.
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}),
		regions: map[string]string{},
	}
}

// Ref names one object.
type Ref struct {
	Bucket, Key string
	Version     string // "" means the newest
	Region      string // of the bucket; "" if unknown
	ETag        string // expected; "" if unknown
	Size        int64  // -1 if unknown
	Modified    time.Time
}

// Name returns the object's display name: s3://bucket/key, and its version after a
// question mark.
func (r *Ref) Name() string {
	name := "s3://" + r.Bucket + "/" + r.Key
	if r.Version != "" {
		name += "?versionId=" + r.Version
	}
	return name
}

// Object returns r as an object. Its reader ends when ctx is done.
func (c *Client) Object(ctx context.Context, r Ref) source.Object {
	return source.Object{
		Name: r.Name(), Size: r.Size, ModTime: r.Modified, ETag: r.ETag,
		Open: func() (io.ReadCloser, error) { return c.Open(ctx, r) },
	}
}

// Open starts to read an object. The error is a *source.Rejected if the object is gone or
// archived, and source.Judge returns Forbidden for it if S3 refuses the request. The
// reader is for one goroutine.
func (c *Client) Open(ctx context.Context, r Ref) (io.ReadCloser, error) {
	b := &body{ctx: ctx, client: c, ref: r}
	if err := b.open(); err != nil {
		return nil, cannotRead(&r, err)
	}
	return b, nil
}

// cannotRead names the object once, and distinguishes permanent errors.
func cannotRead(r *Ref, err error) error {
	switch code := client.Code(err); code {
	case "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed": // the last for a delete marker
		return &source.Rejected{Reason: source.ReasonGone, Detail: fmt.Sprintf("%s does not exist: %v",
			r.Name(), client.Short(err))}
	case "InvalidObjectState":
		return &source.Rejected{Reason: source.ReasonArchived,
			Detail: fmt.Sprintf(
				"%s is in a storage class that cannot be read: restore it, and read it with \"keytrail replay\"", r.Name())}
	}
	if client.Forbidden(err) {
		return source.Denied(fmt.Errorf("cannot read %q: %w; allow s3:GetObject, and kms:Decrypt if it is encrypted",
			r.Name(), client.Short(err)))
	}
	return fmt.Errorf("cannot read %q: %w", r.Name(), client.Short(err))
}

// Read reads a whole object of at most limit bytes, and its metadata.
func (c *Client) Read(ctx context.Context, r Ref, limit int64) (content []byte, metadata map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	out, err := c.get(ctx, &r, 0, "")
	if err != nil {
		return nil, nil, cannotRead(&r, err)
	}
	defer out.Body.Close()
	content, err = io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, nil, &source.Rejected{Reason: source.ReasonTooBig,
			Detail: fmt.Sprintf("%s has more than %d bytes", r.Name(), limit)}
	}
	if err != nil {
		return nil, nil, cannotRead(&r, err)
	}
	return content, out.Metadata, nil
}

// get requests an object from the byte offset on. ctx also bounds the body.
func (c *Client) get(ctx context.Context, r *Ref, offset int64, etag string) (*awss3.GetObjectOutput, error) {
	in := &awss3.GetObjectInput{Bucket: &r.Bucket, Key: &r.Key}
	if r.Version != "" {
		in.VersionId = &r.Version
	}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
		in.IfMatch = aws.String(etag)
	}
	var out *awss3.GetObjectOutput
	err := c.inRegion(r.Bucket, r.Region, func(o func(*awss3.Options)) (err error) {
		out, err = c.api.GetObject(ctx, in, o)
		return err
	})
	return out, err
}

// maxPage is S3's maximum number of keys in one listing.
const maxPage = 1000

// Page is one answer to a listing.
type Page struct {
	Objects []Ref  // in byte order of their keys, without a console's folder objects
	Last    string // the last key of the page, of an object or not
	More    bool   // more keys follow
}

// List returns up to limit (1 to 1,000) keys that begin with prefix and follow after.
func (c *Client) List(ctx context.Context, bucket, prefix, after string, limit int) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	in := &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(limit))}
	if after != "" {
		in.StartAfter = &after
	}
	var p Page
	err := c.inRegion(bucket, "", func(o func(*awss3.Options)) error {
		out, err := c.api.ListObjectsV2(ctx, in, o)
		if err == nil {
			p = page(bucket, out)
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("cannot list s3://%s/%s: %w", bucket, prefix, client.Short(err))
	}
	return p, nil
}

func page(bucket string, out *awss3.ListObjectsV2Output) Page {
	p := Page{Objects: make([]Ref, 0, len(out.Contents))}
	for _, o := range out.Contents {
		p.Last = aws.ToString(o.Key)
		r := Ref{Bucket: bucket, Key: p.Last, Size: aws.ToInt64(o.Size),
			Modified: aws.ToTime(o.LastModified), ETag: etag(o.ETag)}
		if r.Key != "" && !strings.HasSuffix(r.Key, "/") {
			p.Objects = append(p.Objects, r)
		}
	}
	p.More = aws.ToBool(out.IsTruncated) && p.Last != ""
	return p
}

// maxFolders bounds the subfolders of one folder: an organization has at most tens of
// thousands of accounts.
const maxFolders = 100_000

// Folders returns the wanted names of the folders right below prefix, which is empty or
// ends with a slash. Any number of other folders cannot hide them.
func (c *Client) Folders(ctx context.Context, bucket, prefix string,
	wanted func(name string) bool) (names []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	in := &awss3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, Delimiter: aws.String("/")}
	for pages := awss3.NewListObjectsV2Paginator(c.api, in); pages.HasMorePages(); {
		var out *awss3.ListObjectsV2Output
		err := c.inRegion(bucket, "", func(o func(*awss3.Options)) (err error) {
			out, err = pages.NextPage(ctx, o)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("cannot list the folders of s3://%s/%s: %w", bucket, prefix, client.Short(err))
		}
		for _, f := range out.CommonPrefixes {
			name := strings.TrimSuffix(strings.TrimPrefix(aws.ToString(f.Prefix), prefix), "/")
			if wanted(name) {
				names = append(names, name)
			}
		}
		if len(names) > maxFolders {
			return nil, fmt.Errorf("cannot list the folders of s3://%s/%s: there are more than %d", bucket, prefix, maxFolders)
		}
	}
	return names, nil
}

// etag returns an entity tag in the form of notifications, without quotes.
func etag(s *string) string { return strings.Trim(aws.ToString(s), `"`) }

// inRegion makes a call in the region of the bucket. If S3 answers that the bucket is
// elsewhere, it repeats the call there.
func (c *Client) inRegion(bucket, region string, call func(func(*awss3.Options)) error) error {
	c.mu.Lock()
	if known := c.regions[bucket]; known != "" {
		region = known
	}
	c.mu.Unlock()
	err := call(inRegion(region))
	elsewhere := regionOf(err)
	if elsewhere == "" || elsewhere == region {
		return err
	}
	c.mu.Lock()
	if len(c.regions) < maxRegions {
		c.regions[bucket] = elsewhere
	}
	c.mu.Unlock()
	return call(inRegion(elsewhere))
}

func inRegion(region string) func(*awss3.Options) {
	return func(o *awss3.Options) {
		if region != "" && o.BaseEndpoint == nil {
			o.Region = region
		}
	}
}

// regionOf returns the bucket's region from S3's refusal of a misdirected call; ""
// otherwise.
func regionOf(err error) string {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return ""
	}
	switch response.HTTPStatusCode() {
	case http.StatusMovedPermanently, http.StatusBadRequest:
		if region := response.Response.Header.Get("X-Amz-Bucket-Region"); client.ValidRegion(region) {
			return region
		}
	}
	return ""
}
