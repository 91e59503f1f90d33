package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/config"
	"keytrail/processor/deadletter"
	"keytrail/processor/sink"
	"keytrail/processor/stream"
	"keytrail/schemas/printable"
)

// deadLetter is "keytrail deadletter list|show|replay".
func (a *app) deadLetter() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deadletter COMMAND [FLAGS]", GroupID: groupRun,
		Short: "Look at refused records, and put them back",
		Long: "Counts and shows the records in the dead-letter topic of a configuration's Kafka, and\n" +
			"puts them back once the cause of their refusal is corrected.",
		Example: "keytrail deadletter list -c keytrail.yaml\n" +
			"keytrail deadletter show -c keytrail.yaml 0/123\n" +
			"keytrail deadletter replay -c keytrail.yaml --sink siem --apply",
		RunE: parent,
	}
	cmd.AddCommand(a.deadLetterList(), a.deadLetterShow(), a.deadLetterReplay())
	return cmd
}

// letters are the flags that select dead letters.
type letters struct {
	file   string
	filter deadletter.Filter
	period flags.Period
}

func (l *letters) register(cmd *cobra.Command) {
	flags.Config(cmd, &l.file, "configuration `FILE`")
	cmd.Flags().StringVar(&l.filter.Stage, "stage", "", "letters of this `stage`, such as normalize or forward")
	cmd.Flags().StringVar(&l.filter.Reason, "reason", "", "letters with this `reason`, such as rejected_invalid")
	cmd.Flags().StringVar(&l.filter.Sink, "sink", "", "letters of the sink with this `name` or id")
	l.period.Register(cmd, time.Now(), "letters")
}

// box loads the configuration and returns its dead-letter topic.
func (a *app) box(l *letters, command string) (*config.Config, *stream.Pipeline, deadletter.Box, error) {
	var box deadletter.Box
	if l.file == "" {
		return nil, nil, box, usagef("deadletter %s needs -c FILE; see keytrail deadletter %s --help", command, command)
	}
	cfg, err := a.load(l.file)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("deadletter needs a Kafka that stays: kafka.embedded is true")
	}
	if err == nil {
		err = l.period.Check()
	}
	if err != nil {
		return nil, nil, box, usageError{err}
	}
	l.filter.Since, l.filter.Until = l.period.Since, l.period.Until
	for i := range cfg.Sinks {
		if s := &cfg.Sinks[i]; s.Name == l.filter.Sink {
			l.filter.Sink = s.Identifier()
		}
	}
	p := newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(a.stderr, nil)))
	return cfg, p, deadletter.Box{Kafka: p.Kafka, Topic: p.Topics.DeadLetter}, nil
}

// deadLetterList is "keytrail deadletter list -c FILE".
func (a *app) deadLetterList() *cobra.Command {
	var l letters
	var each, all bool
	cmd := &cobra.Command{
		Use: "list -c FILE [FLAGS]", Short: "Count dead letters by stage, reason and sink",
		Long: "Counts the dead letters by stage, reason and sink: those that are open, and those that\n" +
			"\"replay\" has put back. LAST and DETAIL are of the newest open one, which stands at\n" +
			"PLACE in the topic. With --each it lists the open letters themselves.",
		Example: "keytrail deadletter list -c keytrail.yaml\nkeytrail deadletter list -c keytrail.yaml --sink siem --each",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, _, box, err := a.box(&l, "list")
			if err != nil {
				return err
			}
			if each {
				l.filter.Open = !all
				return box.Each(a.ctx, l.filter, func(one *deadletter.Letter) error {
					_, err := fmt.Fprintf(a.table(), "%s  %s  %s  %s  %s%s\n", one.At, when(one.Time), one.Stage, one.Reason,
						printable.Text(one.Detail), map[bool]string{true: "  (put back)"}[one.Done])
					return err
				})
			}
			groups, err := box.List(a.ctx, l.filter)
			if err != nil {
				return err
			}
			if len(groups) == 0 {
				fmt.Fprintf(a.stderr, "topic %s has no such dead letters\n", box.Topic)
				return nil
			}
			t := tabwriter.NewWriter(a.table(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "OPEN\tPUT BACK\tSTAGE\tREASON\tSINK\tFIRST\tLAST\tPLACE\tDETAIL")
			for _, g := range groups {
				first, last, at := "", "", ""
				if g.Open > 0 {
					first, last, at = when(g.First), when(g.Last), g.At.String()
				}
				fmt.Fprintf(t, "%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Open, g.Done, g.Stage, g.Reason, g.Sink,
					first, last, at, printable.Text(g.Detail))
			}
			return t.Flush()
		},
	}
	l.register(cmd)
	cmd.Flags().BoolVar(&each, "each", false, "list the open letters, one a line, with their places")
	cmd.Flags().BoolVar(&all, "all", false, "with --each: also those that were put back")
	return cmd
}

func when(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }

