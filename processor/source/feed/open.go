package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keytrail/processor/lockfile"
	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/digest"
	"keytrail/processor/source/aws/lookup"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/aws/sqs"
)

// The types of sources.
const (
	File   = "file"
	S3     = "s3"
	SQS    = "sqs"
	Lookup = "lookup"
)

// Bounds of the settings, the same in every configuration of a source. MostReaders bounds
// the objects that one source reads side by side.
const (
	LeastPoll, MostPoll             = 10 * time.Millisecond, time.Hour
	LeastOverlap, MostOverlap       = 10 * time.Minute, 48 * time.Hour
	LeastDiscover, MostDiscover     = time.Minute, 24 * time.Hour
	LeastVisibility, MostVisibility = 10 * time.Second, 12 * time.Hour
	LeastDelay, MostDelay           = time.Minute, 6 * time.Hour
	MostMessages                    = 100_000
	MostReaders                     = 64
)

// DefaultStart is the default of the time from which a bucket and LookupEvents are read.
const DefaultStart = "24h"

// DefaultReaders returns how many objects of a type of source are read side by side. Files
// are read one after another, in their order; over a network four readers hide the time
// that one object takes to begin, some 50 ms.
func DefaultReaders(kind string) int {
	if kind == File {
		return 1
	}
	return 4
}

// DefaultPoll returns the default time between two polls of a type of source.
func DefaultPoll(kind string) time.Duration {
	if kind == File || kind == SQS {
		return 5 * time.Second
	}
	return time.Minute
}

// Config describes one source. It is plain data.
type Config struct {
	Kind string // File, S3, SQS or Lookup
	// Path is source.FollowerConfig's, as are FromBeginning and Exclude: for File.
	Path          string
	FromBeginning bool
	Exclude       []string
	// Start is the first event time that S3 and Lookup read without a checkpoint;
	// zero is the beginning.
	Start time.Time
	// Accounts and Regions are s3.FollowerConfig's; Regions is also lookup.Config's.
	Accounts, Regions []string
	AWS               client.Config
	// Bucket, Prefix, Overlap and Discover are s3.FollowerConfig's. VerifyDigests checks the
	// trail against its digests.
	Bucket, Prefix    string
	Overlap, Discover time.Duration
	VerifyDigests     bool
	Queue             sqs.Config // without its clock
	// Delay and All are lookup.Config's.
	Delay time.Duration
	All   bool
	// Checkpoint is the file that records the finished objects; "" for none. A queue has none.
	Checkpoint   string
	PollInterval time.Duration
}

// Place names the source in messages.
func (c *Config) Place() string {
	switch c.Kind {
	case S3:
		return fmt.Sprintf("%q", s3.Scheme+c.Bucket+"/"+c.Prefix)
	case SQS:
		return fmt.Sprintf("%q", c.Queue.QueueURL)
	case Lookup:
		return "LookupEvents"
	}
	return fmt.Sprintf("%q", c.Path)
}

// loadTimeout bounds the search for AWS's configuration at the start, which may ask an
// instance for its region.
const loadTimeout = 10 * time.Second

// Say takes a line for the log; warn marks one that a person should act on.
type Say func(warn bool, format string, args ...any)

// Open opens the source. It reads the checkpoint and sends no request. ctx bounds the life
// of the Feed. An error names the checkpoint or the AWS setting that cannot be used.
func Open(ctx context.Context, c Config, say Say) (Feed, error) {
	if c.Kind == File {
		return openFiles(c)
	}
	load, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	aws, err := client.Load(load, c.AWS)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", c.Kind, err)
	}
	info := func(format string, args ...any) { say(false, format, args...) }
	switch c.Kind {
	case S3:
		info("reading %s in region %s %s", c.Place(), aws.Region, c.describeStart())
		objects := s3.NewClient(aws)
		follow := s3.FollowerConfig{
			Bucket: c.Bucket, Prefix: c.Prefix, Accounts: c.Accounts, Regions: c.Regions, Start: c.Start,
			Checkpoint: c.Checkpoint, Overlap: c.Overlap, Discover: c.Discover, Now: time.Now,
			Log: func(format string, args ...any) { say(true, format, args...) },
		}
		if c.VerifyDigests {
			follow.Digest = digest.NewVerifier(aws, objects).Object
		}
		return s3.NewFollower(objects, follow)
	case SQS:
		queue := c.Queue
		queue.Now = time.Now
		return sqs.New(aws, queue, s3.NewClient(aws), info)
	default:
		info("looking up events %s", c.describeStart())
		return lookup.New(aws, lookup.Config{
			Regions: c.Regions, Start: c.Start, Delay: c.Delay, All: c.All, Checkpoint: c.Checkpoint, Now: time.Now,
		})
	}
}

func openFiles(c Config) (Feed, error) {
	f, err := source.NewFollower(source.FollowerConfig{
		Path: c.Path, Checkpoint: c.Checkpoint, FromBeginning: c.FromBeginning, Exclude: c.Exclude,
		// Two looks that lie the poll interval apart would find such a file the same.
		Rested: func(changed time.Time) bool { return time.Since(changed) > c.PollInterval },
	})
	if err != nil {
		return nil, err
	}
	return &files{f: f}, nil
}

// describeStart returns the time from which events are read, for the log.
func (c *Config) describeStart() string {
	if c.Start.IsZero() {
		return "from the beginning"
	}
	return fmt.Sprintf("from %s on, unless the checkpoint says otherwise", c.Start.Format(time.RFC3339))
}

// StartAllowed describes the texts that ParseStart accepts.
const StartAllowed = "a time such as 2026-11-01T00:00:00Z, how long ago such as 24h, now or beginning"

// ParseStart reads the time at which to begin: a time in RFC 3339, a duration before now,
// "now", or "beginning", which is the zero time. It reports whether text is one of them.
func ParseStart(text string, now time.Time) (time.Time, bool) {
	switch strings.ToLower(text) {
	case "beginning":
		return time.Time{}, true
	case "now":
		return now, true
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), true
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), true
	}
	return now, false
}

// Lock takes the lock of a checkpoint: a second reader would undo what the first has noted.
// Close releases it. Without a checkpoint it returns nil. The error wraps
// lockfile.ErrTaken when another reader holds the lock.
func Lock(checkpoint string) (io.Closer, error) {
	if checkpoint == "" {
		return nil, nil
	}
	lock, err := lockfile.Take(checkpoint + ".lock")
	if errors.Is(err, lockfile.ErrTaken) {
		return nil, fmt.Errorf("%w: another reader uses this checkpoint; give each reader its own", err)
	}
	return lock, err
}

// callerTimeout bounds the request to STS, before anything is read.
const callerTimeout = 10 * time.Second

// Caller returns the ARN of the principal that reads from AWS, from STS. Every principal may
// send this request.
func Caller(ctx context.Context, c client.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callerTimeout)
	defer cancel()
	cfg, err := client.Load(ctx, c)
	if err != nil {
		return "", err
	}
	return client.Caller(ctx, cfg)
}
