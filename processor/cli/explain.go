package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/processor/cli/input"
	"keytrail/processor/explain"
	"keytrail/processor/kafka"
	"keytrail/processor/report"
	"keytrail/processor/screen"
	"keytrail/processor/setting"
	"keytrail/processor/source"
	"keytrail/processor/stream"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
)

// explaining is one run of "keytrail explain".
type explaining struct {
	*app
	from           []string
	config, output string
	before, after  time.Duration
	ascii, list    bool
	most           int64
	timeout        time.Duration
	period         flags.Period

	bad   int      // unusable records
	notes []string // what else a reader must know
}

// explain is "keytrail explain ID".
func (a *app) explain() *cobra.Command {
	e := &explaining{app: a, most: 5_000_000, timeout: time.Minute}
	cmd := &cobra.Command{
		Use: "explain ID|--list --from FILE|-c FILE [FLAGS]", GroupID: groupAnalyze,
		Short: "Show one anomaly with the windows around it, or an incident, or list anomalies",
		Long: "Shows one anomaly: its sentence, what was observed and expected, the calls behind it,\n" +
			"and the windows of the same KMS key, principal or pair around it as a picture. ID is a\n" +
			"keytrail.anomaly.id, or at least 8 digits of its beginning that no other anomaly has;\n" +
			"\"keytrail scan\" prints both forms. Of the id of an incident it shows the incident and\n" +
			"lists its anomalies. With --list it lists all anomalies instead. The records come from\n\n" +
			"  --from FILE  OTLP/JSON lines, as \"keytrail scan\" and file sinks write them; - is\n" +
			"               standard input. More files may follow the ID. Anything but a regular\n" +
			"               file is copied to a temporary one, because it is read twice.\n" +
			"  -c FILE      the topics of anomalies and windows of a running installation, from a\n" +
			"               day before the anomaly on, within --max-records and --timeout.",
		Example: "keytrail scan --windows all trail/ >out.ndjson\n" +
			"keytrail explain --list --from out.ndjson\n" +
			"keytrail explain 5f0a2c91 --from out.ndjson\n" +
			"keytrail explain --list --since 24h -o csv -c keytrail.yaml",
		RunE: e.run,
	}
	cmd.Flags().StringArrayVar(&e.from, "from", nil, "`FILE` with the output of keytrail scan, or -; repeatable")
	flags.Config(cmd, &e.config, "configuration `FILE` of the installation whose topics to read")
	flags.Duration(cmd, &e.before, "before",
		"how much to show before the window, a `duration`; 0 is the windows that have a column each", 0, mostAround, 1)
	flags.Duration(cmd, &e.after, "after",
		"how much to show after the window, a `duration`; 0 is the windows that have a column each", 0, mostAround, 1)
	cmd.Flags().BoolVar(&e.ascii, "ascii", false, "draw with ASCII characters, as without a UTF-8 locale")
	cmd.Flags().BoolVar(&e.list, "list", false, "list anomalies instead")
	flags.Output(cmd, &e.output, "form of the list; auto is a table on a terminal, else json", auto, report.JSON,
		report.Table, report.CSV)
	e.period.Register(cmd, time.Now(), "list anomalies whose windows begin")
	flags.Section(cmd, "Flags with --list", "output", "since", "until")
	flags.Integer(cmd, &e.most, "max-records", "largest `number` of records to read from a topic", 1, 1_000_000_000)
	flags.Duration(cmd, &e.timeout, "timeout", "longest `duration` of reading a topic", time.Second, time.Hour, 1)
	flags.Section(cmd, "Flags with -c", "max-records", "timeout")
	return cmd
}

// mostAround bounds what is shown on each side: 5 weeks, 50,400 windows of a minute.
const mostAround = 35 * 24 * time.Hour

func (e *explaining) run(cmd *cobra.Command, args []string) error {
	ids := 1
	if e.list {
		ids = 0
	}
	if len(args) > ids && len(e.from) > 0 {
		e.from = append(e.from, args[ids:]...)
		args = args[:ids]
	}
	switch {
	case len(args) != ids || (len(e.from) > 0) == (e.config != ""):
		return usagef("explain needs an anomaly's id or --list, and either --from FILE or -c FILE; " +
			"see keytrail explain --help")
	case !e.list && (cmd.Flag("output").Changed || e.period != flags.Period{}):
		return usagef("--output, --since and --until need --list; see keytrail explain --help")
	}
	if err := e.period.Check(); err != nil {
		return usageError{err}
	}
	if e.list {
		return e.printList()
	}
	finder, err := explain.NewFinder(args[0])
	if err != nil {
		return usageError{err}
	}
	if e.config != "" {
		return e.topics(finder)
	}
	return e.files(finder)
}

// keep returns how much of the series to keep on each side: the requested span, a day for
// the means, and as many windows as the widest screen has columns.
func (e *explaining) keep(a *explain.Anomaly) time.Duration {
	return max(e.before, e.after, report.Day, screen.MaxWidth*time.Duration(a.End-a.Start))
}

