package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/kafka"
	"keytrail/processor/report"
	"keytrail/processor/source/aws/lookup"
	"keytrail/schemas/otellog"
)

// lookup is "keytrail lookup [PATHS]".
func (a *app) lookup() *cobra.Command {
	n := &normalizer{app: a, in: a.input(), match: &match{}}
	now := time.Now()
	most, file := 0, ""
	cmd := &cobra.Command{
		Use: "lookup [FLAGS] [PATHS]", GroupID: groupAnalyze,
		Short: "Find events, in files, Kafka or CloudTrail's event history",
		Long: "Prints the events of AWS KMS, and those that change a trail, that have all the given\n" +
			"properties, the newest first. With PATHS, which are as for \"keytrail scan\", it searches\n" +
			"files, and skips those that were delivered before --since or a day after --until. With -c\n" +
			"it searches the records that Kafka's topic of events still has.\n\n" +
			"Without both it asks CloudTrail's event history (LookupEvents), for the last 24 hours\n" +
			"unless --since is given. The history reaches back 90 days and needs no trail. AWS allows\n" +
			"one attribute per request and two requests a second, 50 events each: the first attribute\n" +
			"goes to AWS, and the other properties are compared here.\n\n" +
			"Names of attributes: EventId, EventName, ReadOnly, Username, ResourceType, ResourceName,\n" +
			"EventSource, AccessKeyId.",
		Example: "keytrail lookup --attribute Username=alice --since 168h\n" +
			"keytrail lookup --attribute EventName=ScheduleKeyDeletion --since 2026-11-01T00:00:00Z -o csv\n" +
			"keytrail lookup -c keytrail.yaml --principal arn:aws:iam::111122223333:user/alice --limit 100\n" +
			"keytrail lookup --key 1234abcd --error AccessDenied --limit 20 -o table trail/",
		RunE: func(_ *cobra.Command, paths []string) error {
			m := n.match
			if err := m.period.Check(); err != nil {
				return usageError{err}
			}
			if n.output == original && n.body == "none" {
				return usagef("-o original prints the bodies of records; leave out --body none")
			}
			switch {
			case len(paths) > 0 && file != "":
				return usagef("PATHS are files and -c is Kafka; give one of them")
			case len(paths) > 0:
				return n.find(paths, most)
			case file != "":
				return n.findInTopic(file, most)
			}
			if m.period.Since.IsZero() {
				m.period.Since = now.Add(-24 * time.Hour)
			}
			if m.period.Until.IsZero() {
				m.period.Until = now
			}
			if most > 0 {
				n.newest = &newest{most: most}
			}
			return n.ask()
		},
	}
	n.match.register(cmd)
	n.match.period.Register(cmd, now, "events")
	flags.Integer(cmd, &most, "limit", "print the newest events only, at most this `number`; 0: all, of files and Kafka "+
		"at most 100,000", 0, mostFound)
	flags.Config(cmd, &file, "search the topic of events of the Kafka in this configuration `FILE`")
	n.register(cmd, report.Table, original)
	n.in.FileFlags(cmd)
	return cmd
}

// mostFound bounds the events that are found in files and topics: 100,000 of some 2 kB.
const mostFound = 100_000

// find searches files.
func (n *normalizer) find(paths []string, most int) error {
	n.newest = &newest{most: cmp.Or(most, mostFound)}
	skipped := 0
	err := n.print(n.match.inTime(n.in.Objects(paths), &skipped))
	if err == nil {
		fmt.Fprintf(n.stderr, "%d events found, %d files outside the period skipped\n", len(n.newest.list), skipped)
		n.tellDropped()
	}
	return err
}

// tellDropped tells that more events match than were kept.
func (n *normalizer) tellDropped() {
	if n.newest.dropped {
		fmt.Fprintln(n.stderr, "older events match, too; raise --limit, or give --until")
	}
}

// early is how much earlier than an event its record in Kafka may be, by wrong clocks.
const early = time.Hour

// findInTopic searches Kafka's topic of events. Records are written after their events, so
// those written before the period are skipped.
func (n *normalizer) findInTopic(file string, most int) error {
	p, err := n.keptTopics(file, "lookup")
	if err != nil {
		return err
	}
	n.newest = &newest{most: cmp.Or(most, mostFound)}
	look := kafka.Look{Topic: p.Topics.Events, Most: math.MaxInt64}
	if since := n.match.period.Since; !since.IsZero() {
		look.Since = since.Add(-early)
	}
	all, bad := 0, 0
	err = n.printAll(func() error {
		var rec otellog.Record
		var failed error
		_, err := look.Read(n.ctx, p.Kafka, func(_, value []byte) {
			rec.Reset()
			if all++; failed != nil {
				return
			}
			if rec.Decode(value) != nil {
				bad++
				return
			}
			if n.body == "none" {
				rec.Body = ""
			}
			failed = n.record(n.ctx, nil, &rec)
		})
		if err != nil {
			return fmt.Errorf("cannot read topic %s: %w", look.Topic, err)
		}
		return failed
	})
	if err == nil {
		fmt.Fprintf(n.stderr, "%d events found in %d records of topic %s, of which %d are not log records\n",
			len(n.newest.list), all, look.Topic, bad)
		n.tellDropped()
	}
	return err
}

// ask asks the event history.
func (n *normalizer) ask() error {
	cfg, err := n.in.AWSConfig()
	if err != nil {
		return err
	}
	first := lookup.Attribute{Name: "EventSource", Value: "kms.amazonaws.com"}
	if len(n.match.attributes) > 0 { // AWS has compared it by its own rules
		first, n.match.attributes = n.match.attributes[0], n.match.attributes[1:]
	}
	client, p := lookup.NewClient(cfg), &n.match.period
	name := fmt.Sprintf("lookup:%s/%s=%s", client.Region(), first.Name, first.Value)
	query := lookup.Query{Region: client.Region(), Attributes: []lookup.Attribute{first},
		From: p.Since.Truncate(time.Second), To: p.Until.Truncate(time.Second).Add(time.Second)}
	n.match.period = flags.Period{} // AWS compares it, too
	return n.print(input.One(name, func() io.ReadCloser { return client.Open(n.ctx, query) }))
}
