package report

import (
	"bufio"
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"keytrail/processor/explain"
	"keytrail/processor/plot"
	"keytrail/processor/screen"
	"keytrail/processor/setting"
	"keytrail/schemas/kms"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Explanation is the data about an anomaly, with the options for printing it.
type Explanation struct {
	Screen        screen.Screen
	Anomaly       *explain.Anomaly
	Series        *explain.Series
	Before, After time.Duration // how much to show; 0: the windows that have a column each
	Notes         []string      // what else a reader must know
}

// Write prints the explanation. Failed writes come back from out's Flush.
func (e *Explanation) Write(out *bufio.Writer) {
	r := report{*e, out}
	r.head()
	r.facts()
	window := r.Series.Window(r.Anomaly.Start)
	if r.Series.Len() > 0 {
		r.picture()
	}
	switch {
	case r.Anomaly.Correlated():
		r.Notes = append(r.Notes,
			"A correlation has its own windows: no window of a KMS key, a principal or a pair has counted the same, so there is none to show. The sample calls are the first that each of its rules has matched, and the key and principal are those that all of them have. The sentence says the group, and docs/sigma.md how correlations count.")
	case r.Anomaly.FromLedger():
		r.Notes = append(r.Notes, "The alarm follows from the ledger of the KMS key, not from the calls of a window. "+
			"keytrail usage --key shows the ledger and the alarms that are open.")
	case window == nil:
		r.Notes = append(r.Notes, "The anomaly's own window was not in the input.")
	default:
		r.counts(window)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(r.out)
		r.wrapped(note)
	}
}

// report is an Explanation during printing.
type report struct {
	Explanation
	out *bufio.Writer
}

// The colors of severities: ECMA-48, as in package plot.
const (
	hotColor  = "\x1b[1;31m"
	warmColor = "\x1b[33m"
	noColor   = "\x1b[0m"
)

// head prints the severity, the kind and the sentence.
func (r *report) head() {
	title := cmp.Or(printable.Text(r.Anomaly.Severity), "unknown") + " " +
		cmp.Or(printable.Text(r.Anomaly.Kind), "anomaly")
	if r.Screen.Color {
		color := warmColor
		if r.Anomaly.Severity == "high" || r.Anomaly.Severity == "critical" {
			color = hotColor
		}
		title = color + title + noColor
	}
	fmt.Fprintf(r.out, "%s  %s\n", title, printable.Text(r.Anomaly.ID))
	r.wrapped(r.Anomaly.Reason)
	fmt.Fprintln(r.out)
}

func (r *report) wrapped(text string) {
	for _, line := range screen.Wrap(printable.Text(text), r.Screen.Width) {
		fmt.Fprintln(r.out, line)
	}
}

// labels is the width of the names of facts.
const labels = 14

// fact prints a named value, and further ones below it; empty ones are left out.
func (r *report) fact(name string, values ...string) {
	for _, v := range values {
		if v == "" {
			continue
		}
		for _, line := range screen.Wrap(printable.Text(v), r.Screen.Width-labels) {
			fmt.Fprintf(r.out, "%-*s%s\n", labels, name, line)
			name = ""
		}
	}
}

// facts prints the fields of the anomaly's record.
func (r *report) facts() {
	a := r.Anomaly
	r.fact("detector", a.Detector)
	r.fact("score", decimal(a.Score))
	r.fact("scope", a.Scope)
	r.fact("KMS key", a.Key)
	r.fact("alias", a.Alias)
	r.fact("principal", a.Principal)
	r.fact("account", a.Account)
	r.fact("Region", a.Region)
	r.fact("window", minuteOf(a.Start)+" to "+minuteOf(a.End)+" ("+setting.Duration(time.Duration(a.End-a.Start))+")")
	r.fact("observed", decimal(a.Observed))
	if a.Expected > 0 || a.Kind == "rate" || a.Kind == "silence" { // a first use expects nothing
		r.fact("expected", decimal(a.Expected))
	}
	r.fact("learned since", a.Since)
	r.fact("contributors", a.Contributors...)
	var list []string
	for _, id := range a.Techniques {
		list = append(list, id+" "+explain.Technique(id))
	}
	r.fact("ATT&CK", list...)
	r.fact("sample calls", a.Calls...)
}

// decimal writes a number as short as it stays exact to three digits; NaN is "".
func decimal(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 100 && math.Abs(v) < 1e15:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// measure is a count of windows that a detector may observe.
type measure struct{ name, what string }

// measured returns the count to draw, and whether the detector's expected value refers to
// it: see processor/detector for what each detector observes.
func measured(a *explain.Anomaly) (m measure, level bool) {
	switch {
	case a.Kind == "rate", a.Kind == "silence":
		return measure{semconv.KeytrailWindowCallsTotal, "Calls"}, true
	case a.Kind == "blind_spot": // only changes of trails make one
		return measure{semconv.KeytrailWindowCallsTrail, "Changes of trails"}, false
	case a.Detector == "refusals":
		return measure{semconv.KeytrailWindowDenied, "Denied calls"}, true
	case a.Kind == "refusals":
		return measure{semconv.KeytrailWindowDenied, "Denied calls"}, false
	case a.Detector == "fan_out" && a.Scope == "key":
		return measure{semconv.KeytrailWindowPrincipals, "Different principals"}, true
	case a.Detector == "fan_out" && a.Scope == "principal":
		return measure{semconv.KeytrailWindowKeys, "Different KMS keys"}, true
	}
	return measure{semconv.KeytrailWindowCallsTotal, "Calls"}, false
}

// pictureHeight is how many lines the bars have.
const pictureHeight = 8

// picture draws the series around the anomaly.
func (r *report) picture() {
	m, level := measured(r.Anomaly)
	part := r.Series.Range(r.Screen.Width-plot.Gutter, r.Before, r.After)
	c := plot.Chart{Values: make([]float64, part.Columns), Height: pictureHeight, Line: math.NaN(), ASCII: r.Screen.ASCII,
		Color: r.Screen.Color}
	if level && r.Anomaly.Expected > 0 {
		c.Line = r.Anomaly.Expected
	}
	others := false
	for i := range c.Values {
		c.Values[i] = math.NaN()
		marked := false
		for k := range part.Group {
			at := part.Start(i) + int64(k)*part.Size
			if v, ok := r.Series.Value(at, m.name); ok && !(c.Values[i] >= float64(v)) {
				c.Values[i] = float64(v)
			}
			w := r.Series.Window(at)
			marked = marked || w != nil && w.Counts[semconv.KeytrailWindowAnomaliesTotal] > 0
		}
		if marked && i != part.Column(r.Anomaly.Start) {
			c.Marks, others = append(c.Marks, plot.Mark{Column: i}), true
		}
	}
	c.Marks = append(c.Marks, plot.Mark{Column: part.Column(r.Anomaly.Start), Hot: true})
	c.Ticks = ticks(part)
	fmt.Fprintln(r.out)
	r.wrapped(r.caption(m, part))
	for _, line := range c.Lines() {
		fmt.Fprintln(r.out, line)
	}
	r.legend(&c, others)
}

// caption describes the picture.
func (r *report) caption(m measure, part explain.Range) string {
	text := fmt.Sprintf("%s in windows of %s, from %s to %s", m.what, setting.Duration(time.Duration(part.Size)),
		minuteOf(part.From), minuteOf(part.Start(part.Columns)))
	if part.Group > 1 {
		text += fmt.Sprintf("; a column is the highest of %d windows", part.Group)
	}
	return text
}

// legend explains the signs.
func (r *report) legend(c *plot.Chart, others bool) {
	hot, line := "▲", "┄"
	if r.Screen.ASCII {
		hot, line = "^", "-"
	}
	text := hot + " the anomaly"
	if others {
		text += "   ! others"
	}
	if !math.IsNaN(c.Line) {
		text += "   " + line + " expected"
	}
	fmt.Fprintf(r.out, "%*s%s\n", plot.Gutter, "", text)
}

// steps are distances between the labels of the axis.
var steps = []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
	2 * time.Hour, 3 * time.Hour, 6 * time.Hour,
	12 * time.Hour, Day, 2 * Day, 7 * Day, 14 * Day}

// ticks labels the columns in which a round time begins, in UTC: midnight with its Day,
// others with the hour and minute.
func ticks(part explain.Range) (list []plot.Tick) {
	column := part.Size * int64(part.Group)
	step := int64(steps[len(steps)-1])
	for _, s := range steps {
		if int64(s) >= 8*column { // a label has 5 or 6 characters
			step = int64(s)
			break
		}
	}
	for i := range part.Columns {
		round := (part.Start(i) + step - 1) / step * step // the next round time
		if round >= part.Start(i)+column {
			continue
		}
		at := time.Unix(0, round).UTC()
		text := at.Format("15:04")
		if at.Hour() == 0 && at.Minute() == 0 {
			text = at.Format("Jan 2")
		}
		list = append(list, plot.Tick{Column: i, Text: text})
	}
	return list
}

// Day is the time before an anomaly that the means cover.
const Day = 24 * time.Hour

// counts prints the window's counts, with the usual values if known.
func (r *report) counts(w *explain.Window) {
	_, n := r.Series.Mean(semconv.KeytrailWindowCallsTotal, Day)
	usual := r.Series.Whole() && n > 0
	fmt.Fprintln(r.out)
	if usual {
		r.wrapped(fmt.Sprintf("In the window, and on average in the %s before it:", Number(n, "window")))
		fmt.Fprintf(r.out, "  %-15s%7s%7s\n", "", "calls", "mean")
	} else {
		fmt.Fprintln(r.out, "In the window:")
		fmt.Fprintf(r.out, "  %-15s%7s\n", "", "calls")
	}
	row := func(label, name string, always bool) {
		mean, _ := r.Series.Mean(name, Day)
		if !always && w.Counts[name] == 0 && (!usual || mean == 0) {
			return
		}
		line := fmt.Sprintf("  %-15s%7d", label, w.Counts[name])
		if usual {
			line += fmt.Sprintf("%7s", plot.Number(mean))
		}
		fmt.Fprintln(r.out, line)
	}
	for c := range kms.NumClasses {
		if c != kms.ClassTrail {
			row(c.String(), (wire.CounterClass + wire.CounterID(c)).Name(), false)
		}
	}
	row("all", semconv.KeytrailWindowCallsTotal, true)
	row("trail changes", semconv.KeytrailWindowCallsTrail, false)
	row("denied", semconv.KeytrailWindowDenied, false)
	row("failed", semconv.KeytrailWindowFailed, false)
	row("by a service", semconv.KeytrailWindowCallsService, false)
	row("across accounts", semconv.KeytrailWindowCrossAccount, false)
	row("late", semconv.KeytrailWindowLate, false)
	for _, m := range []measure{{semconv.KeytrailWindowKeys, "KMS keys"}, {semconv.KeytrailWindowPrincipals, "principals"},
		{semconv.KeytrailWindowObjects, "objects"}} {
		row(m.what, m.name, false)
	}
	if !w.Final {
		r.Notes = append(r.Notes, "The window is still open: its counts may grow.")
	}
}
