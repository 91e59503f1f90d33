package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/config"
	"keytrail/processor/sink"
	"keytrail/processor/stream"
)

// replay is "keytrail replay -c FILE PATHS".
func (a *app) replay() *cobra.Command {
	in := a.input()
	var file string
	var allowLate bool
	cmd := &cobra.Command{
		Use: "replay -c FILE [FLAGS] PATHS", GroupID: groupRun,
		Short: "Put CloudTrail files into Kafka",
		Long: "Puts the KMS events of CloudTrail files into the topic kms.events of the configuration's\n" +
			"Kafka, in the order in which CloudTrail delivered the files. Missing topics are created.\n" +
			"PATHS are as for \"keytrail scan\"; files inside an archive come in the archive's order, so\n" +
			"unpack one that holds several accounts or Regions.\n\n" +
			"Events are late when the installation has already counted younger ones: replay ends at\n" +
			"the first event that the installation would not count, unless --allow-late is given. For\n" +
			"old trails use \"keytrail scan\", or give them their own installation: a configuration with\n" +
			"another kafka.prefix and another kafka.transactional_id, and \"keytrail run\" with it.",
		Example: "keytrail replay -c keytrail.yaml s3://trail/AWSLogs/111122223333/CloudTrail/eu-central-1/2026/11/30",
		RunE: func(_ *cobra.Command, paths []string) error {
			if file == "" || len(paths) == 0 {
				return usagef("replay needs -c FILE, and files, directories or -; see keytrail replay --help")
			}
			cfg, err := a.load(file)
			if err == nil && cfg.Kafka.Embedded {
				err = errors.New("replay needs a Kafka that stays: kafka.embedded is true")
			}
			if err != nil {
				return usageError{err}
			}
			return a.replayed(in, cfg, paths, allowLate)
		},
	}
	flags.Config(cmd, &file, "configuration `FILE`")
	cmd.Flags().BoolVar(&allowLate, "allow-late", false,
		"also publish events that this installation no longer counts: it puts them into the dead letter")
	in.AWSFlags(cmd)
	return cmd
}

// replayed publishes the objects at paths, and prints the totals.
func (a *app) replayed(in *input.Input, cfg *config.Config, paths []string, allowLate bool) error {
	for _, s := range cfg.Sinks {
		if path := s.To.Output(); path != "" && path != sink.Stdout {
			in.Writes = append(in.Writes, path)
		}
	}
	c, err := a.publish(in, cfg, paths, allowLate)
	if err != nil {
		if c.Published > 0 {
			err = fmt.Errorf("%w (%d records were published before)", err, c.Published)
		}
		return err
	}
	fmt.Fprintf(a.stderr, "%d records: %d published to %s, %d filtered%s, %d dead letters\n", c.Received, c.Published,
		cfg.Kafka.Prefix+"events", c.Filtered, c.FilteredBy.Named(), c.DeadLettered)
	if c.DeadLettered > 0 {
		return input.ErrDead
	}
	return nil
}

// publish publishes the objects at paths to Kafka, and returns the totals.
func (a *app) publish(in *input.Input, cfg *config.Config, paths []string, allowLate bool) (c stream.PublishCounts,
	err error) {
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(a.stderr, nil)))
	if err := p.MakeTopics(a.ctx); err != nil {
		return c, err
	}
	pub, err := stream.NewPublisher(p.Kafka, p.Topics, p.Read)
	if err != nil {
		return c, err
	}
	defer pub.Close()
	if !allowLate {
		h, err := p.Horizon(a.ctx)
		if err != nil {
			return c, err
		}
		pub.RefuseLate(h)
	}
	for o, err := range in.InOrder(paths) {
		if err == nil {
			err = pub.Object(a.ctx, o)
		}
		if err != nil {
			_ = pub.Flush(a.ctx) // for the counts
			return pub.Counts(), err
		}
	}
	err = pub.Flush(a.ctx)
	return pub.Counts(), err
}
