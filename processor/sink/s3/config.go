package s3

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/awssink"
)

// Config says which bucket objects go to, under which keys, and how S3 keeps them.
type Config struct {
	awssink.Settings `yaml:",inline"`
	// Bucket is the name of a bucket, or the ARN of an access point, which may be one of
	// several Regions.
	Bucket string `yaml:"bucket"`
	// Prefix begins all keys (default "keytrail/"); "" for none.
	Prefix string `yaml:"prefix"`
	// Body is the form of a line: one of Bodies (default "json").
	Body string `yaml:"body"`
	// SSE is the encryption: one of SSEs; "" leaves it to the bucket.
	SSE string `yaml:"sse"`
	// KMSKeyID is the id or the ARN of the KMS key of aws:kms and aws:kms:dsse; "" means the
	// AWS managed key.
	KMSKeyID string `yaml:"kms_key_id"`
	// BucketKey reduces the calls to KMS with aws:kms (default true).
	BucketKey bool `yaml:"bucket_key"`
	// StorageClass is one of the storage classes of S3; "" means STANDARD.
	StorageClass string `yaml:"storage_class"`
	// BucketOwner is the account that must own the bucket; "" does not check that.
	BucketOwner string `yaml:"bucket_owner"`
	// WriteOnce has S3 keep an object that is there already instead of replacing it by the
	// same bytes (default false). Not every compatible service can.
	WriteOnce bool `yaml:"write_once"`
}

// DefaultConfig returns a Config that lacks a Bucket only.
func DefaultConfig() Config {
	return Config{Settings: awssink.DefaultSettings(time.Minute), Prefix: "keytrail/", Body: "json", BucketKey: true}
}

// DefaultBatch returns the bounds of a batch, which is an object or, if its records are of
// several hours, an object per hour. 16 MiB of records become about 2 MiB.
func (*Config) DefaultBatch() sink.Batch {
	return sink.Batch{Records: 100_000, Bytes: 16 << 20, Linger: 5 * time.Minute}
}

// Bodies returns the forms that a line can have.
func Bodies() []string { return awssink.Bodies() }

// sses are the encryptions.
var sses = []string{"", "AES256", "aws:kms", "aws:kms:dsse"}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	keyPrefix  = regexp.MustCompile(`^([A-Za-z0-9!_.*'()=-]+/)*[A-Za-z0-9!_.*'()=-]*$`)
	account    = regexp.MustCompile(`^[0-9]{12}$`)
)

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Check(&p)
	switch {
	case c.Bucket == "":
		p.Add("bucket", "is missing; want the name of a bucket")
	case arn.IsARN(c.Bucket):
		at, err := arn.Parse(c.Bucket)
		if err != nil || at.Service != "s3" || !strings.HasPrefix(at.Resource, "accesspoint") {
			p.Add("bucket", "%q is not the ARN of an access point of S3", c.Bucket)
		}
	case !bucketName.MatchString(c.Bucket):
		p.Add("bucket", "%q is not the name of a bucket: 3 to 63 of the characters a-z 0-9 . -", c.Bucket)
	}
	if len(c.Prefix) > 512 || !keyPrefix.MatchString(c.Prefix) {
		p.Add("prefix", "%q is not allowed; allowed: up to 512 of the characters A-Z a-z 0-9 ! - _ . * ' ( ) "+
			"= and /, neither first nor doubled", c.Prefix)
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	setting.OneOf(&p, "sse", c.SSE, sses...)
	if c.KMSKeyID != "" && !strings.HasPrefix(c.SSE, "aws:kms") {
		p.Add("kms_key_id", "%q does not apply to sse %q; set sse: aws:kms", c.KMSKeyID, c.SSE)
	}
	if c.StorageClass != "" {
		setting.OneOf(&p, "storage_class", types.StorageClass(c.StorageClass), types.StorageClass("").Values()...)
	}
	if c.BucketOwner != "" && !account.MatchString(c.BucketOwner) {
		p.Add("bucket_owner", "%q is not the id of an account, 12 digits", c.BucketOwner)
	}
	return p.Err()
}

// Open returns a Sink for the bucket that c names. It sends nothing.
func (c *Config) Open(sink.Identity) (sink.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make an S3 sink: %w", err)
	}
	cfg, err := c.Load()
	if err != nil {
		return nil, err
	}
	return &Sink{c: *c, api: awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		o.UsePathStyle = cfg.BaseEndpoint != nil // compatible services seldom have a host name per bucket
	})}, nil
}

// input returns the request for an object, without its body.
func (c *Config) input(key string) *awss3.PutObjectInput {
	in := &awss3.PutObjectInput{Bucket: &c.Bucket, Key: &key, ContentType: aws.String("application/gzip"),
		StorageClass: types.StorageClass(c.StorageClass), ServerSideEncryption: types.ServerSideEncryption(c.SSE)}
	if c.KMSKeyID != "" {
		in.SSEKMSKeyId = &c.KMSKeyID
	}
	if c.SSE == "aws:kms" {
		in.BucketKeyEnabled = &c.BucketKey
	}
	if c.BucketOwner != "" {
		in.ExpectedBucketOwner = &c.BucketOwner
	}
	if c.WriteOnce {
		in.IfNoneMatch = aws.String("*")
	}
	return in
}
