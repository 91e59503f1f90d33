package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"keytrail/processor/kafka"
	"keytrail/processor/scan"
	"keytrail/processor/stream"
)

// keptTopics returns a Pipeline, which is not run, with the topics of a configuration for a
// command that reads them.
func (a *app) keptTopics(file, command string) (*stream.Pipeline, error) {
	cfg, err := a.load(file)
	if err == nil && cfg.Kafka.Embedded {
		err = fmt.Errorf("%s needs a Kafka that stays: kafka.embedded is true", command)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(a.stderr, nil))), nil
}

// topic reads the records of Kafka's topic of events, from the oldest to the newest one.
func (u *usaging) topic(sc *scan.Scanner) error {
	p, err := u.keptTopics(u.file, "usage")
	if err != nil {
		return err
	}
	look := kafka.Look{Topic: p.Topics.Events, Most: math.MaxInt64}
	records, failed := sc.Records(), error(nil)
	n := 0
	if _, err := look.Read(u.ctx, p.Kafka, func(_, value []byte) {
		if n++; failed == nil {
			failed = records.Take(u.ctx, fmt.Sprintf("%s, record %d", look.Topic, n), value)
		}
	}); err != nil {
		return fmt.Errorf("cannot read topic %s: %w", look.Topic, err)
	}
	return errors.Join(failed, records.Flush())
}
