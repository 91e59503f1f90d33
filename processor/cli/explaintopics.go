package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"keytrail/processor/explain"
	"keytrail/processor/kafka"
	"keytrail/schemas/otellog"
)

// idDigits is the length of a whole anomaly id.
const idDigits = 32

// explainTopics explains an anomaly from the topics of a running installation.
func (a *app) explainTopics(ef *explainFlags, finder *explain.Finder) int {
	cfg, err := a.load(ef.config)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("explain needs a Kafka that others can reach: kafka.embedded is true")
	}
	if err != nil {
		a.errorf("%v", err)
		return exitUsage
	}
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(a.stderr, nil)))
	t := topics{a: a, kafka: p.Kafka, timeout: ef.timeout}
	look := kafka.Look{Topic: p.Topics.Anomalies, Most: ef.most, Newest: true}
	if len(finder.Prefix()) == idDigits {
		look.Key = []byte(finder.Prefix()) // the whole id is the record's key
	}
	read, err := t.read(look, finder, func(value []byte) bool { return bytes.Contains(value, []byte(finder.Prefix())) })
	if err != nil {
		return a.fail(err)
	}
	found, err := finder.Anomaly()
	if err != nil {
		return a.notFound(finder, err, fmt.Sprintf("%s of topic %s at %s", number(read, "record"), p.Topics.Anomalies, strings.Join(cfg.Kafka.Brokers, ", "))+t.stopped())
	}
	// A window is published after it has begun, so nothing of a day before is in Kafka
	// any earlier, whenever the windows were counted.
	keep := ef.keep(found)
	series := explain.NewSeries(found, keep, true)
	look = kafka.Look{Topic: p.Topics.Windows, Most: ef.most, Since: time.Unix(0, found.Start).Add(-max(ef.before, day))}
	if !found.Correlated() {
		if _, err := t.read(look, series, func([]byte) bool { return true }); err != nil {
			return a.fail(err)
		}
	}
	if t.early {
		series.Partial()
	}
	if t.bad > 0 {
		fmt.Fprintf(a.stderr, "%s could not be used\n", number(t.bad, "record"))
	}
	return a.explained(ef, found, series, t.bad, t.notes)
}

// topics reads topics.
type topics struct {
	a       *app
	kafka   kafka.Config
	timeout time.Duration
	bad     int
	early   bool     // the last reading stopped before its end
	notes   []string // where reading stopped early
}

// read hands the records of a look that are wanted to a taker, and returns how many it
// has read.
func (t *topics) read(l kafka.Look, to taker, wanted func(value []byte) bool) (read int, err error) {
	ctx, cancel := context.WithTimeout(t.a.ctx, t.timeout)
	defer cancel()
	var rec otellog.Record
	unread, err := l.Read(ctx, t.kafka, func(key, value []byte) {
		read++
		if !wanted(value) {
			return
		}
		err := rec.Decode(value)
		if err == nil {
			err = to.Add(&rec)
		}
		if err != nil {
			if t.bad++; t.bad <= maxTold {
				fmt.Fprintf(t.a.stderr, "topic %s: record %s: %s\n", l.Topic, plain(string(key)), plain(err.Error()))
			}
		}
	})
	if t.early = unread > 0; t.early {
		why := fmt.Sprintf("--timeout is %v", t.timeout)
		if ctx.Err() == nil {
			why = fmt.Sprintf("--max-records is %d", l.Most)
		}
		t.notes = append(t.notes, fmt.Sprintf("Reading topic %s stopped early, after %s: about %d were left (%s).", l.Topic, number(read, "record"), unread, why))
	}
	return read, err
}

// stopped tells where reading stopped early, behind what was searched.
func (t *topics) stopped() string {
	if len(t.notes) == 0 {
		return ""
	}
	return ". " + strings.Join(t.notes, " ")
}
