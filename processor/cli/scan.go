package cli

import (
	"bufio"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/read"
	"keytrail/processor/scan"
	"keytrail/processor/window"
	"keytrail/schemas/otellog"
)

const scanAbout = `Counts the calls of each KMS key, principal and pair of both in event-time
windows, judges them, and prints windows and anomalies as OTLP/JSON lines (or a
table, on a terminal). PATHS are files, directories, s3://BUCKET/PREFIX and - (standard input):
CloudTrail files, NDJSON, EventBridge, CloudWatch Logs or LookupEvents output, tar,
gzip or plain. The order of files and records does not matter, and a call
recorded several times counts once.`

// scan is "keytrail scan PATHS".
func (a *app) scan(args []string) int {
	cfg := scan.Config{Detect: window.DefaultConfig(), Workers: runtime.GOMAXPROCS(0), Now: time.Now()}
	cfg.Detect.MaxEntities, cfg.Detect.MaxAccountEntities = scan.MaxEntities, scan.MaxAccountEntities
	f := a.flags("scan", "[FLAGS] PATHS", scanAbout)
	windows, output := "anomalous", "auto"
	f.choice(&windows, "windows", "which windows to print: `all|anomalous|none`", "all", "anomalous", "none")
	f.choice(&output, "o", "output: `json|table|auto` (auto: a table on a terminal, else json)", "json", "table", "auto")
	size := time.Duration(cfg.Detect.Size)
	f.duration(&size, "window", "window `size`", time.Minute, 24*time.Hour, time.Minute)
	f.Var((*durations)(&cfg.Detect.Rollups), "rollup", "`size` of a longer window that adds up those of --window, such as 1h (may be repeated, the shortest first)")
	f.Var(checked[float64]{&cfg.Detect.Threshold, threshold, "a number above 0, up to 0.01"}, "threshold", "`probability` below which a count is an anomaly")
	integer(f, &cfg.Detect.MinCount, "min-count", "smallest `count` that can be a rate anomaly", 1, 1_000_000_000)
	f.duration(&cfg.Detect.WarmUp, "warm-up", "how long an entity is learned before it is judged, a `duration`", 0, cfg.Detect.Retention, 1)
	integer(f, &cfg.Detect.MaxEntities, "max-entities", "most KMS keys, principals and pairs, a `number`: further ones are counted together", 1000, 100_000_000)
	integer(f, &cfg.Detect.MaxAccountEntities, "max-account-entities", "most of these of one account, a `number`", 1000, 100_000_000)
	var self list
	f.Var(&self, "self", "a `principal` that is the collector's own (may be repeated)")
	var rules list
	f.Var(&rules, "rules", "`PATH` of rules of your own in Sigma form, a directory or a file (may be repeated)")
	var ff fileFlags
	ff.register(f)
	a.awsFlags(f)
	paths, code, done := a.parse(f, args)
	if done {
		return code
	}
	cfg.Detect.Size = int64(size)
	cfg.Read = read.Options{Limits: ff.limits, SelfPrincipals: self}
	err := cfg.Detect.Validate()
	switch {
	case len(paths) == 0:
		a.errorf("scan needs files, directories, s3://BUCKET/PREFIX or -; see keytrail scan -h")
		return exitUsage
	case err != nil:
		a.errorf("%v", err)
		return exitUsage
	}
	if len(rules) > 0 {
		if cfg.Rules, code = a.loadRules(rules, exitUsage); code != exitOK {
			return code
		}
	}
	if output == "auto" {
		output = "json"
		if terminal(a.stdout) {
			output = "table"
		}
	}
	dead, err := a.letters(ff.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	cfg.DeadLetter = dead.put
	totals, err := a.runScan(cfg, paths, windows, output)
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	return a.scanned(totals)
}

// scanned tells what became of the records, and returns the exit code.
func (a *app) scanned(totals scan.Totals) int {
	fmt.Fprintf(a.stderr, "%d objects, %d records: %d calls counted, %d duplicates, %d filtered%s, %d dead letters; %d windows, %d anomalies\n",
		totals.Objects, totals.Received, totals.Counted, totals.Duplicates, totals.Filtered, totals.FilteredBy.Named(), totals.DeadLettered, totals.Windows, totals.Anomalies)
	if totals.Unexplained > 0 {
		fmt.Fprintf(a.stderr, "%d more anomalies of rules are in the windows' counts only\n", totals.Unexplained)
	}
	a.shared(totals)
	if totals.Unmatched > 0 {
		fmt.Fprintf(a.stderr, "%d records could not be read by the rules\n", totals.Unmatched)
	}
	if totals.DeadLettered > 0 {
		return exitDead
	}
	return exitOK
}

// shared tells of calls that count for the others of their account.
func (a *app) shared(totals scan.Totals) {
	if totals.Others > 0 {
		fmt.Fprintf(a.stderr, "%d calls are of KMS keys, principals or pairs beyond those told apart, and count for the others of their account; see --max-entities of keytrail scan\n", totals.Others)
	}
}

// threshold parses a probability. A NaN is none.
func threshold(text string) (float64, bool) {
	p, err := strconv.ParseFloat(text, 64)
	return p, err == nil && p > 0 && p <= 0.01
}

// runScan reads and prints.
func (a *app) runScan(cfg scan.Config, paths []string, windows, output string) (scan.Totals, error) {
	s := scan.New(cfg)
	defer s.Close()
	stop := a.progress(s)
	err := s.Read(a.ctx, a.objects(paths))
	stop()
	if err != nil {
		return scan.Totals{}, err
	}
	out := bufio.NewWriterSize(a.stdout, 256<<10)
	var p printer = &jsonPrinter{out: out, size: cfg.Detect.Size, now: cfg.Now.UnixNano()}
	if output == "table" {
		p = &table{out: out}
	}
	totals, err := s.Finish(func(r *window.Result) error {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		shown := windows == "all" || windows == "anomalous" && anomaly.Count(&r.Partial) > 0
		return p.result(r, shown)
	})
	if err == nil {
		for _, c := range s.Correlated() {
			if err = p.anomaly(&c); err != nil {
				break
			}
			totals.Anomalies++
		}
	}
	if err == nil {
		err = written(out.Flush())
	}
	return totals, err
}

// written says what was being written when err came.
func written(err error) error {
	if err != nil {
		return fmt.Errorf("cannot write windows: %w", err)
	}
	return nil
}

// progress prints how far the reading is, once a second, when a person looks.
func (a *app) progress(s *scan.Scanner) (stop func()) {
	if !terminal(a.stderr) {
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
				a.stderr.status(fmt.Sprintf("%d objects, %d records read ", t.Objects, t.Received))
			case <-done:
				a.stderr.control(wipe)
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// printer prints windows and anomalies.
type printer interface {
	// result takes a window with its anomalies; the window itself is printed when
	// shown is true.
	result(r *window.Result, shown bool) error
	// anomaly takes one that belongs to none of the windows.
	anomaly(a *anomaly.Anomaly) error
}

// jsonPrinter prints OTLP/JSON lines: a window's anomalies first, then the
// window.
type jsonPrinter struct {
	out       *bufio.Writer
	size, now int64
	rec       otellog.Record
	buf       []byte
}

func (p *jsonPrinter) result(r *window.Result, shown bool) error {
	for i := range r.Anomalies {
		if err := p.anomaly(&r.Anomalies[i]); err != nil {
			return err
		}
	}
	if !shown {
		return nil
	}
	anomaly.WindowRecord(&p.rec, r.Window, p.size, p.now)
	return p.line()
}

func (p *jsonPrinter) anomaly(a *anomaly.Anomaly) error {
	anomaly.AnomalyRecord(&p.rec, a, p.now)
	return p.line()
}

func (p *jsonPrinter) line() error {
	p.buf = append(otellog.AppendJSON(p.buf[:0], &p.rec), '\n')
	_, err := p.out.Write(p.buf)
	return written(err)
}
