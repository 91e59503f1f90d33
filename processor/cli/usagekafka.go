package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"keytrail/processor/kafka"
	"keytrail/processor/scan"
)

// topic reads the records of Kafka's topic of events, from the oldest to the newest one.
func (u *usaging) topic(sc *scan.Scanner) error {
	cfg, err := u.load(u.file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("usage needs a Kafka that stays: kafka.embedded is true")
	}
	if err != nil {
		return usageError{err}
	}
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(u.stderr, nil)))
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
