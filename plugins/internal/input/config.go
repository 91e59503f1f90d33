package input

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"keytrail/plugins/internal/ack"
	"keytrail/plugins/internal/property"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/lookup"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/aws/sqs"
	"keytrail/processor/source/feed"
	"keytrail/schemas/decoding"
)

// The sources.
const (
	SourceFile   = feed.File
	SourceS3     = feed.S3
	SourceSQS    = feed.SQS
	SourceLookup = feed.Lookup
)

// Config says what an Input reads and how much it holds.
type Config struct {
	// Source is one of the sources.
	Source string
	// Path is a directory (walked), a file or a pattern: source.FollowerConfig.
	Path string
	// FromBeginning reads the files that are there already when there is no
	// checkpoint yet.
	FromBeginning bool
	// Start is the time from which on S3 and LookupEvents are read when there is no
	// checkpoint yet; zero is the beginning.
	Start time.Time
	// Accounts and Regions bound what is read of S3; Regions says where events are
	// looked up. Empty is all, or the client's region.
	Accounts, Regions []string
	// AWS says how AWS is called.
	AWS client.Config
	// Bucket and Prefix are the trail's; Overlap is s3.FollowerConfig's.
	Bucket, Prefix string
	Overlap        time.Duration
	// Discover is s3.FollowerConfig's.
	Discover time.Duration
	// VerifyDigests checks the trail against its digests.
	VerifyDigests bool
	// SQS is the queue, without its clock.
	SQS sqs.Config
	// LookupDelay and LookupAll are lookup.Config's.
	LookupDelay time.Duration
	LookupAll   bool
	// Checkpoint is the file that remembers what is done; "" reads every file again
	// after a restart.
	Checkpoint string
	// DeadLetter is the NDJSON file for records that are not events; "" leaves
	// them to the log alone, without their bytes.
	DeadLetter string
	// SelfPrincipals are the ARNs of users and roles whose reads of encrypted trails are the collector's
	// own, besides the one that STS names.
	SelfPrincipals []string
	// All passes the events of every service; otherwise only those that
	// normalize.FilterOf keeps.
	All bool
	// PollInterval is the time between two looks for what is new. A file is read when
	// two looks found it the same, so it is also the longest pause that a
	// writer may make inside a file. A queue is asked again at once.
	PollInterval time.Duration
	// Settle is the time from handing an object's last record to Fluent Bit until
	// the object counts as done.
	Settle time.Duration
	// AckPath is the socket at which out_kms acknowledges. "" has Settle decide when an
	// object is done; the other Ack settings then have no effect.
	AckPath string
	// AckWindow bounds the bytes that are handed over and not acknowledged.
	AckWindow int
	// AckBy are the aliases of the out_kms that must acknowledge, each of them every
	// record; empty lets any one do.
	AckBy []string
	// AckTimeout is how long records must stay unacknowledged, while everything else
	// works, until they are handed over again.
	AckTimeout time.Duration
	// AcceptLoss takes such records for done instead.
	AcceptLoss bool
	// Readers is how many objects are read side by side.
	Readers int
	// QueueRecords and QueueBytes bound what is read ahead; see DefaultConfig.
	QueueRecords, QueueBytes int
	// BatchBytes bounds what one call of Fluent Bit's hands over, in pieces of pieceBytes.
	BatchBytes int
	// Limits bounds what one object may cost the decoder.
	Limits decoding.Limits
}

