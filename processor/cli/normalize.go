package cli

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"time"

	"keytrail/processor/read"
	"keytrail/processor/source"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
)

const normalizeAbout = `Prints every AWS KMS event, and every CloudTrail event that changes a trail, as
an OpenTelemetry log record whose body is the event byte for byte. Other events
are counted as filtered. PATHS are as for scan.`

// normalize is "keytrail normalize PATHS".
func (a *app) normalize(args []string) int {
	f := a.flags("normalize", "[FLAGS] PATHS", normalizeAbout)
	output, body := "json", "keep"
	f.choice(&output, "o", "output: `json|otlp` (json: one LogsData object a line; otlp: protobuf ExportLogsServiceRequest, end to end)", "json", "otlp")
	f.choice(&body, "body", "the original event as the record's body: `keep|none`", "keep", "none")
	var self list
	f.Var(&self, "self", "a `principal` that is the collector's own (may be repeated)")
	var ff fileFlags
	ff.register(f)
	a.awsFlags(f)
	paths, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(paths) == 0 {
		a.errorf("normalize needs files, directories or -; see keytrail normalize -h")
		return exitUsage
	}
	return a.printRecords(recordOptions{otlp: output == "otlp", omitBody: body == "none", self: self, limits: ff.limits, deadLetter: ff.deadLetter}, a.objects(paths))
}

// recordOptions say how log records are printed.
type recordOptions struct {
	otlp, omitBody bool
	self           []string
	limits         decoding.Limits
	deadLetter     string
}

// printRecords prints the log records of objects and returns the exit code.
func (a *app) printRecords(o recordOptions, objects iter.Seq2[source.Object, error]) int {
	dead, err := a.letters(o.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	n := &normalizer{out: bufio.NewWriterSize(a.stdout, 256<<10), otlp: o.otlp}
	if o.otlp { // protobuf is not text
		n.out.Reset(raw{a.stdout})
	}
	var counts read.Counts
	in := read.NewRecords(read.Config{
		Options: read.Options{Limits: o.limits, OmitBody: o.omitBody, SelfPrincipals: o.self}, Encoded: o.otlp, Counts: &counts,
		Record: n.print, Dead: dead.taker("normalize"), Now: time.Now,
	})
	for object, oerr := range objects {
		if err = oerr; err == nil {
			err = in.Object(a.ctx, object)
		}
		if err != nil {
			break
		}
	}
	if ferr := n.out.Flush(); err == nil && ferr != nil {
		err = fmt.Errorf("cannot write log records: %w", ferr)
	}
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	fmt.Fprintf(a.stderr, "%d records: %d log records, %d filtered%s, %d dead letters\n", counts.Received.Load(), counts.Delivered.Load(), counts.Filtered.Load(), counts.Why().Named(), counts.Dead.Load())
	if dead.n > 0 {
		return exitDead
	}
	return exitOK
}

// normalizer prints log records.
type normalizer struct {
	out  *bufio.Writer
	otlp bool
	buf  []byte
}

func (n *normalizer) print(_ context.Context, _ *decoding.Origin, rec *otellog.Record) error {
	if n.otlp {
		n.buf = otellog.AppendRequest(n.buf[:0], rec)
	} else {
		n.buf = append(otellog.AppendJSON(n.buf[:0], rec), '\n')
	}
	if _, err := n.out.Write(n.buf); err != nil {
		return fmt.Errorf("cannot write log records: %w", err)
	}
	return nil
}

// Version is the version of this build.
const Version = "0.1.0"

// version is "keytrail version".
func (a *app) version(args []string) int {
	f := a.flags("version", "", "Prints the version of this build and of the log schema.")
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) > 0 {
		a.errorf("version takes no arguments, not %q", rest)
		return exitUsage
	}
	fmt.Fprintf(a.stdout, "keytrail %s (schema %s)\n", Version, otellog.SchemaVersion)
	return exitOK
}
