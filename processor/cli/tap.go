package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/kafka"
	"keytrail/processor/report"
	"keytrail/processor/sink/filter"
	"keytrail/processor/tap"
	"keytrail/schemas/wire"
)

// tapping are the flags of "keytrail tap".
type tapping struct {
	*app
	file, output string
	from         start
	follow       bool
	most         int64
	filter       filter.Config
}

// start is where reading begins: at a time, or at the current end. Its zero value is the
// beginning of the topic.
type start struct {
	since time.Time
	end   bool
}

// tap is "keytrail tap TOPIC -c FILE".
func (a *app) tap() *cobra.Command {
	t := &tapping{app: a, filter: filter.Default()}
	cmd := &cobra.Command{
		Use: "tap TOPIC -c FILE [FLAGS]", GroupID: groupRun,
		Short: "Print the records of a topic, decoded",
		Long: "Prints the committed records of a topic of a configuration's Kafka, in the order of each\n" +
			"partition. TOPIC is raw, events, dedup, partials, state, windows, anomalies, incidents,\n" +
			"keys, deadletter or status, with or without the prefix. It reads without a consumer group\n" +
			"and changes nothing.\n\n" +
			"As JSON, log records (events, windows, anomalies, incidents, keys) are OTLP/JSON, one\n" +
			"LogsData object a line. Records of the other topics are objects with their topic, place,\n" +
			"time and key, and with the decoded \"value\". The state of an entity stays packed; its key\n" +
			"names the entity.\n\n" +
			"The filters are for log records. Their values are compared as a whole; \"*\" stands for any\n" +
			"characters, and a leading \"!\" excludes. They may be repeated.",
		Example: "keytrail tap anomalies -c keytrail.yaml --follow --severity high --severity critical\n" +
			"keytrail tap events -c keytrail.yaml --from 1h --key '*:key/1234*' -n 10 -o json\n" +
			"keytrail tap partials -c keytrail.yaml -n 1 -o json",
		Args: needs("a TOPIC, such as anomalies"),
		RunE: func(cmd *cobra.Command, topics []string) error {
			if t.follow && !cmd.Flags().Changed("from") {
				t.from.end = true
			}
			return t.run(topics)
		},
	}
	t.register(cmd)
	return cmd
}

// register registers the flags.
func (t *tapping) register(cmd *cobra.Command) {
	flags.Config(cmd, &t.file, "configuration `FILE`")
	flags.Output(cmd, &t.output, "form of the output; auto is a table on a terminal, JSON elsewhere", auto, report.JSON,
		report.Table)
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false,
		"wait for further records; begins at the end unless --from is given")
	now := time.Now()
	flags.Func(cmd, &t.from, "from", "begin at this `place`: start, end, a time or a duration ago",
		"start, end, a time such as 2026-11-20T09:00:00Z, or a duration ago such as 24h",
		func(text string) (start, error) { return parseStart(text, now) }, func(start) string { return "" })
	cmd.Flags().Int64VarP(&t.most, "number", "n", 0, "end after this `number` of printed records; 0: unlimited")
	for _, one := range []struct {
		to    *[]string
		name  string
		usage string
	}{
		{&t.filter.EventNames, "event", "records with this event `name`, such as keytrail.anomaly"},
		{&t.filter.Kinds, "kind", "anomalies of this `kind`, such as rate"},
		{&t.filter.Severities, "severity", "anomalies of this `severity`, such as high"},
		{&t.filter.Keys, "key", "records about the KMS key or alias with this `ARN`"},
		{&t.filter.Principals, "principal", "records about this `principal`"},
	} {
		cmd.Flags().StringArrayVar(one.to, one.name, nil, one.usage)
	}
}

// parseStart reads the value of --from.
func parseStart(text string, now time.Time) (start, error) {
	switch text {
	case "start":
		return start{}, nil
	case "end":
		return start{end: true}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return start{since: t}, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", text)
	}
	return start{since: now.Add(-d)}, err
}

// source returns the named topic, unless the flags do not fit it.
func (t *tapping) source(name string, topics wire.Topics) (tap.Source, error) {
	var known []string
	for _, s := range tap.Sources(topics) {
		known = append(known, s.Name)
		if s.Name != name && s.Topic != name {
			continue
		}
		f := &t.filter
		if !s.Logs && len(f.EventNames)+len(f.Kinds)+len(f.Severities)+len(f.Keys)+len(f.Principals) > 0 {
			return s, fmt.Errorf("topic %s has no log records to filter; leave out --event, --kind, --severity, --key and "+
				"--principal", s.Topic)
		}
		return s, nil
	}
	return tap.Source{}, fmt.Errorf("tap does not know the topic %q%s; want one of %s", name,
		flags.DidYouMean("", name, known), strings.Join(known, ", "))
}

// run prints the records.
func (t *tapping) run(names []string) error {
	switch {
	case t.file == "":
		return usagef("tap needs -c FILE; see keytrail tap --help")
	case len(names) > 1:
		return usagef("tap takes one topic, not %q; see keytrail tap --help", names)
	case t.most < 0:
		return usagef("--number is %d; want 0 or more", t.most)
	}
	cfg, err := t.load(t.file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("tap needs a Kafka that stays: kafka.embedded is true")
	}
	if err == nil {
		err = t.filter.Validate()
	}
	if err != nil {
		return usageError{err}
	}
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(t.stderr, nil)))
	s, err := t.source(names[0], p.Topics)
	if err != nil {
		return usageError{err}
	}
	one := tap.Tap{Kafka: p.Kafka, Source: s, Filter: t.filter, Most: t.most, Table: t.form(t.output) == report.Table,
		Look: kafka.Look{Follow: t.follow, Since: t.from.since, Latest: t.from.end}}
	printed, err := one.Print(t.ctx, t.stdout)
	switch {
	case t.follow && t.ctx.Err() != nil: // the user ends it
		return nil
	case err == nil && printed == 0:
		fmt.Fprintf(t.stderr, "topic %s has no such records\n", s.Topic)
	}
	return err
}
