package cli

import (
	"bufio"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/anomaly"
	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/detector"
	"keytrail/processor/keyledger"
	"keytrail/processor/report"
	"keytrail/processor/scan"
	"keytrail/processor/screen"
	"keytrail/processor/window"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// scanning is one run of "keytrail scan".
type scanning struct {
	*app
	in              *input.Input
	cfg             scan.Config
	windows, output string
	size            time.Duration
	self, rules     []string
	period          flags.Period
	web, keys       bool
	incidents       bool // instead of windows and anomalies
	page            page

	shownWindows, shownAnomalies int // in the period
}

// scan is "keytrail scan PATHS".
func (a *app) scan() *cobra.Command {
	s := &scanning{app: a, in: a.input(), cfg: scanConfig(), windows: "anomalous"}
	d := &s.cfg.Detect
	s.size = time.Duration(d.Size)
	cmd := &cobra.Command{
		Use: "scan [FLAGS] PATHS", GroupID: groupAnalyze,
		Short: "Count and judge CloudTrail files, without Kafka",
		Long: "Counts the calls of each KMS key, principal and pair of both in event-time windows,\n" +
			"judges them, and prints windows and anomalies.\n\n" +
			"PATHS are files, directories, s3://BUCKET/PREFIX and - (standard input): CloudTrail\n" +
			"files, NDJSON, and the output of EventBridge, CloudWatch Logs or LookupEvents; tar,\n" +
			"gzip or plain. The order of files and records does not matter, and a call that is\n" +
			"recorded several times counts once.\n\n" +
			"With --since or --until scan still learns from all events, and prints the windows and\n" +
			"anomalies that begin in that period.\n\n" +
			"With --web it serves the page on this machine instead of printing, until Ctrl-C.",
		Example: "keytrail scan trail/                                     # anomalies, and their windows\n" +
			"keytrail scan --web trail/                               # the same, in the browser\n" +
			"keytrail scan --windows all --rollup 1h s3://trail/AWSLogs | gzip >windows.gz\n" +
			"keytrail scan -o csv --since 168h trail/ >week.csv       # for a spreadsheet\n" +
			"zcat trail.json.gz | keytrail scan -o table -",
		Args: needs("files, directories, s3://BUCKET/PREFIX or -"),
		RunE: func(_ *cobra.Command, paths []string) error { return s.run(paths) },
	}
	flags.Output(cmd, &s.output, "form of the output; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table, report.CSV)
	flags.Choice(cmd, &s.windows, "windows", "", "windows to print", "all", "anomalous", "none")
	s.period.Register(cmd, s.cfg.Now, "print windows and anomalies that begin")
	flags.Duration(cmd, &s.size, "window", "`size` of a window", window.MinSize, window.MaxSize, window.MinSize)
	flags.Durations(cmd, &d.Rollups, "rollup",
		"`size` of a longer window that adds up those of --window, such as 1h; repeatable, the shortest first")
	flags.Float(cmd, &d.Threshold, "threshold", "`probability` below which a count is an anomaly", 0,
		detector.MaxThreshold)
	flags.Integer(cmd, &d.MinCount, "min-count", "smallest `count` that can be a rate anomaly", detector.MinMinCount,
		detector.MaxMinCount)
	flags.Duration(cmd, &d.WarmUp, "warm-up", "how long an entity is learned before it is judged, a `duration`", 0,
		d.Retention, 1)
	flags.Integer(cmd, &d.MaxEntities, "max-entities",
		"largest `number` of KMS keys, principals and pairs; further ones are counted together", detector.MinEntities,
		detector.MostEntities)
	flags.Integer(cmd, &d.MaxAccountEntities, "max-account-entities", "largest `number` of these in one account",
		detector.MinEntities, detector.MostEntities)
	cmd.Flags().StringArrayVar(&s.self, "self", nil, "`principal` of the collector itself; repeatable")
	cmd.Flags().StringArrayVar(&s.rules, "rules", nil,
		"`PATH` of your own rules in Sigma form, a directory or a file; repeatable")
	cmd.Flags().BoolVar(&s.keys, "keys", false,
		"print the ledger of each KMS key at the end, as keytrail.key_state; needs JSON")
	cmd.Flags().BoolVar(&s.incidents, "incidents", false,
		"print incidents, each the anomalies of one act, instead of windows and anomalies")
	cmd.Flags().BoolVar(&s.web, "web", false, "serve the page, with which to look at the result, instead of printing it")
	s.page.flag(cmd)
	s.in.FileFlags(cmd)
	return cmd
}

// scanConfig returns the configuration of a scan before flags.
func scanConfig() scan.Config {
	cfg := scan.Config{Detect: window.DefaultConfig(), Workers: runtime.GOMAXPROCS(0), Now: time.Now()}
	cfg.Detect.MaxEntities, cfg.Detect.MaxAccountEntities = scan.MaxEntities, scan.MaxAccountEntities
	return cfg
}

func (s *scanning) run(paths []string) error {
	d := &s.cfg.Detect
	d.Size = int64(s.size)
	s.cfg.Read = cloud.Options{Limits: s.in.Limits, SelfPrincipals: s.self}
	err := d.Validate()
	if err == nil {
		err = s.period.Check()
	}
	if err == nil && s.page.listen != "" && !s.web {
		err = fmt.Errorf("--listen %s is the address of the page; add --web", s.page.listen)
	}
	if err == nil && s.keys && (s.web || s.form(s.output) != report.JSON) {
		err = errors.New("--keys prints keytrail.key_state records, which are JSON; use -o json, or keytrail usage for a " +
			"table")
	}
	if err == nil && len(s.rules) > 0 {
		s.cfg.Rules, err = s.in.Rules(s.rules)
	}
	if err != nil {
		return usageError{err}
	}
	return s.in.Letters(func(l *input.Letters) error {
		s.cfg.DeadLetter = l.Put
		if s.web {
			return s.serve(paths)
		}
		out := bufio.NewWriterSize(s.stdout, 256<<10)
		p := report.NewPrinter(s.form(s.output), out)
		if s.incidents {
			p = newGrouping(s, p)
		}
		if s.form(s.output) == report.JSON || s.incidents { // a table and CSV have one row per finding
			s.cfg.Ended = func(rec *otellog.Record) { s.ended(rec, p) }
		}
		if s.keys {
			s.cfg.Ledger = keyledger.New()
		}
		totals, err := s.scanPaths(s.in, s.cfg, paths, func(sc *scan.Scanner) (scan.Totals, error) { return s.print(sc, p) })
		if err == nil && s.keys {
			s.printKeys(p)
		}
		if ferr := out.Flush(); err == nil && ferr != nil {
			err = fmt.Errorf("cannot write windows: %w", ferr)
		}
		if err == nil {
			s.summary(totals)
		}
		return err
	})
}

// scanPaths reads paths and calls finish.
func (a *app) scanPaths(in *input.Input, cfg scan.Config, paths []string,
	finish func(*scan.Scanner) (scan.Totals, error)) (scan.Totals, error) {
	sc := scan.New(cfg)
	defer sc.Close()
	stop := a.progress(sc)
	err := sc.Read(a.ctx, in.Objects(paths))
	stop()
	if err != nil {
		return scan.Totals{}, err
	}
	return finish(sc)
}

// print prints windows and anomalies.
func (s *scanning) print(sc *scan.Scanner, p report.Printer) (scan.Totals, error) {
	var rec otellog.Record
	now := s.cfg.Now.UnixNano()
	finding := func(a *anomaly.Anomaly) {
		if g, ok := p.(*grouping); ok {
			anomaly.AnomalyRecord(&rec, a, now)
			g.put(&rec, a.Until)
		} else if s.period.Has(a.Start) {
			s.shownAnomalies++
			anomaly.AnomalyRecord(&rec, a, now)
			p.Anomaly(&rec)
		}
	}
	counted := func(r *window.Result) {
		if !s.period.Has(r.Window.Start) {
			return
		}
		s.shownWindows++
		if s.windows == "all" || s.windows == "anomalous" && anomaly.Count(&r.Partial) > 0 {
			anomaly.WindowRecord(&rec, r.Window, s.cfg.Detect.Size, now)
			p.Window(&rec)
		}
	}
	headed := s.form(s.output) == report.Table // a person reads the window first
	totals, err := sc.Finish(func(r *window.Result) error {
		if headed {
			counted(r)
		}
		for i := range r.Anomalies {
			finding(&r.Anomalies[i])
		}
		if !headed {
			counted(r)
		}
		return s.ctx.Err()
	})
	if err != nil {
		return totals, err
	}
	sc.Correlated(func(c *anomaly.Anomaly) {
		finding(c)
		totals.Anomalies++
	})
	if g, ok := p.(*grouping); ok {
		g.print(sc.Mark())
	}
	return totals, nil
}

// printKeys prints the ledger of each key, at the time of the last event.
func (s *scanning) printKeys(p report.Printer) {
	l, now := s.cfg.Ledger, int64(0)
	l.All(func(k *keyledger.Key) bool {
		now = max(now, k.Last)
		return true
	})
	var rec otellog.Record
	l.All(func(k *keyledger.Key) bool {
		k.Record(&rec, k.State(now, l.StoreOf(k)), s.cfg.Now.UnixNano())
		p.Window(&rec)
		return true
	})
}

// ended prints the end of an anomaly that is in the period.
func (s *scanning) ended(rec *otellog.Record, p report.Printer) {
	if g, ok := p.(*grouping); ok {
		g.put(rec, rec.Time)
		return
	}
	start, err := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailWindowStart))
	if err == nil && s.period.Has(start.UnixNano()) {
		p.Anomaly(rec)
	}
}

