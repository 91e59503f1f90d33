package input

import (
	"context"
	"fmt"
	"time"

	"keytrail/plugins/internal/logging"
	"keytrail/processor/source"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/digest"
	"keytrail/processor/source/aws/lookup"
	"keytrail/processor/source/aws/s3"
	"keytrail/processor/source/aws/sqs"
)

// loadTimeout bounds the finding of AWS's configuration at the start, which may ask
// an instance for its region. Fluent Bit waits meanwhile.
const loadTimeout = 10 * time.Second

// newFeed makes the feed of the configured source. It reads the checkpoint and calls
// nothing. ctx bounds the life of what it makes.
func newFeed(ctx context.Context, cfg Config, log *logging.Log) (feed, error) {
	if cfg.Source == SourceFile {
		return newFiles(cfg)
	}
	load, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	aws, err := client.Load(load, cfg.AWS)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", cfg.Source, err)
	}
	switch cfg.Source {
	case SourceS3:
		log.Printf(logging.Info, "reading %s in region %s %s", cfg.place(), aws.Region, cfg.describeStart())
		client := s3.NewClient(aws)
		follow := s3.FollowerConfig{
			Bucket: cfg.Bucket, Prefix: cfg.Prefix, Accounts: cfg.Accounts, Regions: cfg.Regions, Start: cfg.Start,
			Checkpoint: cfg.Checkpoint, Overlap: cfg.Overlap, Discover: cfg.Discover, Now: time.Now,
			Log: func(format string, args ...any) { log.Printf(logging.Warn, format, args...) },
		}
		if cfg.VerifyDigests {
			follow.Digest = digest.NewVerifier(aws, client).Object
		}
		return s3.NewFollower(client, follow)
	case SourceSQS:
		queue := cfg.SQS
		queue.Now = time.Now
		say := func(format string, args ...any) { log.Printf(logging.Info, format, args...) }
		return sqs.New(aws, queue, s3.NewClient(aws), say)
	default:
		log.Printf(logging.Info, "looking up events %s", cfg.describeStart())
		return lookup.New(aws, lookup.Config{
			Regions: cfg.Regions, Start: cfg.Start, Delay: cfg.LookupDelay, All: cfg.LookupAll,
			Checkpoint: cfg.Checkpoint, Now: time.Now,
		})
	}
}

func newFiles(cfg Config) (feed, error) {
	exclude := []string{cfg.DeadLetter, cfg.DeadLetter + ".1"}
	if cfg.DeadLetter == "" {
		exclude = nil
	}
	f, err := source.NewFollower(source.FollowerConfig{
		Path: cfg.Path, Checkpoint: cfg.Checkpoint, FromBeginning: cfg.FromBeginning, Exclude: exclude,
		// Two looks that lie the poll interval apart would find such a file the same.
		Rested: func(changed time.Time) bool { return time.Since(changed) > cfg.PollInterval },
	})
	if err != nil {
		return nil, err
	}
	return &files{f: f}, nil
}
