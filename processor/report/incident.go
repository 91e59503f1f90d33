package report

import (
	"fmt"
	"io"
	"strings"

	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Incident writes the record of an incident for people: its sentence, a line per property,
// and its anomalies, the strongest first. An error of w is w's to keep, as bufio.Writer does.
func Incident(w io.Writer, rec *otellog.Record) {
	fmt.Fprintf(w, "%s\n\n", printable.Text(rec.Str(semconv.KeytrailIncidentReason)))
	for _, l := range []struct{ name, attribute string }{
		{"severity", semconv.KeytrailIncidentSeverity}, {"state", semconv.KeytrailIncidentState},
		{"risk", semconv.KeytrailIncidentRisk}, {"since", semconv.KeytrailIncidentBegan},
		{"last found", semconv.KeytrailIncidentLast}, {"KMS keys", semconv.KeytrailIncidentKeys},
		{"principals", semconv.KeytrailIncidentPrincipals}, {"kinds", semconv.KeytrailIncidentKinds},
		{"found by", semconv.KeytrailIncidentDetectors}, {"ATT&CK", semconv.KeytrailIncidentTechniques},
		{"merged into", semconv.KeytrailIncidentMergedInto}, {"id", semconv.KeytrailIncidentID},
	} {
		if text := textOf(rec.Get(l.attribute)); text != "" {
			fmt.Fprintf(w, "%-12s %s\n", l.name, printable.Text(text))
		}
	}
	parts, count := rec.Get(semconv.KeytrailIncidentParts), rec.Get(semconv.KeytrailIncidentCountAnomalies)
	if parts == nil || count == nil {
		return
	}
	fmt.Fprintf(w, "\nanomalies: %d, the strongest first; keytrail explain ID shows one:\n", count.Int)
	for _, id := range parts.Strs {
		fmt.Fprintf(w, "  %s\n", printable.Text(id))
	}
	if more := count.Int - int64(len(parts.Strs)); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
}

// textOf returns an attribute as text, "" for nil.
func textOf(a *otellog.Attr) string {
	switch {
	case a == nil:
		return ""
	case a.Kind == otellog.KindStrings:
		return strings.Join(a.Strs, ", ")
	case a.Kind == otellog.KindDouble:
		return fmt.Sprintf("%.1f", a.Num)
	}
	return a.Str
}