// DefaultConfig returns the defaults of a source. The arithmetic: Fluent Bit calls once
// a second, and 64 MiB are 55,000 events of 914 bytes with their places. An
// acknowledgement takes less than a second, or a little more where Fluent Bit flushes
// only once a second. Where it takes longer than that, AckWindow, of 64 MiB,
// lets 28,000 events a second through at two seconds.
// The queue is filled while pieces are taken from it, so it is as large as two. Settle:
// the package comment.
func DefaultConfig(from string) Config {
	c := Config{
		Source:        from,
		FromBeginning: true,
		PollInterval:  feed.DefaultPoll(from),
		Settle:        time.Minute,
		AckWindow:     64 << 20,
		AckTimeout:    5 * time.Minute,
		Readers:       feed.DefaultReaders(from),
		QueueRecords:  50_000,
		QueueBytes:    8 << 20,
		BatchBytes:    64 << 20,
	}
	switch from {
	case SourceS3:
		c.Overlap, c.Discover = s3.DefaultOverlap, s3.DefaultDiscover
	case SourceSQS:
		c.SQS = sqs.DefaultConfig()
		c.SQS.Now = nil
	case SourceLookup:
		c.LookupDelay = lookup.DefaultDelay
	}
	return c
}

// feed returns the part of c that describes the source.
func (c *Config) feed() feed.Config {
	var exclude []string
	if c.DeadLetter != "" {
		exclude = []string{c.DeadLetter, c.DeadLetter + ".1"}
	}
	return feed.Config{
		Kind: c.Source, Path: c.Path, FromBeginning: c.FromBeginning, Exclude: exclude, Start: c.Start,
		Accounts: c.Accounts, Regions: c.Regions, AWS: c.AWS, Bucket: c.Bucket, Prefix: c.Prefix, Overlap: c.Overlap,
		Discover: c.Discover, VerifyDigests: c.VerifyDigests, Queue: c.SQS, Delay: c.LookupDelay, All: c.LookupAll,
		Checkpoint: c.Checkpoint, PollInterval: c.PollInterval,
	}
}

// place names the source in messages.
func (c *Config) place() string {
	f := c.feed()
	return f.Place()
}

// ParseConfig reads the properties of in_kms: those of its source and those of all.
// A property of another source is refused. It returns every complaint at once.
func ParseConfig(r *property.Reader) (Config, error) {
	return parseConfig(r, time.Now())
}

func parseConfig(r *property.Reader, now time.Time) (Config, error) {
	c := DefaultConfig(r.Choice("source", SourceFile, SourceFile, SourceS3, SourceSQS, SourceLookup))
	switch c.Source {
	case SourceFile:
		c.Path = r.Required("path", "a directory, a file or a pattern such as /var/trail/*.json.gz")
		c.FromBeginning = r.Bool("from_beginning", c.FromBeginning)
		c.Checkpoint = r.Text("checkpoint", "")
	case SourceS3:
		c.parseS3(r, now)
	case SourceSQS:
		c.parseSQS(r)
	case SourceLookup:
		c.parseLookup(r, now)
	}
	if dead := ""; c.Source == SourceSQS { // there is no other place for what is given up
		c.DeadLetter = r.Required("dead_letter", "a file such as /var/lib/keytrail/deadletter.ndjson")
	} else {
		if c.Checkpoint != "" {
			dead = c.Checkpoint + ".deadletter.ndjson"
		}
		c.DeadLetter = r.Text("dead_letter", dead)
	}
	c.All = r.Choice("filter", "kms", "kms", "all") == "all"
	for _, principal := range words(r.Text("self_principals", "")) {
		if !arn.IsARN(principal) {
			r.Refuse("self_principals", principal, "ARNs of users and roles, separated by commas")
		}
		c.SelfPrincipals = append(c.SelfPrincipals, principal)
	}
	c.PollInterval = r.Duration("poll_interval", c.PollInterval, feed.LeastPoll, feed.MostPoll)
	c.parseAcks(r)
	c.Readers = r.Int("readers", c.Readers, 1, feed.MostReaders)
	c.QueueRecords = r.Int("queue_records", c.QueueRecords, 1, 10_000_000)
	c.QueueBytes = r.Bytes("queue_bytes", c.QueueBytes, 1<<20, 4<<30)
	c.BatchBytes = r.Bytes("batch_bytes", c.BatchBytes, 64<<10, 64<<20)
	c.refuseForeign(r)
	if err := r.Err(); err != nil {
		return c, err
	}
	return c, c.check(r)
}

