package sns

import (
	"cmp"
	"strings"
	"time"

	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// subject returns what a mail is about, most important first: SNS cuts nothing, but refuses
// more than 100 characters, so the caller cuts.
func subject(r *otellog.Record) string {
	about := r.Str(semconv.AWSKMSAliasARN)
	if about == "" {
		about = r.Str(semconv.AWSKMSKeyARN)
	}
	if about == "" {
		about = r.Str(semconv.KeytrailPrincipalID)
	}
	about = about[strings.LastIndexByte(about, ':')+1:]
	words := []string{"Keytrail"}
	switch r.EventName {
	case semconv.EventKeytrailAnomaly:
		if r.Str(semconv.KeytrailAnomalyState) == "ended" {
			words = append(words, "ended:")
		}
		words = append(words, r.Str(semconv.KeytrailAnomalySeverity), r.Str(semconv.KeytrailAnomalyKind))
	case semconv.EventKeytrailIncident:
		if r.Str(semconv.KeytrailIncidentState) == "ended" {
			words = append(words, "ended:")
		}
		words = append(words, r.Str(semconv.KeytrailIncidentSeverity), "incident")
	case semconv.EventKeytrailWindow:
		words = append(words, "window")
	default:
		words = append(words, r.Str(semconv.RPCMethod))
	}
	if about != "" {
		words = append(words, "on", about)
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// mail writes a record as a few lines for people. It implements awssink.Writer and keeps
// nothing.
type mail struct{}

// lines are the fields of a mail, in order.
var lines = []struct{ name, attribute string }{
	{"Severity", semconv.KeytrailAnomalySeverity},
	{"Severity", semconv.KeytrailIncidentSeverity},
	{"State", semconv.KeytrailAnomalyState},
	{"State", semconv.KeytrailIncidentState},
	{"Kind", semconv.KeytrailAnomalyKind},
	{"Detector or rule", semconv.SecurityRuleName},
	{"Operation", semconv.RPCMethod},
	{"KMS key", semconv.AWSKMSKeyARN},
	{"Alias", semconv.AWSKMSAliasARN},
	{"Principal", semconv.KeytrailPrincipalID},
	{"Window from", semconv.KeytrailWindowStart},
	{"Window to", semconv.KeytrailWindowEnd},
	{"Began", semconv.KeytrailAnomalyBegan},
	{"Began", semconv.KeytrailIncidentBegan},
	{"Anomaly id", semconv.KeytrailAnomalyID},
	{"Incident id", semconv.KeytrailIncidentID},
	{"Window id", semconv.KeytrailWindowID},
	{"Record id", semconv.LogRecordUID},
}

// Append appends the lines. Texts of events cannot begin a line: control characters become
// blanks.
func (mail) Append(dst []byte, r *otellog.Record) ([]byte, error) {
	if reason := cmp.Or(r.Str(semconv.KeytrailAnomalyReason), r.Str(semconv.KeytrailIncidentReason)); reason != "" {
		dst = append(append(dst, oneLine(reason)...), "\n\n"...)
	}
	add := func(name, value string) {
		if value != "" {
			dst = append(append(append(append(dst, name...), ": "...), oneLine(value)...), '\n')
		}
	}
	add("Event", r.EventName)
	if r.Time > 0 {
		add("Time", time.Unix(0, r.Time).UTC().Format(time.RFC3339))
	}
	for i := range r.Resource {
		switch r.Resource[i].Key {
		case semconv.CloudAccountID:
			add("Account", r.Resource[i].Str)
		case semconv.CloudRegion:
			add("Region", r.Resource[i].Str)
		}
	}
	for _, l := range lines {
		add(l.name, r.Str(l.attribute))
	}
	for _, name := range []string{semconv.KeytrailAnomalyTechniques, semconv.KeytrailIncidentTechniques} {
		if a := r.Get(name); a != nil && len(a.Strs) > 0 {
			add("ATT&CK", strings.Join(a.Strs, ", "))
		}
	}
	if a := r.Get(semconv.KeytrailAnomalyContributors); a != nil && len(a.Strs) > 0 {
		add("Shared by most calls", strings.Join(a.Strs, "; "))
	}
	return dst, nil
}

// oneLine returns text with blanks instead of control characters and line ends.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
}
