package report

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// CSVWriter writes comma-separated values as RFC 4180 describes them, with "\n" as the line
// end. A spreadsheet evaluates a cell that begins with = + - @ or a control character as a
// formula, and cells contain text of trails: an apostrophe before the cell prevents that
// (OWASP, "CSV Injection"). Failed writes come back from the buffer's Flush.
type CSVWriter struct {
	out    *bufio.Writer
	header []string // nil once it is written
}

// NewCSV returns a CSVWriter that writes a header before the first row.
func NewCSV(out *bufio.Writer, header ...string) *CSVWriter { return &CSVWriter{out, header} }

// Row writes one row.
func (c *CSVWriter) Row(cells ...string) {
	if header := c.header; header != nil {
		c.header = nil
		c.Row(header...)
	}
	for i, cell := range cells {
		if i > 0 {
			c.out.WriteByte(',')
		}
		c.out.WriteString(quoted(safeCell(cell)))
	}
	c.out.WriteByte('\n')
}

// safeCell escapes a cell that a spreadsheet would evaluate, and control characters of
// terminals.
func safeCell(cell string) string {
	if cell == "" {
		return ""
	}
	if first, _ := utf8.DecodeRuneInString(cell); strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		cell = "'" + cell
	}
	return printable.Text(cell)
}

func quoted(cell string) string {
	if !strings.ContainsAny(cell, "\",\r\n") && strings.TrimSpace(cell) == cell {
		return cell
	}
	return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
}

// rows prints windows and anomalies as rows of one form. The columns are the schema's
// attributes, without their prefixes.
type rows struct{ out *CSVWriter }

var rowColumns = []string{"record", "start", "end", "account", "region", "scope", "key", "alias", "principal",
	"state", "calls", "denied", "failed", "anomalies", "id", "kind", "detector", "severity", "score", "observed", "expected", "reason"}

// about are the common columns of windows and anomalies. Calls without a KMS key have no key.
func about(kind string, rec *otellog.Record) []string {
	key := rec.Str(semconv.AWSKMSKeyARN)
	if key == kms.NoEntity {
		key = ""
	}
	return []string{kind, rec.Str(semconv.KeytrailWindowStart), rec.Str(semconv.KeytrailWindowEnd),
		resource(rec, semconv.CloudAccountID), resource(rec, semconv.CloudRegion), rec.Str(semconv.KeytrailWindowScope),
		key, rec.Str(semconv.AWSKMSAliasARN), rec.Str(semconv.KeytrailPrincipalID)}
}

func (r *rows) Window(rec *otellog.Record) {
	cells := append(about("window", rec), rec.Str(semconv.KeytrailWindowState))
	for _, name := range []string{
		semconv.KeytrailWindowCallsTotal, semconv.KeytrailWindowDenied, semconv.KeytrailWindowFailed,
		semconv.KeytrailWindowAnomaliesTotal,
	} {
		cells = append(cells, strconv.FormatInt(integer(rec, name), 10))
	}
	r.out.Row(append(cells, rec.Str(semconv.KeytrailWindowID), "", "", "", "", "", "", "")...)
}

func (r *rows) Anomaly(rec *otellog.Record) {
	number := func(name string) string {
		switch a := rec.Get(name); {
		case a == nil:
			return ""
		case a.Kind == otellog.KindInt:
			return strconv.FormatInt(a.Int, 10)
		default:
			return fmt.Sprint(a.Num)
		}
	}
	cells := append(about("anomaly", rec), "", "", "", "", "", rec.Str(semconv.KeytrailAnomalyID),
		rec.Str(semconv.KeytrailAnomalyKind),
		rec.Str(semconv.KeytrailAnomalyDetector), rec.Str(semconv.KeytrailAnomalySeverity),
		number(semconv.KeytrailAnomalyScore),
		number(semconv.KeytrailAnomalyObserved), number(semconv.KeytrailAnomalyExpected),
		rec.Str(semconv.KeytrailAnomalyReason))
	r.out.Row(cells...)
}

// Incident prints an incident, whose columns start and end are when it began and when an
// anomaly was last found. Several kinds are joined with spaces.
func (r *rows) Incident(rec *otellog.Record) {
	joined := func(name string) string {
		if a := rec.Get(name); a != nil {
			return strings.Join(a.Strs, " ")
		}
		return ""
	}
	risk := 0.0
	if a := rec.Get(semconv.KeytrailIncidentRisk); a != nil {
		risk = a.Num
	}
	r.out.Row("incident", rec.Str(semconv.KeytrailIncidentBegan), rec.Str(semconv.KeytrailIncidentLast),
		resource(rec, semconv.CloudAccountID), resource(rec, semconv.CloudRegion), "", rec.Str(semconv.AWSKMSKeyARN), "",
		rec.Str(semconv.KeytrailPrincipalID), rec.Str(semconv.KeytrailIncidentState), "", "", "",
		strconv.FormatInt(integer(rec, semconv.KeytrailIncidentCountAnomalies), 10), rec.Str(semconv.KeytrailIncidentID),
		joined(semconv.KeytrailIncidentKinds), joined(semconv.KeytrailIncidentDetectors),
		rec.Str(semconv.KeytrailIncidentSeverity), fmt.Sprint(risk), "", "", rec.Str(semconv.KeytrailIncidentReason))
}

// Calls prints log records of calls as CSV, with the most useful attributes.
type Calls struct{ out *CSVWriter }

var callColumns = []string{"time", "event", "service", "operation", "outcome", "error", "account", "region", "key",
	"alias", "principal", "client", "id"}

// NewCalls returns the Calls that writes to out.
func NewCalls(out *bufio.Writer) *Calls { return &Calls{NewCSV(out, callColumns...)} }

// Print writes a row.
func (c *Calls) Print(rec *otellog.Record) {
	service, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
	c.out.Row(stamp(rec.Time), rec.EventName, service, operation, rec.Str(semconv.KeytrailOutcome),
		rec.Str(semconv.ErrorType),
		resource(rec, semconv.CloudAccountID), resource(rec, semconv.CloudRegion), rec.Str(semconv.AWSKMSKeyARN),
		rec.Str(semconv.AWSKMSAliasARN),
		rec.Str(semconv.KeytrailPrincipalID), rec.Str(semconv.ClientAddress), rec.Str(semconv.LogRecordUID))
}

// resource returns an attribute of the resource.
func resource(rec *otellog.Record, name string) string {
	for i := range rec.Resource {
		if rec.Resource[i].Key == name {
			return rec.Resource[i].Str
		}
	}
	return ""
}