// summary prints the totals of the records.
func (s *scanning) summary(t scan.Totals) {
	part := ""
	if s.period != (flags.Period{}) {
		part = fmt.Sprintf(", of which %d and %d begin in the period", s.shownWindows, s.shownAnomalies)
	}
	fmt.Fprintf(s.stderr,
		"%d objects, %d records: %d calls counted, %d duplicates, %d filtered%s, %d dead letters; %d windows, %d anomalies%s\n",
		t.Objects, t.Received, t.Counted, t.Duplicates, t.Filtered, t.FilteredBy.Named(), t.DeadLettered, t.Windows,
		t.Anomalies, part)
	if t.Unexplained > 0 {
		fmt.Fprintf(s.stderr, "%d more anomalies of rules are in the windows' counts only\n", t.Unexplained)
	}
	s.others(t)
	if t.Unmatched > 0 {
		fmt.Fprintf(s.stderr, "the rules could not read %d records\n", t.Unmatched)
	}
}

// others prints the number of calls attributed to others.
func (a *app) others(t scan.Totals) {
	if t.Others > 0 {
		fmt.Fprintf(a.stderr,
			"%d calls are of KMS keys, principals or pairs beyond those told apart, and count for the others of their account; see --max-entities of keytrail scan\n", t.Others)
	}
}

// progress prints the progress of reading, once a second, on a terminal.
func (a *app) progress(s *scan.Scanner) (stop func()) {
	if !screen.Terminal(a.stderr) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				t := s.Progress()
				a.stderr.Status(fmt.Sprintf("%d objects, %d records read ", t.Objects, t.Received))
			case <-done:
				a.stderr.Control(screen.Wipe)
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
