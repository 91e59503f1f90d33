package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/incident"
	"keytrail/processor/report"
	"keytrail/schemas/otellog"
)

// grouping is the Printer of "keytrail scan --incidents": it prints the incidents
// alone, at the end.
type grouping struct {
	report.Printer
	s   *scanning
	set *incident.Set
}

func newGrouping(s *scanning, p report.Printer) *grouping {
	g := &grouping{Printer: p, s: s, set: incident.NewSet()}
	g.set.Most, g.set.All, g.set.Final = 1<<20, 1<<20, true // of the scan: about 1 kB each
	return g
}

// Window and Anomaly print nothing: put takes the anomalies.
func (g *grouping) Window(*otellog.Record)  {}
func (g *grouping) Anomaly(*otellog.Record) {}

// put takes an anomaly that ends at until, or has ended.
func (g *grouping) put(rec *otellog.Record, until int64) {
	part, account, err := incident.FromRecord(rec, until)
	if err != nil {
		panic("BUG: a scan made an anomaly without a time: " + err.Error())
	}
	g.set.Put(account, part)
}

// print prints the incidents that begin in the period, in order of time: those that have
// ended by mark, the end of the last window, and the open ones.
func (g *grouping) print(mark int64) {
	var list []incident.Publication
	put := func(p *incident.Publication) {
		if g.s.period.Has(p.Began) {
			list = append(list, *p)
		}
	}
	g.set.Advance(mark, put)
	g.set.Rest(put)
	slices.SortFunc(list, func(a, b incident.Publication) int {
		return cmp.Or(cmp.Compare(a.Began, b.Began), strings.Compare(a.ID, b.ID))
	})
	var rec otellog.Record
	for i := range list {
		incident.Record(&rec, &list[i], g.s.cfg.Now.UnixNano())
		g.Printer.Incident(&rec)
	}
	fmt.Fprintln(g.s.stderr, report.Number(len(list), "incident"))
}
