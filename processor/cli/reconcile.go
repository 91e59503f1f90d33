package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/count"
	"keytrail/processor/keyledger"
	"keytrail/processor/linefile"
	"keytrail/processor/reconcile"
	"keytrail/processor/report"
	"keytrail/processor/scan"
	"keytrail/schemas/decoding"
	"keytrail/schemas/otellog"
	"keytrail/schemas/wire"
)

// reconciling is one run of "keytrail reconcile".
type reconciling struct {
	*app
	in                *input.Input
	cfg               scan.Config
	expected          []string
	unmatched, output string
	skew, settle      time.Duration
	period            flags.Period
	log               *reconcile.Log

	mu          sync.Mutex // guards the following while objects are read
	first, last int64      // of the trail
}

// reconcile is "keytrail reconcile PATHS".
func (a *app) reconcile() *cobra.Command {
	r := &reconciling{app: a, in: a.input(), cfg: scanConfig(), log: reconcile.NewLog(), skew: 8 * time.Second,
		settle: time.Hour, first: math.MaxInt64, last: math.MinInt64}
	cmd := &cobra.Command{
		Use: "reconcile --expected FILE [FLAGS] PATHS", GroupID: groupAnalyze,
		Short: "Compare a trail with the calls that an application logged",
		Long: "Compares the calls in CloudTrail files with an application's own log of its calls. PATHS\n" +
			"are as in \"keytrail scan\", and every call counts once. Each call takes at most one line of\n" +
			"the log, at most --skew away. A call without a line was made by somebody else with the\n" +
			"application's rights; a line without a call never reached KMS, or the trail lacks it.\n\n" +
			"A line of the log is a JSON object with \"time\" (RFC 3339) and \"key\" (ARN, id or alias),\n" +
			"and all lines or none with \"operation\", \"principal\" and \"encryption_context\". Lines\n" +
			"with one \"id\" count once. Judged are calls on the log's keys: calls of its operations,\n" +
			"or, if it names none, all cryptographic ones.\n\n" +
			"Unless --since and --until say for which time both are complete, that is the time which\n" +
			"both cover; calls of its last hour (--settle) are pending, not missing.",
		Example: "keytrail reconcile --expected app-kms.ndjson trail/\n" +
			"keytrail reconcile --expected app.ndjson.gz --unmatched found.ndjson --until 2h s3://trail/AWSLogs",
		RunE: func(_ *cobra.Command, paths []string) error {
			if len(paths) == 0 || len(r.expected) == 0 {
				return usagef("reconcile needs --expected FILE and files, directories, s3://BUCKET/PREFIX or -; " +
					"see keytrail reconcile --help")
			}
			if err := r.period.Check(); err != nil {
				return usageError{err}
			}
			if r.unmatched != "" {
				r.in.Writes = append(r.in.Writes, r.unmatched)
			}
			return r.in.Letters(func(l *input.Letters) error {
				r.cfg.DeadLetter, r.cfg.Read.Limits = l.Put, r.in.Limits
				return r.run(paths)
			})
		},
	}
	cmd.Flags().StringArrayVar(&r.expected, "expected", nil,
		"the application's log, a `FILE` of JSON lines, also gzipped; repeatable")
	flags.Duration(cmd, &r.skew, "skew", "how far a call and its line may be apart, a `duration`", 0, 15*time.Minute,
		time.Millisecond)
	flags.Duration(cmd, &r.settle, "settle", "without --until, a `duration` in which either side may come late", 0,
		7*24*time.Hour, time.Second)
	cmd.Flags().StringVar(&r.unmatched, "unmatched", "",
		"append each call and line without a partner to `FILE`, as JSON lines")
	flags.Output(cmd, &r.output, "form of the output; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table, report.CSV)
	r.period.Register(cmd, r.cfg.Now, "judge calls")
	r.in.FileFlags(cmd)
	return cmd
}

// run reads the log and the trail, compares and prints.
func (r *reconciling) run(paths []string) error {
	for _, path := range r.expected {
		if err := r.readLog(path); err != nil {
			return err
		}
	}
	if r.log.Len() == 0 {
		return errors.New("the log has no expected call; without one there is nothing to compare")
	}
	ledger := keyledger.New()
	r.cfg.Detect.Size = int64(time.Second) // for exact times of aliases
	r.cfg.Details, r.cfg.Ledger, r.cfg.Event = r.log, ledger, r.take
	sc := scan.New(r.cfg)
	defer sc.Close()
	stop := r.progress(sc)
	err := sc.Read(r.ctx, r.in.Objects(paths))
	stop()
	if err != nil {
		return err
	}
	m, err := reconcile.NewMatcher(r.log, ledger, r.skew)
	if err != nil {
		return err
	}
	totals, err := sc.Calls(func(c *count.Call, number uint32) error {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		return m.Add(c, number)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.stderr, "%d objects, %d records: %d calls counted; %d duplicates, %d filtered%s, %d dead letters\n",
		totals.Objects, totals.Received, totals.Counted, totals.Duplicates, totals.Filtered, totals.FilteredBy.Named(),
		totals.DeadLettered)
	return r.compare(m)
}

// readLog reads a file of the application's log. A bad line is a dead letter.
func (r *reconciling) readLog(path string) error {
	r.log.Open(path)
	for o, err := range r.in.Objects([]string{path}) {
		if err == nil {
			err = r.readLines(o.Name, o.Open)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciling) readLines(name string, open func() (io.ReadCloser, error)) error {
	file, err := open()
	if err != nil {
		return fmt.Errorf("cannot open the log: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, reconcile.MaxLine)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("cannot read the log %q: %w", name, err)
		}
		in = bufio.NewReaderSize(z, reconcile.MaxLine)
	}
	bad := decoding.BadRecord{Object: name}
	for bad.Index = 1; ; bad.Index++ {
		text, err := in.ReadSlice('\n')
		read := len(text)
		bad.Raw, bad.Cut = bytes.TrimSpace(text), errors.Is(err, bufio.ErrBufferFull)
		if bad.Cut {
			bad.Reason, bad.Detail = decoding.ReasonRecordSize, fmt.Sprintf("a line of more than %d bytes", reconcile.MaxLine)
			if lerr := r.bad(&bad); lerr != nil {
				return lerr
			}
		} else if lerr := r.line(&bad); lerr != nil {
			return lerr
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of the line
			text, err = in.ReadSlice('\n')
			read += len(text)
		}
		bad.Offset += int64(read)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("cannot read the log %q at byte %d: %w", name, bad.Offset, err)
		}
	}
}

// line takes a line of the log, whose place and bytes at has.
func (r *reconciling) line(at *decoding.BadRecord) error {
	if len(at.Raw) == 0 {
		return nil
	}
	err := r.log.Add(at.Index, at.Raw)
	if err == nil || errors.Is(err, reconcile.ErrTooMany) {
		return err
	}
	at.Reason, at.Detail = decoding.ReasonEnvelope, err.Error()
	return r.bad(at)
}

func (r *reconciling) bad(at *decoding.BadRecord) error {
	letter := wire.FromBadRecord("reconcile", at, r.cfg.Now)
	return r.cfg.DeadLetter(&letter)
}

// take notes the time of a record of the trail.
func (r *reconciling) take(_ *decoding.Origin, rec *otellog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.last = min(r.first, rec.Time), max(r.last, rec.Time)
	return nil
}

// judged returns the period for which both sides should be complete.
func (r *reconciling) judged() (from, to int64) {
	since, until := r.period.Bounds()
	first, last := r.log.Period()
	if from = since; r.period.Since.IsZero() {
		from = max(first, r.first)
	}
	if to = until; r.period.Until.IsZero() {
		to = min(last, r.last) - int64(r.settle) + 1
	}
	return from, to
}

// compare finds the partners, and prints.
func (r *reconciling) compare(m *reconcile.Matcher) (err error) {
	put := func(*reconcile.Unmatched) error { return nil }
	if r.unmatched != "" {
		file, err := linefile.Open(r.unmatched)
		if err != nil {
			return fmt.Errorf("cannot open the file of what is unmatched: %w", err)
		}
		w := bufio.NewWriter(file)
		enc := json.NewEncoder(w)
		put = func(u *reconcile.Unmatched) error { return enc.Encode(u) }
		defer func() { err = errors.Join(err, w.Flush(), file.Close()) }()
	}
	from, to := r.judged()
	if from >= to {
		fmt.Fprintln(r.stderr, "the log and the trail share no time that could be judged; --since and --until say for which "+
			"time both are complete")
	}
	pairs, err := m.Finish(from, to, put)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(r.stdout)
	if err := report.PrintPairs(r.form(r.output), out, pairs); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write the comparison: %w", err)
	}
	r.summary(pairs, from, to)
	return nil
}

// summary tells of all pairs together.
func (r *reconciling) summary(pairs []reconcile.Pair, from, to int64) {
	var all reconcile.Pair
	for i := range pairs {
		all.Matched += pairs[i].Matched
		all.Unexpected += pairs[i].Unexpected
		all.Missing += pairs[i].Missing
		all.Early += pairs[i].Early
		all.Pending += pairs[i].Pending
	}
	fmt.Fprintf(r.stderr, "%s (%d repeated): %d matched; missing %d, unexpected %d, judged from %s to %s; %d earlier, "+
		"%d pending\n", report.Number(r.log.Len(), "expected call"), r.log.Repeated, all.Matched, all.Missing, all.Unexpected,
		bound(from), bound(to), all.Early, all.Pending)
}

// bound is one end of the judged period.
func bound(ns int64) string {
	if ns == math.MaxInt64 || ns == math.MinInt64 {
		return "the end"
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339)
}
