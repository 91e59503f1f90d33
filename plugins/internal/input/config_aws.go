package input

import (
	"strings"
	"time"

	"keytrail/plugins/internal/property"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/feed"
)

// parseAWS reads how AWS is called. Credentials come from the SDK's own chain. They
// are not properties, so they cannot be logged.
func (c *Config) parseAWS(r *property.Reader) {
	c.AWS = client.Config{
		Region: r.Text("aws_region", ""), Profile: r.Text("aws_profile", ""), Endpoint: r.Text("aws_endpoint", ""),
		RoleARN: r.Text("aws_role_arn", ""), ExternalID: r.Text("aws_external_id", ""),
	}
	for _, p := range c.AWS.Problems() {
		r.Refuse("aws_"+p.Field, p.Value, p.Allowed)
	}
}

const checkpointWanted = "a file such as /var/lib/keytrail/in_kms.checkpoint: " +
	"without it a restart would lose or repeat what came meanwhile"

func (c *Config) parseS3(r *property.Reader, now time.Time) {
	c.parseAWS(r)
	c.Bucket = r.Required("s3_bucket", "the name of the trail's bucket")
	if c.Bucket != "" && !s3.ValidBucket(c.Bucket) {
		r.Refuse("s3_bucket", c.Bucket, "the name of a bucket, without s3:// and without a path")
	}
	c.Prefix = strings.TrimPrefix(r.Text("s3_prefix", ""), "/")
	c.Start = startTime(r, now)
	c.Accounts = accounts(r)
	c.Regions = regions(r)
	c.Overlap = r.Duration("s3_overlap", c.Overlap, feed.LeastOverlap, feed.MostOverlap)
	c.Discover = r.Duration("s3_discover", c.Discover, feed.LeastDiscover, feed.MostDiscover)
	c.VerifyDigests = r.Bool("verify_digests", false)
	c.Checkpoint = r.Required("checkpoint", checkpointWanted)
}

func (c *Config) parseSQS(r *property.Reader) {
	c.parseAWS(r)
	c.SQS.QueueURL = r.Required("sqs_queue_url", "the URL of the queue, such as https://sqs.eu-central-1.amazonaws.com/111122223333/trail")
	for _, bucket := range words(r.Text("sqs_buckets", "")) {
		if !s3.ValidBucket(bucket) {
			r.Refuse("sqs_buckets", bucket, "names of buckets, separated by commas")
		}
		c.SQS.Buckets = append(c.SQS.Buckets, bucket)
	}
	c.SQS.Visibility = r.Duration("sqs_visibility", c.SQS.Visibility, feed.LeastVisibility, feed.MostVisibility)
	c.SQS.MaxMessages = r.Int("sqs_max_messages", c.SQS.MaxMessages, 1, feed.MostMessages)
}

func (c *Config) parseLookup(r *property.Reader, now time.Time) {
	c.parseAWS(r)
	c.Regions = regions(r)
	c.Start = startTime(r, now)
	c.LookupDelay = r.Duration("lookup_delay", c.LookupDelay, feed.LeastDelay, feed.MostDelay)
	c.LookupAll = r.Choice("lookup_events", "kms", "kms", "all") == "all"
	c.Checkpoint = r.Required("checkpoint", checkpointWanted)
}

// startTime reads when to begin: a time, or for how long back.
func startTime(r *property.Reader, now time.Time) time.Time {
	text := r.Text("start_time", feed.DefaultStart)
	t, ok := feed.ParseStart(text, now)
	if !ok {
		r.Refuse("start_time", text, feed.StartAllowed)
	}
	return t
}

func accounts(r *property.Reader) []string {
	list := words(r.Text("accounts", ""))
	for _, a := range list {
		if strings.Trim(a, "0123456789") != "" {
			r.Refuse("accounts", a, "numbers of accounts, separated by commas")
		}
	}
	return list
}

func regions(r *property.Reader) []string {
	list := words(r.Text("regions", ""))
	for _, name := range list {
		if !client.ValidRegion(name) {
			r.Refuse("regions", name, "names of regions such as eu-central-1, separated by commas")
		}
	}
	return list
}

// words splits a list at commas and spaces.
func words(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })
}
