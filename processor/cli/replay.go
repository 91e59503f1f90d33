package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"keytrail/processor/config"
	"keytrail/processor/sink"
	"keytrail/processor/stream"
)

const replayAbout = `Puts the KMS events of CloudTrail files into the topic kms.events of the
configuration's Kafka, in the order in which CloudTrail delivered the files. Missing
topics are made. PATHS are as for scan; files inside an archive come in the archive's order, so
unpack one that holds several accounts or Regions.

Events of the past are late where younger ones have been counted: replay ends at the
first event that this installation would not count, unless --allow-late is given. For
old trails use "keytrail scan", or give them an installation of their own: a
configuration with another kafka.prefix and another kafka.transactional_id, and
"keytrail run" with it.`

// replay is "keytrail replay -c FILE PATHS".
func (a *app) replay(args []string) int {
	f := a.flags("replay", "-c FILE [--allow-late] PATHS", replayAbout)
	file := f.String("c", "", "configuration `FILE`")
	allowLate := f.Bool("allow-late", false, "publish events that this installation counts no more, too: it puts them into the dead letter")
	a.awsFlags(f)
	paths, code, done := a.parse(f, args)
	if done {
		return code
	}
	if *file == "" || len(paths) == 0 {
		a.errorf("replay needs -c FILE, and files, directories or -; see keytrail replay -h")
		return exitUsage
	}
	cfg, err := a.load(*file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("replay needs a Kafka that stays: kafka.embedded is true")
	}
	if err != nil {
		a.errorf("%v", err)
		return exitUsage
	}
	for _, s := range cfg.Sinks {
		if path := s.To.Output(); path != "" && path != sink.Stdout {
			a.writes = append(a.writes, path)
		}
	}
	c, err := a.publish(cfg, paths, *allowLate)
	if err != nil {
		if c.Published > 0 {
			err = fmt.Errorf("%w (%d records were published before)", err, c.Published)
		}
		return a.fail(err)
	}
	fmt.Fprintf(a.stderr, "%d records: %d published to %s, %d filtered%s, %d dead letters\n", c.Received, c.Published, cfg.Kafka.Prefix+"events", c.Filtered, c.FilteredBy.Named(), c.DeadLettered)
	if c.DeadLettered > 0 {
		return exitDead
	}
	return exitOK
}

// publish puts what paths name into Kafka, and returns what became of it.
func (a *app) publish(cfg *config.Config, paths []string, allowLate bool) (c stream.PublishCounts, err error) {
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
	for o, err := range a.inOrder(paths) {
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
