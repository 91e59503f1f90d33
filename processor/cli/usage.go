package cli

import (
	"bufio"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/report"
	"keytrail/processor/scan"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
)

// usage is "keytrail usage --key ARN PATHS".
func (a *app) usage() *cobra.Command {
	in, cfg := a.input(), scanConfig()
	var key, output string
	var period flags.Period
	cmd := &cobra.Command{
		Use: "usage --key ARN [FLAGS] PATHS", GroupID: groupAnalyze,
		Short: "Show who used a KMS key, when and how often",
		Long: "Shows who used a KMS key, from CloudTrail files: for each principal its first and last\n" +
			"use, its calls, how many of them were denied or failed, and their operation classes.\n" +
			"Every call counts once, as in \"keytrail scan\", and PATHS are as there. Times are exact to\n" +
			"the minute.\n\n" +
			"ARN is that of the key, or of an alias. Calls that name only an alias count for the key\n" +
			"that the alias stood for, where the trail tells that.\n\n" +
			"As JSON it prints a keytrail.window record for each principal, from the minute of its\n" +
			"first use to the end of that of its last one.",
		Example: "keytrail usage --key arn:aws:kms:eu-central-1:111122223333:key/1234abcd-… trail/\n" +
			"keytrail usage --key arn:aws:kms:eu-central-1:111122223333:alias/app --since 24h -o csv trail/",
		RunE: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 || !cloud.Complete(key) {
				return usagef("usage needs --key with the ARN of a KMS key or an alias, and files, directories or -; " +
					"see keytrail usage --help")
			}
			if err := period.Check(); err != nil {
				return usageError{err}
			}
			return in.Letters(func(l *input.Letters) error {
				cfg.DeadLetter, cfg.Read.Limits = l.Put, in.Limits
				return a.printUsage(in, cfg, paths, report.NewUsage(key), &period, a.form(output))
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`ARN` of the KMS key, or of an alias")
	flags.Output(cmd, &output, "form of the output; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table, report.CSV)
	period.Register(cmd, cfg.Now, "count calls")
	in.FileFlags(cmd)
	return cmd
}

// printUsage reads files, collects the windows of the key's users, and prints them.
func (a *app) printUsage(in *input.Input, cfg scan.Config, paths []string, u *report.Usage, period *flags.Period,
	form string) error {
	const size = int64(time.Minute)
	cfg.Detect.Size = size
	since, until := period.Bounds()
	totals, err := a.scanPaths(in, cfg, paths, func(sc *scan.Scanner) (scan.Totals, error) {
		return sc.Finish(func(r *window.Result) error {
			if r.Window.Start+size > since && r.Window.Start < until {
				u.Add(r.Window, size)
			}
			return a.ctx.Err()
		})
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	u.Print(form, out, cfg.Now.UnixNano())
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write the usage: %w", err)
	}
	fmt.Fprintf(a.stderr,
		"%d objects, %d records: %d calls counted, %d of them on the key by %s; %d duplicates, %d filtered%s, %d dead letters\n",
		totals.Objects, totals.Received, totals.Counted, u.Calls(), report.Number(u.Principals(), "principal"),
		totals.Duplicates, totals.Filtered,
		totals.FilteredBy.Named(), totals.DeadLettered)
	a.others(totals)
	return nil
}
