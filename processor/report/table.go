// Package report prints windows, anomalies, users and rules for the commands: tables,
// CSV, JSON lines and the picture of an anomaly. It knows neither flags nor files, and
// escapes the text of records, which is not trusted.
package report

import (
	"bufio"
	"cmp"
	"fmt"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/schemas/cloud"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Printer prints records of windows, anomalies and incidents in one form. A failed write comes back
// from its buffer's Flush.
type Printer interface {
	Window(rec *otellog.Record)
	Anomaly(rec *otellog.Record)
	Incident(rec *otellog.Record)
}

// The forms that Printers print.
const (
	JSON  = "json"  // a line of OTLP/JSON each
	Table = "table" // for a person
	CSV   = "csv"   // RFC 4180, safe to open in a spreadsheet
)

// NewPrinter returns the Printer of a form that writes to out.
func NewPrinter(form string, out *bufio.Writer) Printer {
	switch form {
	case Table:
		return &table{out: out}
	case CSV:
		return &rows{out: NewCSV(out, rowColumns...)}
	}
	return &jsonLines{out: out}
}

// jsonLines prints OTLP/JSON.
type jsonLines struct {
	out *bufio.Writer
	buf []byte
}

func (p *jsonLines) Window(rec *otellog.Record) {
	p.buf = append(otellog.AppendJSON(p.buf[:0], rec), '\n')
	p.out.Write(p.buf)
}

func (p *jsonLines) Anomaly(rec *otellog.Record)  { p.Window(rec) }
func (p *jsonLines) Incident(rec *otellog.Record) { p.Window(rec) }

// table prints a row for each window and a sentence for each anomaly.
type table struct {
	out   *bufio.Writer
	begun bool
}

func (t *table) Window(rec *otellog.Record) {
	if !t.begun {
		t.begun = true
		fmt.Fprintln(t.out, WindowHeader())
	}
	fmt.Fprintln(t.out, WindowRow(rec))
}

func (t *table) Anomaly(rec *otellog.Record) { fmt.Fprintln(t.out, AnomalyRow(rec)) }

func (t *table) Incident(rec *otellog.Record) { fmt.Fprintln(t.out, IncidentRow(rec)) }

// IncidentRow is the sentence of an incident, with its beginning, state, severity and id.
func IncidentRow(rec *otellog.Record) string {
	text := func(name string) string { return printable.Text(rec.Str(name)) }
	return fmt.Sprintf("%s  %-8s %-5s %.*s %s", text(semconv.KeytrailIncidentBegan),
		text(semconv.KeytrailIncidentSeverity), text(semconv.KeytrailIncidentState), shownID,
		text(semconv.KeytrailIncidentID), text(semconv.KeytrailIncidentReason))
}

// KeyRow is one line about the ledger of a KMS key: its last event, state, ARN and last use.
func KeyRow(rec *otellog.Record) string {
	text := func(name string) string { return printable.Text(rec.Str(name)) }
	return fmt.Sprintf("%s  %-16s %s  last use %s", text(semconv.KeytrailKeyLastSeen), text(semconv.KeytrailKeyState),
		text(semconv.AWSKMSKeyARN), cmp.Or(text(semconv.KeytrailKeyLastUse), "unknown"))
}

// WindowHeader is the line above WindowRows.
func WindowHeader() string {
	return fmt.Sprintf("%-17s %-10s %7s %7s %7s %9s  %s", "WINDOW", "SCOPE", "CALLS", "DENIED", "FAILED", "ANOMALIES",
		"ENTITY")
}

// WindowRow is one row of the table.
func WindowRow(rec *otellog.Record) string {
	name := printable.Text(entityName(rec))
	if rollup := rec.Get(semconv.KeytrailWindowRollup); rollup != nil && rollup.Int != 0 {
		if end, err := time.Parse(time.RFC3339, rec.Str(semconv.KeytrailWindowEnd)); err == nil {
			name += " (" + setting.Duration(end.Sub(time.Unix(0, rec.Time))) + ")"
		}
	}
	return fmt.Sprintf("%-17s %-10s %7d %7d %7d %9d  %s", minuteOf(rec.Time),
		printable.Text(rec.Str(semconv.KeytrailWindowScope)),
		integer(rec, semconv.KeytrailWindowCallsTotal), integer(rec, semconv.KeytrailWindowDenied),
		integer(rec, semconv.KeytrailWindowFailed),
		integer(rec, semconv.KeytrailWindowAnomaliesTotal), name)
}

// shownID is the number of an id's digits in the table: "keytrail explain" accepts them
// as the id, and two of a million ids share them with a chance of 1 in 500.
const shownID = 12

// AnomalyRow is the sentence of an anomaly, with its severity and its id.
func AnomalyRow(rec *otellog.Record) string {
	return fmt.Sprintf("  ! %-8s %-10s %.*s %s", printable.Text(rec.Str(semconv.KeytrailAnomalySeverity)),
		printable.Text(rec.Str(semconv.KeytrailAnomalyKind)),
		shownID, printable.Text(rec.Str(semconv.KeytrailAnomalyID)), printable.Text(rec.Str(semconv.KeytrailAnomalyReason)))
}

// CallRow is one row of an event: time, operation, outcome, key, principal and kind.
func CallRow(rec *otellog.Record) string {
	_, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	key := cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN))
	return printable.Text(fmt.Sprintf("%s  %s %s  %s  %s  %s",
		time.Unix(0, rec.Time).UTC().Format("2006-01-02T15:04:05.000Z07:00"), operation,
		rec.Str(semconv.KeytrailOutcome), cloud.Short(key), cloud.Short(rec.Str(semconv.KeytrailPrincipalID)), rec.EventName))
}

// integer returns an attribute's number; 0 without one.
func integer(rec *otellog.Record, name string) int64 {
	if a := rec.Get(name); a != nil {
		return a.Int
	}
	return 0
}

// entityName writes an entity in a short, recognizable form: a KMS key's id with its
// account, a principal's ARN without the common prefix.
func entityName(rec *otellog.Record) string {
	key := cloud.Short(cmp.Or(rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.AWSKMSKeyARN)))
	principal := cloud.Short(rec.Str(semconv.KeytrailPrincipalID))
	switch rec.Str(semconv.KeytrailWindowScope) {
	case "key":
		return key
	case "principal":
		return principal
	}
	return principal + " on " + key
}

// Number writes "1 rule" and "2 rules".
func Number(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

// minuteOf writes a time to the minute, or to the second where it has seconds: windows of
// correlations may begin anywhere.
func minuteOf(ns int64) string {
	if ns%int64(time.Minute) != 0 {
		return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05Z")
	}
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04Z")
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339) }
