package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// DefaultPatience is how long a command repeats a question to brokers that do not answer.
// After a broker is killed, another leads its partitions once its session has expired: 9 s
// by the default of Kafka's broker.session.timeout.ms.
const DefaultPatience = 30 * time.Second

func (c *Config) patience() time.Duration { return cmp.Or(c.Patience, DefaultPatience) }

// unheard is how long a topic may be unknown: brokers hear of a new one, one after another.
const unheard = 3 * time.Second

// patiently calls ask until it succeeds. It tries again, at growing intervals, while the
// error is an outage: a broker that does not answer, or a partition without a leader. After
// Config.Patience, or after reachWithin if no broker accepts a connection, it returns the
// last error with what to do about the brokers that do not answer. It leaves time for that
// before the deadline of ctx.
func (c *Config) patiently(ctx context.Context, ask func(context.Context) error) error {
	began, last, asked, patience := time.Now(), error(nil), false, c.patience()
	if end, ok := ctx.Deadline(); ok && time.Until(end) > 2*diagnoseWithin {
		patience = min(patience, time.Until(end)-diagnoseWithin)
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := ask(within)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(last, err)
		case c.forGood(err), errors.Is(err, kerr.UnknownTopicOrPartition) && time.Since(began) > unheard:
			return err
		case within.Err() == nil || last == nil: // an expired deadline is not a cause
			last = err
		}
		if !asked && time.Since(began) > min(reachWithin, patience/2) {
			asked = true
			if said := c.silent(within); len(said) == len(c.Brokers) {
				return fmt.Errorf("%w; %s", last, strings.Join(said, "; "))
			}
		}
		select {
		case <-time.After(wait):
			continue
		case <-within.Done():
		}
		if ctx.Err() != nil {
			return errors.Join(last, ctx.Err())
		}
		return c.gaveUp(ctx, patience, last)
	}
}

// forGood reports whether a retry would give the same error.
func (c *Config) forGood(err error) bool {
	var said *final
	var fatal *processorError
	return !Outage(err) || c.Security.Refused(err) || errors.As(err, &said) || errors.As(err, &fatal)
}

// gaveUp adds to an error which brokers do not answer, and what to do.
func (c *Config) gaveUp(ctx context.Context, after time.Duration, err error) error {
	advice := "all brokers answer: wait until the partitions have leaders again (kafka-topics.sh --describe " +
		"--unavailable-partitions)"
	if said := c.silent(ctx); len(said) > 0 {
		advice = strings.Join(said, "; ") + "; a topic with one replica waits for its broker"
	}
	return fmt.Errorf("tried for %v: %w; %s", after.Round(100*time.Millisecond), err, advice)
}
