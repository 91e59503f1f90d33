package cli

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/window"
	"keytrail/schemas/wire"
)

// table prints windows and anomalies for a person.
type table struct {
	out   *bufio.Writer
	begun bool
}

func (t *table) result(r *window.Result, shown bool) error {
	if shown {
		if !t.begun {
			t.begun = true
			fmt.Fprintf(t.out, "%-17s %-10s %7s %7s %7s %9s  %s\n", "WINDOW", "SCOPE", "CALLS", "DENIED", "FAILED", "ANOMALIES", "ENTITY")
		}
		fmt.Fprintln(t.out, windowLine(r.Window))
	}
	for i := range r.Anomalies {
		fmt.Fprintln(t.out, anomalyLine(&r.Anomalies[i]))
	}
	return nil // a failed write comes back from the flush at the end
}

func (t *table) anomaly(a *anomaly.Anomaly) error {
	fmt.Fprintln(t.out, anomalyLine(a))
	return nil
}

// windowLine is one row of the table.
func windowLine(w *entity.Window) string {
	entity := plain(entityName(w.Entity))
	if w.Size != 0 {
		entity += " (" + time.Duration(w.Size).String() + ")"
	}
	return fmt.Sprintf("%-17s %-10s %7d %7d %7d %9d  %s", time.Unix(0, w.Start).UTC().Format("2006-01-02 15:04Z"), w.Scope,
		count.Get(&w.Partial, wire.CounterCalls), count.Get(&w.Partial, wire.CounterDenied), count.Get(&w.Partial, wire.CounterFailed),
		anomaly.Count(&w.Partial), entity)
}

// shownID is how many digits of an anomaly's id the table has: "keytrail explain" takes
// them for the id, and two of a million ids share them with a chance of 1 in 500.
const shownID = 12

// anomalyLine is the sentence of an anomaly, with its severity and its id.
func anomalyLine(a *anomaly.Anomaly) string {
	return fmt.Sprintf("  ! %-8s %-10s %.*s %s", a.Severity(), a.Kind, shownID, a.ID, plain(a.Reason))
}

// entityName writes an entity as short as it stays recognizable: a KMS key's id
// with its account, a principal's ARN without the common prefix.
func entityName(e wire.Entity) string {
	switch e.Scope {
	case wire.ScopeKey:
		return shortARN(e.KeyARN)
	case wire.ScopePrincipal:
		return shortARN(e.Principal)
	}
	return shortARN(e.Principal) + " on " + shortARN(e.KeyARN)
}

// shortARN writes an ARN without what most have in common. It keeps the Region, because
// multi-Region keys have the same id, and aliases the same name, in several, and the
// partition where it is not "aws".
func shortARN(arn string) string {
	p := strings.SplitN(arn, ":", 6)
	if len(p) != 6 || p[0] != "arn" {
		return arn
	}
	short := p[4] + ":" + p[5]
	if p[3] != "" {
		short = p[3] + ":" + short
	}
	if p[1] != "aws" {
		short = p[1] + ":" + short
	}
	return short
}
