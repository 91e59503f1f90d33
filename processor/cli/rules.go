package cli

import (
	"bufio"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/read"
	"keytrail/processor/report"
	"keytrail/processor/sigma"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
)

// checking is one run of "keytrail rules check".
type checking struct {
	*app
	in     *input.Input
	sample []string
	output string
	shown  int // call ids of a rule
}

// rules is "keytrail rules check DIR".
func (a *app) rules() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rules COMMAND", GroupID: groupRun,
		Short: "Check rules in Sigma form, and try them on a sample",
		Long:  "Works on rules in Sigma form.", Example: "keytrail rules check --sample trail/ rules/",
		RunE: parent,
	}
	c := &checking{app: a, in: a.input(), shown: 3}
	check := &cobra.Command{
		Use: "check [FLAGS] DIR", Short: "Check rules, and try them on a sample",
		Long: "Checks rules in Sigma form: the files below directories whose names end in .yml or\n" +
			".yaml, and single files. It prints each problem as FILE:LINE: PROBLEM; REMEDY,\n" +
			"and the exit code is 1 when there are any.\n\n" +
			"With a sample it also prints which of its events match which rules, and which\n" +
			"correlations fire. A call that the sample has several times counts once, by its first\n" +
			"record.",
		Example: "keytrail rules check rules/\nkeytrail rules check --sample trail/ -o table rules/",
		Args:    needs("a directory of rules"),
		RunE:    func(_ *cobra.Command, paths []string) error { return c.run(paths) },
	}
	check.Flags().StringArrayVar(&c.sample, "sample", nil,
		"`PATH` of CloudTrail events to try the rules on, as for keytrail scan; repeatable")
	flags.Output(check, &c.output, "form of the output; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table)
	flags.Integer(check, &c.shown, "calls", "`number` of call ids to show per rule", 0, 1000)
	c.in.FileFlags(check)
	cmd.AddCommand(check)
	return cmd
}

// run tries the rules on the sample, if any, and prints the result.
func (c *checking) run(paths []string) error {
	rules, err := c.in.Rules(paths)
	if err != nil {
		return err
	}
	return c.in.Letters(func(l *input.Letters) error {
		t := report.NewTrial(rules, c.shown)
		in := cloud.NewReader(cloud.Options{Limits: c.in.Limits})
		events := read.NewEvents(in, new(read.Counts), func(context.Context) (decoding.Filter, error) {
			return decoding.Kept, t.Event(in)
		}, l.Taker("rules"))
		for o, err := range c.in.Objects(c.sample) {
			if err == nil {
				err = events.Object(c.ctx, o)
			}
			if err != nil {
				return err
			}
		}
		out := bufio.NewWriter(c.stdout)
		var err error
		if c.form(c.output) == report.JSON {
			err = t.JSON(out)
		} else {
			t.Table(out, len(c.sample) > 0)
		}
		if ferr := out.Flush(); err == nil {
			err = ferr
		}
		if err != nil {
			return fmt.Errorf("cannot write the result: %w", err)
		}
		c.summary(rules, t, l.N)
		return nil
	})
}

// summary prints the totals.
func (c *checking) summary(rules *sigma.Rules, t *report.Trial, dead int) {
	number := report.Number
	fmt.Fprintf(c.stderr, "%s, %s, %s left out", number(len(rules.List), "rule"),
		number(len(rules.Correlations), "correlation"), number(len(rules.Skipped), "document"))
	if len(c.sample) > 0 {
		fmt.Fprintf(c.stderr, "; %s: %s, %d of them not of KMS or a trail, %s, %s",
			number(t.Calls+t.Duplicates+dead, "record"), number(t.Calls, "call"), t.Outside,
			number(t.Duplicates, "duplicate"), number(dead, "dead letter"))
	}
	fmt.Fprintln(c.stderr)
}
