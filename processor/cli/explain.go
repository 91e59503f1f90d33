package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"

	"keytrail/processor/explain"
	"keytrail/schemas/otellog"
)

const explainAbout = `Shows one anomaly: its sentence, what was observed and expected, the calls behind it,
and the windows of the same KMS key, principal or pair around it as a picture. ID is a
keytrail.anomaly.id, or at least 8 digits of its beginning that no other anomaly has;
"keytrail scan" prints both forms. The records come from

  --from FILE...  OTLP/JSON lines, as "keytrail scan" and file sinks write them; - is
                  standard input. More files may follow the ID. What is no regular file is
                  copied to a temporary one, because it is read twice.
  -c FILE         the topics of anomalies and windows of a running installation. They are
                  read from a day before the anomaly on, within the bounds of --max-records
                  and --timeout.`

// explainFlags are the flags of "keytrail explain".
type explainFlags struct {
	from          list
	config        string
	before, after time.Duration
	ascii         bool
	most          int64
	timeout       time.Duration
}

// explain is "keytrail explain ID".
func (a *app) explain(args []string) int {
	f := a.flags("explain", "ID [FLAGS] [FILE...]", explainAbout)
	ef := explainFlags{most: 5_000_000, timeout: time.Minute}
	f.Var(&ef.from, "from", "`FILE` with the output of keytrail scan, or - (may be repeated)")
	f.StringVar(&ef.config, "c", "", "configuration `FILE` of the installation whose topics to read")
	f.duration(&ef.before, "before", "how much to show before the window, a `duration`; 0: what has a column of its own", 0, mostAround, 1)
	f.duration(&ef.after, "after", "how much to show after the window, a `duration`; 0: what has a column of its own", 0, mostAround, 1)
	f.BoolVar(&ef.ascii, "ascii", false, "draw with ASCII characters; so it does without a UTF-8 locale")
	integer(f, &ef.most, "max-records", "with -c: most `records` to read of a topic", 1, 1_000_000_000)
	f.duration(&ef.timeout, "timeout", "with -c: longest `duration` of reading a topic", time.Second, time.Hour, 1)
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) > 1 && len(ef.from) > 0 {
		ef.from = append(ef.from, rest[1:]...)
		rest = rest[:1]
	}
	if len(rest) != 1 || (len(ef.from) > 0) == (ef.config != "") {
		a.errorf("explain needs an anomaly's id, and either --from FILE or -c FILE; see keytrail explain -h")
		return exitUsage
	}
	finder, err := explain.NewFinder(rest[0])
	if err != nil {
		a.errorf("%v", err)
		return exitUsage
	}
	if ef.config != "" {
		return a.explainTopics(&ef, finder)
	}
	return a.explainFiles(&ef, finder)
}

// mostAround bounds what is shown on each side: 5 weeks, 50,400 windows of a minute.
const mostAround = 35 * 24 * time.Hour

// day is how much is read before an anomaly, and what the means are of.
const day = 24 * time.Hour

// keep is how much of the series is kept on each side: what is asked for, a day for the
// means, and what has a column of its own on the widest screen.
func (ef *explainFlags) keep(a *explain.Anomaly) time.Duration {
	return max(ef.before, ef.after, day, maxWidth*time.Duration(a.End-a.Start))
}

// explained prints what is known, and returns the exit code: bad says how many
// records could not be used, notes what else a reader must know.
func (a *app) explained(ef *explainFlags, found *explain.Anomaly, s *explain.Series, bad int, notes []string) int {
	sc := newScreen(a.stdout, os.Getenv)
	out := bufio.NewWriter(a.stdout)
	if sc.color { // its own sequences pass; the report makes plain what it shows of data
		out = bufio.NewWriter(raw{a.stdout})
	}
	sc.ascii = sc.ascii || ef.ascii
	r := report{screen: sc, out: out, a: found, s: s, before: ef.before, after: ef.after, notes: notes}
	r.write()
	if err := out.Flush(); err != nil {
		return a.fail(fmt.Errorf("cannot write the explanation: %w", err))
	}
	if bad > 0 {
		return exitDead
	}
	return exitOK
}

// notFound says which search found nothing, or too much.
func (a *app) notFound(f *explain.Finder, err error, searched string) int {
	if errors.Is(err, explain.ErrNotFound) {
		err = fmt.Errorf("no anomaly has the id %s; searched: %s", f.Prefix(), searched)
	}
	return a.fail(err)
}

// taker takes records of any kind.
type taker interface {
	Add(rec *otellog.Record) error
}
