// Package s3 finds and opens CloudTrail's files in S3: a Follower looks for new
// files of a trail and remembers which are done, List offers what an s3:// URL
// names once, and a Client opens one object.
//
// Limits. An object is read as a stream: a reader holds no more of it than the
// buffers of its connection. A body that breaks off, or whose connection went idle
// while nobody read, goes on where it stopped, as long as the object is the same.
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
	regions map[string]string // of buckets that are elsewhere than the configuration says; bounded by maxRegions
}

// maxRegions bounds the buckets whose region is kept in mind: a trail has one.
const maxRegions = 10_000

// NewClient returns a Client. With an endpoint of its own cfg is for something
// compatible with S3, which seldom has a host name for each bucket: the bucket
// stands in the path then.
func NewClient(cfg aws.Config) *Client {
	return &Client{
		api: awss3.NewFromConfig(cfg, func(o *awss3.Options) {
			o.UsePathStyle = cfg.BaseEndpoint != nil
			// Objects of trails were stored without the checksums that the SDK would
			// ask for; package-wide warnings about it would help nobody.
			o.DisableLogOutputChecksumValidationSkipped = true
			// A part of an object has no checksum, and the rest of a body that broke off
			// is a part. TLS and gzip's CRC-32 guard the bytes.
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}),
		regions: map[string]string{},
	}
}

// Ref names one object.
type Ref struct {
	Bucket, Key string
	Version     string // "" is the newest
	Region      string // of the bucket; "" is not known
	ETag        string // what the object is to be; "" is not known
	Size        int64  // -1 is not known
	Modified    time.Time
}

// Name returns the object's name for people: s3://bucket/key, and its version
// behind a question mark.
func (r *Ref) Name() string {
	name := "s3://" + r.Bucket + "/" + r.Key
	if r.Version != "" {
		name += "?versionId=" + r.Version
	}
	return name
}

// Object returns r as something to read. Its reader ends when ctx is done.
func (c *Client) Object(ctx context.Context, r Ref) source.Object {
	return source.Object{
		Name: r.Name(), Size: r.Size, ModTime: r.Modified, ETag: r.ETag,
		Open: func() (io.ReadCloser, error) { return c.Open(ctx, r) },
	}
}

// Open begins to read an object. The error is a *source.Rejected when the object
// is gone or archived, and one that source.Judge takes for Forbidden when S3 refuses it.
// The reader is for one goroutine.
func (c *Client) Open(ctx context.Context, r Ref) (io.ReadCloser, error) {
	b := &body{ctx: ctx, client: c, ref: r}
	if err := b.open(); err != nil {
		return nil, cannotRead(&r, err)
	}
	return b, nil
}

// cannotRead names the object once, and tells what trying again does not mend.
func cannotRead(r *Ref, err error) error {
	switch code := client.Code(err); code {
	case "NoSuchKey", "NoSuchVersion", "NotFound", "MethodNotAllowed": // the last for a marker of deletion
		return &source.Rejected{Reason: source.ReasonGone, Detail: fmt.Sprintf("%s is not there: %v", r.Name(), client.Short(err))}
	case "InvalidObjectState":
		return &source.Rejected{Reason: source.ReasonArchived,
			Detail: fmt.Sprintf("%s is in a storage class that cannot be read: restore it, and read it with \"keytrail replay\"", r.Name())}
	}
	if client.Forbidden(err) {
		return source.Denied(fmt.Errorf("cannot read %q: %w; allow s3:GetObject, and kms:Decrypt where it is encrypted", r.Name(), client.Short(err)))
	}
	return fmt.Errorf("cannot read %q: %w", r.Name(), client.Short(err))
}

// Read reads a whole object of at most limit bytes, and its own metadata.
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
		return nil, nil, &source.Rejected{Reason: source.ReasonTooBig, Detail: fmt.Sprintf("%s has more than %d bytes", r.Name(), limit)}
	}
	if err != nil {
		return nil, nil, cannotRead(&r, err)
	}
	return content, out.Metadata, nil
}

// get asks for an object from the byte offset on. ctx bounds the body too.
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

// maxPage is how many keys S3 lists at most at once.
const maxPage = 1000

// Page is one answer to a listing.
type Page struct {
	Objects []Ref  // in the order of their keys' bytes, without folders as consoles create them
	Last    string // the last key of the page, an object's or not
	More    bool   // there are more keys behind it
}

// List returns up to limit (1 to 1,000) keys that begin with prefix and come behind
// after.
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
		r := Ref{Bucket: bucket, Key: p.Last, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified), ETag: etag(o.ETag)}
		if r.Key != "" && !strings.HasSuffix(r.Key, "/") {
			p.Objects = append(p.Objects, r)
		}
	}
	p.More = aws.ToBool(out.IsTruncated) && p.Last != ""
	return p
}

// maxFolders bounds the folders of one folder: an organization has at most tens
// of thousands of accounts.
const maxFolders = 100_000

// Folders returns the names of the folders right below prefix, which is empty or
// ends with a slash, that are wanted: whatever others there are, they cannot hide these.
func (c *Client) Folders(ctx context.Context, bucket, prefix string, wanted func(name string) bool) (names []string, err error) {
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

// etag returns an entity tag as notifications write it, without quotes.
func etag(s *string) string { return strings.Trim(aws.ToString(s), `"`) }

// inRegion makes a call in the region of the bucket. Where S3 answers that it is
// elsewhere, it says where, and the call is made once more there.
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

// regionOf returns where S3 says that the bucket is, when it refuses a call
// because it was sent elsewhere; "" otherwise.
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
