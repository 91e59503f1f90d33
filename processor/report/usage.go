package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/plot"
	"keytrail/processor/usage"
	"keytrail/schemas/cloud"
	"keytrail/schemas/printable"
)

// Markdown is the form of usage reports for documents.
const Markdown = "markdown"

// UsagePrinter prints the reports of "keytrail usage". A failed write comes back from its
// buffer's Flush.
type UsagePrinter struct {
	Form string // JSON, Table, CSV or Markdown
	// Whole prints a table of each key's principals and its activity per day, instead of
	// one line per key.
	Whole bool
	Width int // of the picture, in columns
	ASCII bool
	out   *bufio.Writer
	csv   *CSVWriter
	begun bool
}

// NewUsage returns a UsagePrinter.
func NewUsage(form string, out *bufio.Writer) *UsagePrinter {
	return &UsagePrinter{Form: form, Width: 80, out: out, csv: NewCSV(out, "key", "state", "verdict", "principal",
		"first_use", "last_use", "first_call", "last_call", "calls", "refused", "failed", "operations")}
}

// Put prints the report of a key.
func (p *UsagePrinter) Put(r *usage.Report) error {
	switch p.Form {
	case JSON:
		enc := json.NewEncoder(p.out) // escapes < and >, for pages
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("cannot write the usage of %q as JSON: %w", r.Key, err)
		}
	case CSV:
		p.rows(r)
	case Markdown:
		p.markdown(r)
	default:
		p.table(r)
	}
	p.begun = true
	return nil
}

// rows prints a row per principal, and one without a principal for a key without calls.
func (p *UsagePrinter) rows(r *usage.Report) {
	if len(r.Principals) == 0 {
		p.csv.Row(r.Key, r.State, r.Verdict, "", "", "", "", "", "0", "0", "0", "")
	}
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	for i := range r.Principals {
		u := &r.Principals[i]
		p.csv.Row(r.Key, r.State, r.Verdict, u.Principal, rfc(u.FirstUse), rfc(u.LastUse), rfc(u.FirstCall), rfc(u.LastCall),
			n(u.Calls), n(u.Refused), n(u.Failed), counts(u.By, -1))
	}
}

// table prints one line per key, or the whole report of one.
func (p *UsagePrinter) table(r *usage.Report) {
	if !p.Whole {
		if !p.begun {
			fmt.Fprintf(p.out, "%-20s %-20s %9s %8s %8s %-16s %-29s %6s %s\n", "FIRST USE", "LAST USE", "CALLS", "REFUSED",
				"FAILED", "STATE", "VERDICT", "ALARMS", "KMS KEY")
		}
		fmt.Fprintf(p.out, "%-20s %-20s %9d %8d %8d %-16s %-29s %6d %s\n", dash(r.FirstUse), dash(r.LastUse), r.Calls,
			r.Refused, r.Failed, r.State, r.Verdict, len(r.Alarms), printable.Text(cloud.Short(r.Key)))
		return
	}
	if p.begun {
		fmt.Fprintln(p.out)
	}
	p.fact("KMS key", r.Key)
	for _, f := range usageFacts(r) {
		p.fact(f[0], f[1])
	}
	if len(r.Principals) > 0 {
		fmt.Fprintf(p.out, "\n%-20s %-20s %9s %8s %8s  %s\n", "FIRST CALL", "LAST CALL", "CALLS", "REFUSED", "FAILED",
			"PRINCIPAL: OPERATIONS")
	}
	for i := range r.Principals {
		u := &r.Principals[i]
		fmt.Fprintf(p.out, "%-20s %-20s %9d %8d %8d  %s: %s\n", dash(u.FirstCall), dash(u.LastCall), u.Calls, u.Refused,
			u.Failed, printable.Text(cloud.Short(u.Principal)), printable.Text(counts(u.By, 6)))
	}
	p.picture(r)
}

func (p *UsagePrinter) fact(name, value string) {
	fmt.Fprintf(p.out, "%-14s %s\n", name, printable.Text(value))
}