// deadLetterShow is "keytrail deadletter show -c FILE PLACE".
func (a *app) deadLetterShow() *cobra.Command {
	var l letters
	cmd := &cobra.Command{
		Use: "show -c FILE PLACE", Short: "Show one dead letter with its reason and its bytes",
		Long: "Shows the dead letter at PLACE, a partition and an offset of the dead-letter topic, as one\n" +
			"JSON object: its reason, what the receiver said, where the record came from, and the\n" +
			"original bytes as \"raw\", or as \"raw_base64\" if they are not text.",
		Example: "keytrail deadletter show -c keytrail.yaml 0/123",
		Args:    needs("the place of a dead letter, such as 0/123"),
		RunE: func(_ *cobra.Command, places []string) error {
			at, err := deadletter.ParsePlace(places[0])
			if err == nil && len(places) > 1 {
				err = fmt.Errorf("deadletter show takes one place, not %d", len(places))
			}
			if err != nil {
				return usageError{err}
			}
			_, _, box, err := a.box(&l, "show")
			if err != nil {
				return err
			}
			found := false
			err = box.Each(a.ctx, deadletter.Filter{At: &at}, func(one *deadletter.Letter) error {
				found = true
				_, err := a.stdout.Write(append(one.AppendJSON(nil), '\n'))
				return err
			})
			if err == nil && !found {
				err = fmt.Errorf("topic %s has no dead letter at %s; keytrail deadletter list --each shows the places",
					box.Topic, at)
			}
			return err
		},
	}
	flags.Config(cmd, &l.file, "configuration `FILE`")
	return cmd
}

// deadLetterReplay is "keytrail deadletter replay -c FILE".
func (a *app) deadLetterReplay() *cobra.Command {
	var l letters
	var place string
	var apply bool
	cmd := &cobra.Command{
		Use: "replay -c FILE [FLAGS] [--apply]", Short: "Put dead letters back",
		Long: "Puts the open dead letters back that the flags select. Records that a sink refused go\n" +
			"to that sink again, and to no other. Input that could not be decoded goes to kms.raw;\n" +
			"counting drops duplicates. Without --apply it changes nothing and says what it would do.\n\n" +
			"A letter that was put back is not put back again. If a replay is killed, the next one may\n" +
			"repeat up to 500 records to a sink, with the same ids.",
		Example: "keytrail deadletter replay -c keytrail.yaml --sink siem            # what it would do\n" +
			"keytrail deadletter replay -c keytrail.yaml --sink siem --apply",
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if place != "" {
				at, err := deadletter.ParsePlace(place)
				if err != nil {
					return usageError{err}
				}
				l.filter.At = &at
			}
			cfg, p, box, err := a.box(&l, "replay")
			if err != nil {
				return err
			}
			return a.replayLetters(cfg, p, &deadletter.Replay{Box: box, Filter: l.filter}, apply)
		},
	}
	l.register(cmd)
	cmd.Flags().StringVar(&place, "place", "", "the letter at this `PLACE` only, such as 0/123")
	cmd.Flags().BoolVar(&apply, "apply", false, "put them back")
	return cmd
}

// replayLetters runs a replay and prints its totals.
func (a *app) replayLetters(cfg *config.Config, p *stream.Pipeline, r *deadletter.Replay, apply bool) error {
	r.Raw, r.TransactionalID, r.Resource, r.Log = p.Topics.Raw, cfg.Kafka.TransactionalID+"-deadletter", p.Resource, p.Log
	r.Open = func(identifier string) (d deadletter.Destination, err error) {
		for i := range cfg.Sinks {
			if s := &cfg.Sinks[i]; s.Identifier() == identifier {
				d.Batch, d.Retry = s.Batch, s.Retry
				// Each replay has its own group: a sink that stores positions would take older
				// records than those of the last one for delivered.
				d.Sink, err = openBeside(cfg, s, "replay-"+strings.ToLower(rand.Text()[:12]))
				return d, err
			}
		}
		return d, fmt.Errorf("the configuration has no sink with the name or id %q; choose others with --sink", identifier)
	}
	r.Refused = func(l *deadletter.Letter, reason sink.Reason, why error) {
		fmt.Fprintf(a.stderr, "%s is refused again (%s): %s\n", l.At, reason, printable.Text(why.Error()))
	}
	totals, err := r.Run(a.ctx, apply)
	open := 0
	for _, t := range totals {
		open += sayTotal(a.stdout, t, apply)
	}
	switch {
	case err != nil:
		return err
	case len(totals) == 0:
		fmt.Fprintf(a.stderr, "topic %s has no such open dead letters\n", r.Topic)
	case !apply:
		fmt.Fprintln(a.stderr, "nothing is put back; do it with --apply")
	case open > 0:
		return input.ErrDead
	}
	return nil
}

// sayTotal prints what was done with the letters of one target, and returns how many of them
// stay although they could be put back.
func sayTotal(w io.Writer, t *deadletter.Total, apply bool) (open int) {
	to := "topic " + t.Topic
	if t.Sink != "" {
		to = "sink " + t.Sink
	}
	switch {
	case t.Why != "":
		fmt.Fprintf(w, "%d stay: %s\n", t.Letters, t.Why)
		return 0
	case !apply:
		fmt.Fprintf(w, "%d would go to %s\n", t.Letters, to)
		return 0
	}
	fmt.Fprintf(w, "%d of %d went to %s", t.Put, t.Letters, to)
	if t.Refused > 0 {
		fmt.Fprintf(w, ", which refused %d again", t.Refused)
	}
	fmt.Fprintln(w)
	return t.Letters - t.Put
}
