package input

import (
	"fmt"
	"strings"
	"time"

	"keytrail/plugins/internal/property"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/s3"
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
	c.Overlap = r.Duration("s3_overlap", c.Overlap, 10*time.Minute, 48*time.Hour)
	c.Discover = r.Duration("s3_discover", c.Discover, time.Minute, 24*time.Hour)
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
	c.SQS.Visibility = r.Duration("sqs_visibility", c.SQS.Visibility, 10*time.Second, 12*time.Hour)
	c.SQS.MaxMessages = r.Int("sqs_max_messages", c.SQS.MaxMessages, 1, 100_000)
}

func (c *Config) parseLookup(r *property.Reader, now time.Time) {
	c.parseAWS(r)
	c.Regions = regions(r)
	c.Start = startTime(r, now)
	c.LookupDelay = r.Duration("lookup_delay", c.LookupDelay, time.Minute, 6*time.Hour)
	c.LookupAll = r.Choice("lookup_events", "kms", "kms", "all") == "all"
	c.Checkpoint = r.Required("checkpoint", checkpointWanted)
}

// startTime reads when to begin: a time, or for how long back.
func startTime(r *property.Reader, now time.Time) time.Time {
	v := r.Text("start_time", "24h")
	switch strings.ToLower(v) {
	case "beginning":
		return time.Time{}
	case "now":
		return now
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t.UTC()
	}
	if d, err := time.ParseDuration(v); err == nil && d >= 0 {
		return now.Add(-d).UTC()
	}
	r.Refuse("start_time", v, "a time such as 2026-11-01T00:00:00Z, how long ago such as 24h, now or beginning")
	return now
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

// describeStart returns the time from which events are read, for the log.
func (c *Config) describeStart() string {
	if c.Start.IsZero() {
		return "from the beginning"
	}
	return fmt.Sprintf("from %s on, unless the checkpoint says otherwise", c.Start.Format(time.RFC3339))
}