// explained prints the explanation.
func (e *explaining) explained(found *explain.Anomaly, s *explain.Series) error {
	sc := screen.New(e.stdout, os.Getenv)
	out := bufio.NewWriter(e.stdout)
	if sc.Color { // its own sequences pass; the report escapes what it shows of data
		out = bufio.NewWriter(screen.Raw{Output: e.stdout})
	}
	sc.ASCII = sc.ASCII || e.ascii
	r := report.Explanation{Screen: sc, Anomaly: found, Series: s, Before: e.before, After: e.after, Notes: e.notes}
	r.Write(out)
	return e.done(out)
}

// incident prints an incident.
func (e *explaining) incident(rec *otellog.Record) error {
	out := bufio.NewWriter(e.stdout)
	report.Incident(out, rec)
	return e.done(out)
}

// printList prints the list of anomalies.
func (e *explaining) printList() error {
	list := explain.NewList(e.period.Bounds())
	if e.config != "" {
		p, err := e.pipeline()
		if err != nil {
			return err
		}
		look := kafka.Look{Topic: p.Topics.Anomalies, Most: e.most, Newest: true, Since: e.period.Since}
		if _, _, err := e.read(p, look, list, func([]byte) bool { return true }); err != nil {
			return err
		}
	} else {
		lines, closeFiles, err := e.open()
		defer closeFiles()
		if err == nil {
			err = lines.Find("", list)
		}
		if err != nil {
			return err
		}
		e.bad = lines.Bad
	}
	out := bufio.NewWriter(e.stdout)
	p := report.NewPrinter(e.form(e.output), out)
	for rec := range list.Records() {
		p.Anomaly(rec)
	}
	if list.More > 0 {
		e.notes = append(e.notes, fmt.Sprintf("The list has the first %d anomalies; %s left out: give --since or --until.",
			explain.MaxListed, report.Number(list.More, "record")))
	}
	for _, note := range e.notes {
		fmt.Fprintln(e.stderr, note)
	}
	return e.done(out)
}

// done ends a command that has printed to out.
func (e *explaining) done(out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write the explanation: %w", err)
	}
	if e.bad > 0 {
		return input.ErrDead
	}
	return nil
}

// notFound returns the error of a search that found nothing, or too much.
func notFound(f *explain.Finder, err error, searched string) error {
	if errors.Is(err, explain.ErrNotFound) {
		return fmt.Errorf("no anomaly has the id %s; searched: %s", f.Prefix(), searched)
	}
	return err
}

// files explains an anomaly from files of OTLP/JSON lines.
func (e *explaining) files(finder *explain.Finder) error {
	lines, closeFiles, err := e.open()
	defer closeFiles()
	if err == nil {
		err = lines.Find(finder.Prefix(), finder)
	}
	if err != nil {
		return err
	}
	defer func() {
		if lines.Bad > 0 {
			fmt.Fprintf(e.stderr, "%s of %d could not be used\n", report.Number(lines.Bad, "line"), lines.All)
		}
	}()
	found, err := finder.Anomaly()
	if incident := finder.Incident(); incident != nil && errors.Is(err, explain.ErrNotFound) {
		e.bad = lines.Bad
		return e.incident(incident)
	}
	if err != nil {
		return notFound(finder, err, fmt.Sprintf("%s with %s, %s and %s", printable.Text(strings.Join(e.from, ", ")),
			report.Number(lines.All, "line"), report.Number(lines.Anomalies, "anomaly line"),
			report.Number(lines.Windows, "window line")))
	}
	series := explain.NewSeries(found, e.keep(found), false)
	if !found.Correlated() {
		if err := lines.Gather(series); err != nil {
			return err
		}
		if !series.Whole() {
			e.notes = append(e.notes,
				"Only windows with anomalies were in the input, so that a gap may be calls or none: keytrail scan --windows all prints every window.")
		}
	}
	e.bad = lines.Bad
	return e.explained(found, series)
}

// open opens the files of --from.
func (e *explaining) open() (lines *explain.Lines, closeFiles func(), err error) {
	lines = explain.NewLines(e.ctx.Err, func(bad string) { fmt.Fprintln(e.stderr, bad) })
	var files []*os.File
	closeFiles = func() {
		for _, f := range files {
			f.Close()
		}
	}
	for _, path := range e.from {
		f, err := e.openFile(path)
		if f != nil {
			files = append(files, f)
		}
		if err != nil {
			return lines, closeFiles, err
		}
		lines.AddFile(path, f)
	}
	return lines, closeFiles, nil
}

