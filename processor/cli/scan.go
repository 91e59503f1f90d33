package cli

import (
	"bufio"
	"fmt"
	"runtime"
	"time"

	"keytrail/processor/detect"
	"keytrail/processor/scan"
	"keytrail/schemas/otellog"
)

const scanAbout = `Counts the calls of each KMS key, principal and pair of both in event-time
windows, judges them, and prints windows and anomalies as OTLP/JSON lines (or a
table, on a terminal). PATHS are files, directories and - (standard input):
CloudTrail files, NDJSON, EventBridge, CloudWatch Logs or LookupEvents output, tar,
gzip or plain. The order of files and records does not matter, and a call
recorded several times counts once.`

// scan is "keytrail scan PATHS".
func (a *app) scan(args []string) int {
	cfg := scan.Config{Detect: detect.DefaultConfig(), Workers: runtime.GOMAXPROCS(0), Now: time.Now()}
	f := a.flags("scan", "[FLAGS] PATHS", scanAbout)
	windows := f.String("windows", "anomalous", "which windows to print: `all|anomalous|none`")
	output := f.String("o", "auto", "output: `json|table|auto` (auto: a table on a terminal, else json)")
	size := f.Duration("window", time.Duration(cfg.Detect.Size), "window `size`")
	f.Float64Var(&cfg.Detect.Threshold, "threshold", cfg.Detect.Threshold, "probability below which a count is an anomaly")
	f.Int64Var(&cfg.Detect.MinCount, "min-count", cfg.Detect.MinCount, "smallest count that can be a rate anomaly")
	warmUp := f.Duration("warm-up", time.Duration(cfg.Detect.WarmUp), "how long an entity is learned before it is judged")
	var self list
	f.Var(&self, "self", "a `principal` that is the collector's own (may be repeated)")
	var ff fileFlags
	ff.register(f)
	paths, code, done := a.parse(f, args)
	if done {
		return code
	}
	cfg.Detect.Size, cfg.Detect.WarmUp = int64(*size), int64(*warmUp)
	cfg.Limits, cfg.Normalize.SelfPrincipals = ff.limits, self
	if code := a.checkScan(paths, *windows, *output, &cfg, &ff); code != exitOK {
		return code
	}
	if *output == "auto" {
		*output = "json"
		if terminal(a.stdout) {
			*output = "table"
		}
	}
	dead, err := a.letters(ff.deadLetter)
	if err != nil {
		return a.fail(err)
	}
	cfg.DeadLetter = dead.put
	totals, err := a.runScan(cfg, paths, *windows, *output)
	if cerr := dead.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return a.fail(err)
	}
	fmt.Fprintf(a.stderr, "%d objects, %d records: %d calls counted, %d duplicates, %d filtered, %d dead letters; %d windows, %d anomalies\n",
		totals.Objects, totals.Received, totals.Counted, totals.Duplicates, totals.Filtered, totals.DeadLettered, totals.Windows, totals.Anomalies)
	if totals.Unexplained > 0 {
		fmt.Fprintf(a.stderr, "%d more anomalies of rules are in the windows' counts only\n", totals.Unexplained)
	}
	if totals.DeadLettered > 0 {
		return exitDead
	}
	return exitOK
}

func (a *app) checkScan(paths []string, windows, output string, cfg *scan.Config, ff *fileFlags) int {
	err := cfg.Detect.Validate()
	if err == nil {
		err = ff.check()
	}
	switch {
	case len(paths) == 0:
		a.errorf("scan needs files, directories or -; see keytrail scan -h")
	case windows != "all" && windows != "anomalous" && windows != "none":
		a.errorf("--windows %q is not one of all, anomalous, none", windows)
	case output != "json" && output != "table" && output != "auto":
		a.errorf("-o %q is not one of json, table, auto", output)
	case err != nil:
		a.errorf("%v", err)
	default:
		return exitOK
	}
	return exitUsage
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
		p = newTable(out, cfg.Detect.Size)
	}
	totals, err := s.Finish(func(r *detect.Result) error {
		shown := windows == "all" || windows == "anomalous" && detect.AnomalyCount(&r.Partial) > 0
		return p.result(r, shown)
	})
	if err == nil {
		err = p.end()
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		err = fmt.Errorf("cannot write windows: %w", err)
	}
	return totals, err
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
				fmt.Fprintf(a.stderr, "\r%d objects, %d records read ", t.Objects, t.Received)
			case <-done:
				fmt.Fprint(a.stderr, "\r\x1b[K")
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
	result(r *detect.Result, shown bool) error
	end() error
}

// jsonPrinter prints OTLP/JSON lines: a window's anomalies first, then the
// window.
type jsonPrinter struct {
	out       *bufio.Writer
	size, now int64
	rec       otellog.Record
	buf       []byte
}

func (p *jsonPrinter) result(r *detect.Result, shown bool) error {
	for i := range r.Anomalies {
		detect.AnomalyRecord(&p.rec, &r.Anomalies[i], p.now)
		if err := p.line(); err != nil {
			return err
		}
	}
	if !shown {
		return nil
	}
	detect.WindowRecord(&p.rec, r.Window, p.size, p.now)
	return p.line()
}

func (p *jsonPrinter) line() error {
	p.buf = append(otellog.AppendJSON(p.buf[:0], &p.rec), '\n')
	_, err := p.out.Write(p.buf)
	return err
}

func (p *jsonPrinter) end() error { return nil }

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return fmt.Sprint([]string(*l)) }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
