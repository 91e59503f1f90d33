package cli

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/read"
	"keytrail/processor/report"
	"keytrail/processor/screen"
	"keytrail/processor/source"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

// normalize is "keytrail normalize PATHS".
func (a *app) normalize() *cobra.Command {
	n := &normalizer{app: a, in: a.input()}
	cmd := &cobra.Command{
		Use: "normalize [FLAGS] PATHS", GroupID: groupAnalyze,
		Short: "Print every event as an OpenTelemetry log record",
		Long: "Prints every AWS KMS event, and every CloudTrail event that changes a trail, as an\n" +
			"OpenTelemetry log record whose body is the event byte for byte. Other events are\n" +
			"counted as filtered. PATHS are as for \"keytrail scan\".",
		Example: "keytrail normalize trail/ >records.ndjson\n" +
			"keytrail normalize -o csv trail/ >calls.csv\n" +
			"keytrail normalize -o otlp trail/ | curl --data-binary @- -H 'Content-Type: application/x-protobuf' http://localhost:4318/v1/logs",
		Args: needs("files, directories or -"),
		RunE: func(_ *cobra.Command, paths []string) error { return n.print(n.in.Objects(paths)) },
	}
	n.register(cmd)
	cmd.Flags().StringArrayVar(&n.self, "self", nil, "`principal` of the collector itself; repeatable")
	n.in.FileFlags(cmd)
	return cmd
}

// normalizer prints log records, for normalize and lookup.
type normalizer struct {
	*app
	in           *input.Input
	output, body string
	self         []string
	match        *match  // of lookup; nil: all records
	newest       *newest // of lookup in files; nil: as they come

	out   *bufio.Writer
	calls *report.Calls
	buf   []byte
}

// otlp is the form of protobuf requests, end to end.
const otlp = "otlp"

// original is the form of the events as they were written, one a line.
const original = "original"

// register registers the flags that say how records are printed, in further forms, too.
func (n *normalizer) register(cmd *cobra.Command, forms ...string) {
	flags.Output(cmd, &n.output,
		"form of the output; json is one LogsData object a line, otlp protobuf ExportLogsServiceRequests, end to end",
		append([]string{report.JSON, otlp, report.CSV}, forms...)...)
	n.body = "keep"
	flags.Choice(cmd, &n.body, "body", "", "the original event as the record's body", "keep", "none")
}

// print prints the log records of objects.
func (n *normalizer) print(objects iter.Seq2[source.Object, error]) error {
	return n.in.Letters(func(l *input.Letters) error {
		var counts read.Counts
		records := read.NewRecords(read.Config{
			Options: cloud.Options{Limits: n.in.Limits, OmitBody: n.body == "none", SelfPrincipals: n.self,
				Encoded: n.output == otlp && n.match == nil},
			Counts: &counts, Record: n.record, Dead: l.Taker("normalize"), Now: time.Now,
		})
		err := n.printAll(func() error {
			for object, err := range objects {
				if err == nil {
					err = records.Object(n.ctx, object)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			fmt.Fprintf(n.stderr, "%d records: %d log records, %d filtered%s, %d dead letters\n", counts.Received.Load(),
				counts.Delivered.Load(),
				counts.Filtered.Load(), counts.Why().Named(), counts.Dead.Load())
		}
		return err
	})
}

// printAll prints the log records that fill passes to n.record.
func (n *normalizer) printAll(fill func() error) error {
	n.form(n.output) // tables fit the terminal
	n.out = bufio.NewWriterSize(n.stdout, 256<<10)
	if n.output == otlp { // protobuf is not text
		n.out.Reset(screen.Raw{Output: n.stdout})
	}
	n.calls = report.NewCalls(n.out)
	err := fill()
	if err == nil && n.newest != nil {
		err = n.newest.each(n.write)
	}
	if ferr := n.out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("cannot write log records: %w", ferr)
	}
	return err
}

// record prints one, or keeps it to be printed at the end.
func (n *normalizer) record(_ context.Context, _ *decoding.Origin, rec *otellog.Record) error {
	if n.match != nil && !n.match.has(rec) {
		return n.ctx.Err()
	}
	if n.newest != nil {
		n.newest.add(rec)
		return n.ctx.Err()
	}
	return n.write(rec)
}

func (n *normalizer) write(rec *otellog.Record) error {
	switch n.output {
	case report.CSV:
		n.calls.Print(rec)
		return n.ctx.Err()
	case report.Table:
		n.buf = append(append(n.buf[:0], report.CallRow(rec)...), '\n')
	case original:
		n.buf = append(append(n.buf[:0], rec.Body...), '\n')
	case otlp:
		n.buf = otellog.AppendRequest(n.buf[:0], rec)
	default:
		n.buf = append(otellog.AppendJSON(n.buf[:0], rec), '\n')
	}
	if _, err := n.out.Write(n.buf); err != nil {
		return fmt.Errorf("cannot write log records: %w", err)
	}
	return nil
}