// openFile opens a file. It copies a source that cannot be read twice to a temporary file,
// and removes its name, so that nothing is left behind.
func (e *explaining) openFile(path string) (*os.File, error) {
	body := func() (io.ReadCloser, error) { return io.NopCloser(e.stdin), nil }
	if path != source.Stdin {
		st, err := os.Stat(path)
		if err == nil && st.IsDir() {
			return nil, fmt.Errorf("cannot read %q: it is a directory; name its files", path)
		}
		if err == nil && st.Mode().IsRegular() {
			var f *os.File
			if f, err = os.Open(path); err == nil {
				return f, nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %q: %w", path, err)
		}
		body = func() (io.ReadCloser, error) { return os.Open(path) }
	}
	f, err := os.CreateTemp("", "keytrail-explain-")
	if err != nil {
		return nil, fmt.Errorf("cannot keep %q: %w", path, err)
	}
	os.Remove(f.Name())
	in, err := input.Interruptible(e.ctx, body)()
	if err == nil {
		_, err = io.Copy(f, in)
	}
	if err != nil {
		return f, fmt.Errorf("cannot keep %q: %w", path, err)
	}
	return f, nil
}

// idDigits is the length of a whole anomaly id.
const idDigits = 32

// pipeline returns the installation's pipeline, whose topics are read.
func (e *explaining) pipeline() (*stream.Pipeline, error) {
	cfg, err := e.load(e.config)
	if err == nil && cfg.Kafka.Embedded {
		err = errors.New("explain needs a Kafka that others can reach: kafka.embedded is true")
	}
	if err != nil {
		return nil, usageError{err}
	}
	return newPipeline(cfg, cfg.Kafka.Brokers, nil, slog.New(slog.NewTextHandler(e.stderr, nil))), nil
}

// topics explains an anomaly from the topics of a running installation.
func (e *explaining) topics(finder *explain.Finder) error {
	p, err := e.pipeline()
	if err != nil {
		return err
	}
	look := kafka.Look{Topic: p.Topics.Anomalies, Most: e.most, Newest: true}
	if len(finder.Prefix()) == idDigits {
		look.Key = []byte(finder.Prefix()) // the whole id is the record's key
	}
	mentions := func(value []byte) bool { return bytes.Contains(value, []byte(finder.Prefix())) }
	read, _, err := e.read(p, look, finder, mentions)
	if err != nil {
		return err
	}
	found, err := finder.Anomaly()
	if errors.Is(err, explain.ErrNotFound) {
		look.Topic = p.Topics.Incidents
		more, _, err := e.read(p, look, finder, mentions)
		if err != nil {
			return err
		}
		if incident := finder.Incident(); incident != nil {
			return e.incident(incident)
		}
		read += more
	}
	if err != nil {
		searched := fmt.Sprintf("%s of the topics %s and %s at %s", report.Number(read, "record"), p.Topics.Anomalies,
			p.Topics.Incidents, strings.Join(p.Kafka.Brokers, ", "))
		return notFound(finder, err, strings.Join(append([]string{searched}, e.notes...), ". "))
	}
	series := explain.NewSeries(found, e.keep(found), true)
	// A window is published after it has begun, so windows of the day before the anomaly
	// are not in Kafka earlier, whenever they were counted.
	look = kafka.Look{Topic: p.Topics.Windows, Most: e.most, Since: time.Unix(0,
		found.Start).Add(-max(e.before, report.Day))}
	if !found.Correlated() {
		_, early, err := e.read(p, look, series, func([]byte) bool { return true })
		if err != nil {
			return err
		}
		if early {
			series.Partial()
		}
	}
	if e.bad > 0 {
		fmt.Fprintf(e.stderr, "%s could not be used\n", report.Number(e.bad, "record"))
	}
	return e.explained(found, series)
}

// maxTold bounds the bad records that are reported individually.
const maxTold = 10

// read passes the wanted records of a look to a taker. It returns how many it has read,
// and whether it stopped before the end.
func (e *explaining) read(p *stream.Pipeline, l kafka.Look, to explain.Taker, wanted func(value []byte) bool) (read int,
	early bool, err error) {
	ctx, cancel := context.WithTimeout(e.ctx, e.timeout)
	defer cancel()
	var rec otellog.Record
	unread, err := l.Read(ctx, p.Kafka, func(key, value []byte) {
		read++
		if !wanted(value) {
			return
		}
		err := rec.Decode(value)
		if err == nil {
			err = to.Add(&rec)
		}
		if err != nil {
			if e.bad++; e.bad <= maxTold {
				fmt.Fprintf(e.stderr, "topic %s: record %s: %s\n", l.Topic, printable.Text(string(key)),
					printable.Text(err.Error()))
			}
		}
	})
	if early = unread > 0; early {
		why := "--timeout is " + setting.Duration(e.timeout)
		if ctx.Err() == nil {
			why = fmt.Sprintf("--max-records is %d", l.Most)
		}
		e.notes = append(e.notes, fmt.Sprintf("Reading topic %s stopped early, after %s: about %d were left (%s).", l.Topic,
			report.Number(read, "record"), unread, why))
	}
	return read, early, err
}
