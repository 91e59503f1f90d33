package input

import (
	"slices"
	"strings"
)

// Property describes one property of in_kms, for people.
type Property struct {
	Name    string
	Sources []string // to which it belongs; empty is all
	Example string
	What    string // one or two sentences
}

// Of reports whether a property belongs to a source.
func (p *Property) Of(from string) bool {
	return len(p.Sources) == 0 || slices.Contains(p.Sources, from)
}

// About describes the purpose of a property, its sources and an example.
func About(name string) string {
	for _, p := range Properties() {
		if p.Name != name {
			continue
		}
		of := ""
		if len(p.Sources) > 0 {
			of = "(Source " + strings.Join(p.Sources, ", ") + ") "
		}
		return of + p.What + " Such as `" + p.Example + "`."
	}
	return ""
}

// Properties returns all properties of in_kms, in the order in which a person reads
// about them. A test holds it to what ParseConfig asks for.
func Properties() []Property {
	aws := []string{SourceS3, SourceSQS, SourceLookup}
	file, inS3, inSQS, inLookup := []string{SourceFile}, []string{SourceS3}, []string{SourceSQS}, []string{SourceLookup}
	return []Property{
		{"source", nil, "sqs", "The source of CloudTrail's events: file, s3, sqs or lookup."},
		{"path", file, "/var/trail/*.json.gz", "A directory (with all below it), a file, or a pattern that matches such. Required."},
		{"from_beginning", file, "off", "Reads also the files that exist when it starts without a checkpoint."},
		{"s3_bucket", inS3, "acme-trail", "The trail's bucket. Required."},
		{"s3_prefix", inS3, "org", "The prefix of the trail, below which AWSLogs/ lies; or any folder from there down to that of one region."},
		{"s3_overlap", inS3, "6h", "How late a file may appear after its time, as in a bucket that replication copies."},
		{"s3_discover", inS3, "5m", "How often to look for new accounts and Regions, and so how late their first files may be read. It takes four requests per account."},
		{"verify_digests", inS3, "on", "Whether to check the trail against CloudTrail's digests: a missing, changed or extra file becomes a separate event. Every log file is then read twice, and the role needs cloudtrail:ListPublicKeys."},
		{"sqs_queue_url", inSQS, "https://sqs.eu-central-1.amazonaws.com/111122223333/trail", "The queue's URL. Required."},
		{"sqs_buckets", inSQS, "acme-trail", "The buckets to read from, separated by commas; unset is all that messages name. Set it where others may send to the queue."},
		{"sqs_visibility", inSQS, "10m", "How long a message is hidden from other readers at a time. It is extended while its objects are read. After it another reader takes over from one that died."},
		{"sqs_max_messages", inSQS, "5000", "How many messages are held at a time, including those whose records are not acknowledged or settled."},
		{"lookup_delay", inLookup, "30m", "How long after a call its event is looked up. CloudTrail takes up to 15 minutes; a second look an hour later finds events that came later."},
		{"lookup_events", inLookup, "all", "kms looks up the events of KMS and those that change a trail, all those of every service. AWS allows two requests a second, 50 events each, so all is for quiet accounts."},
		{"start_time", []string{SourceS3, SourceLookup}, "2026-11-01T00:00:00Z", "The time to begin at without a checkpoint: a time, how long ago, now or beginning. LookupEvents reaches back 90 days."},
		{"accounts", inS3, "111122223333,444455556666", "The accounts to read; unset is all."},
		{"regions", []string{SourceS3, SourceLookup}, "eu-central-1,us-east-1", "The regions to read; unset is all in S3, and for lookup that of the client."},
		{"aws_region", aws, "eu-central-1", "The region of the bucket, the queue or the lookup; unset is that of the environment or the profile."},
		{"aws_profile", aws, "audit", "The profile of the shared configuration files."},
		{"aws_endpoint", aws, "http://127.0.0.1:9000", "The URL of a service that is compatible with AWS; unset is AWS itself, in the partition of the region."},
		{"aws_role_arn", aws, "arn:aws:iam::111122223333:role/keytrail", "A role to assume."},
		{"aws_external_id", aws, "c0ffee", "The external id that the role's trust policy requires."},
		{"checkpoint", []string{SourceFile, SourceS3, SourceLookup}, "/var/lib/keytrail/in_kms.checkpoint", "The file that lists the objects that are done. Required for s3 and lookup; without it every file is read again after a restart."},
		{"dead_letter", nil, "/var/lib/keytrail/deadletter.ndjson", "The file for records that are not events and objects that cannot be read. Unset is the checkpoint's name and .deadletter.ndjson; required for sqs."},
		{"filter", nil, "all", "kms passes the events of KMS and those that change a trail, all those of every service."},
		{"self_principals", nil, "arn:aws:iam::111122223333:role/keytrail", "Users and roles whose reads of encrypted trails are the collector's own, separated by commas. in_kms learns the one that reads from AWS from STS."},
		{"poll_interval", nil, "30s", "The time between two looks for new objects. Unset it is a minute for s3 and lookup. A queue is polled again at once, except after an error."},
		{"settle", nil, "2m", "Without ack_path: the time from handing an object's last record to Fluent Bit until it counts as done, not counting the time in which Fluent Bit pauses the input. Keep it above twice the flush_timeout of out_kms."},
		{"ack_path", nil, "/var/lib/keytrail/in_kms.ack", "The Unix socket at which out_kms, on the same host and under the same user, acknowledges the records that Kafka has; set it there to the same path. An object is done when Kafka has all of its records. The folder of the socket must belong to this user or root, and not be writable for everybody."},
		{"ack_window", nil, "128M", "With ack_path: how many bytes may be handed over and not acknowledged. It bounds the records that Fluent Bit holds and that a crash repeats; beyond it nothing is read from the source."},
		{"ack_by", nil, "kafka_a,kafka_b", "With ack_path: the aliases of the out_kms that must acknowledge, separated by commas, each of them every record. Unset lets any one out_kms do. Outputs of other kinds never count."},
		{"ack_timeout", nil, "10m", "With ack_path: records that are not acknowledged are handed over again when, for so long, Kafka has answered out_kms, no chunk was waiting there, and Fluent Bit took records. Records that Kafka refuses stay with Fluent Bit."},
		{"unacknowledged", nil, "done", "With ack_path: retry hands such records over again, at growing intervals of up to an hour; done counts them as done, for filters that drop events on purpose."},
		{"readers", nil, "8", "How many objects are read side by side. Unset it is 4 for s3, sqs and lookup."},
		{"queue_records", nil, "100000", "How many records are read ahead."},
		{"queue_bytes", nil, "256M", "How many bytes are read ahead."},
		{"batch_bytes", nil, "4M", "How much is handed to Fluent Bit at most per second, in pieces of up to 4 MiB."},
	}
}