// parseAcks reads when an object counts as done.
func (c *Config) parseAcks(r *property.Reader) {
	c.Settle = r.Duration("settle", c.Settle, 0, time.Hour)
	c.AckPath = r.Text("ack_path", "")
	c.AckWindow = r.Bytes("ack_window", c.AckWindow, 1<<20, 4<<30)
	c.AckBy = words(r.Text("ack_by", ""))
	c.AckTimeout = r.Duration("ack_timeout", c.AckTimeout, time.Second, 24*time.Hour)
	c.AcceptLoss = r.Choice("unacknowledged", "retry", "retry", "done") == "done"
	if c.AckPath == "" {
		c.AckBy = nil
		for _, name := range []string{"ack_window", "ack_by", "ack_timeout", "unacknowledged"} {
			if r.Has(name) {
				r.Complain(name, "is set, and has no effect without ack_path; set that, here and in out_kms")
			}
		}
		return
	}
	if err := ack.CheckPath(c.AckPath); err != nil {
		r.Refuse("ack_path", c.AckPath, err.Error())
	}
	if r.Has("settle") {
		r.Complain("settle", "is set, and ack_path is, too: acknowledgements decide what is done; leave settle out")
	}
}

// refuseForeign refuses what is set and belongs to another source.
func (c *Config) refuseForeign(r *property.Reader) {
	for _, p := range Properties() {
		if !p.Of(c.Source) && r.Has(p.Name) {
			r.Complain(p.Name, fmt.Sprintf("is for source %s, and source is %s; leave it out or set source",
				strings.Join(p.Sources, ", "), c.Source))
		}
	}
}

// Misplaced says what to do about a property that Fluent Bit's core takes from the
// section of an input and keeps, or returns "" for one that is harmless there.
func Misplaced(name string) (instead string) {
	switch {
	case name == "host", name == "port", name == "listen":
		return "in_kms does not listen; leave it out, or set aws_endpoint for a service that is compatible with AWS"
	case name == "tls", strings.HasPrefix(name, "tls."):
		return "connections to AWS always use TLS; set AWS_CA_BUNDLE in the environment for a private certificate authority"
	case strings.HasPrefix(name, "oauth2"):
		return "leave it out; docs/aws.md says how in_kms finds credentials"
	}
	return ""
}

// check looks at the files behind the paths, so that a mistake stops the start and
// does not show up in an audit.
func (c *Config) check(r *property.Reader) error {
	_, err := os.Stat(c.Path)
	_, perr := filepath.Match(c.Path, "")
	if c.Source == SourceFile && (perr != nil || (err != nil && !strings.ContainsAny(c.Path, `*?[\`))) {
		r.Refuse("path", c.Path,
			fmt.Sprintf("a directory or file that exists, or a well-formed pattern (%v)", errors.Join(err, perr)))
	}
	if c.Checkpoint == "" && c.DeadLetter == "" {
		return r.Err()
	}
	if c.Source == SourceFile && (sameFile(c.Path, c.Checkpoint) || sameFile(c.Path, c.DeadLetter)) {
		r.Refuse("path", c.Path, "another file than the checkpoint's and that of dead letters, which are never read")
	}
	if sameFile(c.Checkpoint, c.DeadLetter) {
		r.Refuse("dead_letter", c.DeadLetter, "another file than the checkpoint's")
	}
	writable(r, "checkpoint", c.Checkpoint)
	writable(r, "dead_letter", c.DeadLetter)
	return r.Err()
}

// sameFile reports whether two paths lead to one file, by whatever links, or would once
// it is made.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return a != "" && filepath.Clean(a) == filepath.Clean(b) || errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// writable refuses a path whose folder cannot take a new file, which a
// checkpoint needs to be replaced as a whole.
func writable(r *property.Reader, name, path string) {
	if path == "" {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".keytrail-probe-*")
	if err != nil {
		r.Refuse(name, path, fmt.Sprintf("a file in a folder that this process may write to (%v)", err))
		return
	}
	f.Close()
	os.Remove(f.Name())
}