// usageFacts are the lines of a whole report, names and values.
func usageFacts(r *usage.Report) (list [][2]string) {
	add := func(name, value string) {
		if value != "" {
			list = append(list, [2]string{name, value})
		}
	}
	add("verdict", strings.ReplaceAll(r.Verdict, "_", " "))
	for i, reason := range r.Reasons {
		add(map[bool]string{true: "reasons"}[i == 0]+" ", reason)
	}
	for _, a := range r.Alarms {
		add("alarm", a.Text)
	}
	add("state", r.State)
	var names []string
	for _, a := range r.Aliases {
		switch name := cloud.Short(a.Name); {
		case a.Removed != nil:
			names = append(names, name+" (removed "+a.Removed.Format(time.DateOnly)+")")
		case a.Moved != nil:
			names = append(names, name+" (moved "+a.Moved.Format(time.DateOnly)+")")
		default:
			names = append(names, name)
		}
	}
	add("aliases", strings.Join(names, ", "))
	if l := r.Ledger; l != nil {
		for _, name := range slices.Sorted(maps.Keys(l.Facts)) {
			add(strings.ReplaceAll(name, "_", " "), factText(l.Facts[name]))
		}
	}
	for _, g := range r.Grants[:min(len(r.Grants), 10)] {
		add("open grant", fmt.Sprintf("%s to %s for %s, by %s", g.Opened.Format(time.DateOnly), g.Grantee,
			cmp.Or(g.Operations, "operations that the record does not name"), g.By))
	}
	add("calls", fmt.Sprintf("%d, %d refused, %d failed; %d uses", r.Calls, r.Refused, r.Failed, r.Uses))
	for _, c := range []struct {
		name string
		by   map[string]int64
	}{{"operations", r.ByOperation}, {"services", r.ByService}, {"contexts", r.ByContextClass}, {"accounts", r.Accounts},
		{"networks", r.Networks}, {"TLS", r.TLSVersions}, {"key exchange", r.KeyExchange}} {
		add(c.name, counts(c.by, 8))
	}
	c := &r.Coverage
	add("covered", fmt.Sprintf("%d days of account %s in %s, from %s to %s", c.Days, c.Account, c.Region,
		dash(&c.From), dash(&c.To)))
	for _, g := range c.Gaps {
		add("gap", fmt.Sprintf("%s to %s", dash(&g.From), dash(&g.To)))
	}
	for _, u := range c.Unseen {
		add("not visible", u)
	}
	if in := r.Inputs; in != nil {
		add("input", fmt.Sprintf("%d objects, %d bytes, SHA-256 %s", in.Objects, in.Bytes, in.SHA256))
		if d := in.Digests; d != nil {
			add("digests", fmt.Sprintf("%d checked, %d could not be, %d differences", d.Checked, d.Unchecked, d.FindingCount))
		}
	}
	return list
}

func factText(f usage.Fact) string {
	text := cmp.Or(f.Value, "yes") + ", " + dash(&f.At)
	if f.By != "" {
		text += " by " + cloud.Short(f.By)
	}
	if f.Until != nil {
		text += ", until " + dash(f.Until)
	}
	if f.Days != 0 {
		text += fmt.Sprintf(", every %d days", f.Days)
	}
	if f.Tied {
		text += " (another event of that second says otherwise)"
	}
	return text
}

// markdown prints a section per key.
func (p *UsagePrinter) markdown(r *usage.Report) {
	if p.begun {
		fmt.Fprintln(p.out)
	}
	fmt.Fprintf(p.out, "## `%s`\n\n| property | value |\n|---|---|\n", cell(r.Key))
	for _, f := range usageFacts(r) {
		fmt.Fprintf(p.out, "| %s | %s |\n", strings.TrimSpace(f[0]), cell(f[1]))
	}
	if len(r.Principals) > 0 {
		fmt.Fprintln(p.out, "\n| principal | first call | last call | calls | refused | failed | operations |")
		fmt.Fprintln(p.out, "|---|---|---|---:|---:|---:|---|")
	}
	for i := range r.Principals {
		u := &r.Principals[i]
		fmt.Fprintf(p.out, "| %s | %s | %s | %d | %d | %d | %s |\n", cell(u.Principal), dash(u.FirstCall),
			dash(u.LastCall), u.Calls, u.Refused, u.Failed, cell(counts(u.By, -1)))
	}
}

// cell escapes text of records for a table of Markdown, which takes HTML, too.
func cell(text string) string {
	return markup.Replace(printable.Text(text))
}

var markup = strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "'", "[", `\[`, "*", `\*`, "_", `\_`)

// picture draws the calls per day. A column has as many days as the width requires.
func (p *UsagePrinter) picture(r *usage.Report) {
	days := slices.Sorted(maps.Keys(r.ByDay))
	if len(days) < 2 {
		return
	}
	number := func(day string) int {
		t, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return 0
		}
		return int(t.Unix() / 86400)
	}
	first, last := number(days[0]), number(days[len(days)-1])
	group := (last - first + max(p.Width-plot.Gutter, 10)) / max(p.Width-plot.Gutter, 10)
	c := plot.Chart{Values: make([]float64, (last-first)/group+1), Height: 5, Line: math.NaN(), ASCII: p.ASCII}
	for day, n := range r.ByDay {
		c.Values[(number(day)-first)/group] += float64(n)
	}
	c.Ticks = []plot.Tick{{Column: 0, Text: days[0]}}
	fmt.Fprintf(p.out, "\nCalls from %s to %s, a column is %s\n", days[0], days[len(days)-1], Number(group, "day"))
	for _, line := range c.Lines() {
		fmt.Fprintln(p.out, line)
	}
}

// counts lists counts by name, the greatest first, at most some of them; -1: all.
func counts(by map[string]int64, most int) string {
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b))
	})
	var list []string
	for i, name := range names {
		if i == most {
			list = append(list, fmt.Sprintf("%d more", len(names)-i))
			break
		}
		list = append(list, fmt.Sprintf("%s %d", name, by[name]))
	}
	return strings.Join(list, ", ")
}

// rfc writes a time as RFC 3339, or nothing.
func rfc(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

// dash writes a time to the second, or a dash.
func dash(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format("2006-01-02 15:04:05Z")
}
