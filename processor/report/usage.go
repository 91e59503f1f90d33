package report

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/anomaly"
	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/wire"
)

// Usage has the principals that used a KMS key, with one window per principal, from its
// first use to its last, that sums windows of a minute. It grows with the principals
// only.
type Usage struct {
	key   string
	found map[string]*entity.Window // by principal
}

// NewUsage returns the Usage of the KMS key, or alias, with an ARN.
func NewUsage(key string) *Usage { return &Usage{key: key, found: map[string]*entity.Window{}} }

// Principals returns the number of principals that used the key.
func (u *Usage) Principals() int { return len(u.found) }

// Add takes a window of size ns of any entity.
func (u *Usage) Add(w *entity.Window, size int64) {
	stands := w.Bound != nil && w.Bound.Key == u.key && cloud.Form(w.Key) == kms.FormAlias
	if w.Scope != wire.ScopePair || w.Key != u.key && !stands {
		return
	}
	sum := u.found[w.Principal]
	if sum == nil {
		e := wire.Entity{Scope: wire.ScopePair, Key: u.key, Principal: w.Principal}
		sum = &entity.Window{Partial: wire.Partial{Entity: e, Start: w.Start}, Closed: true, Revision: 1, Size: size}
		u.found[w.Principal] = sum
	}
	end := max(sum.Start+sum.Size, w.Start+size)
	sum.Start = min(sum.Start, w.Start)
	sum.Size = end - sum.Start
	count.Merge(&sum.Partial, &w.Partial)
}

// Calls returns the number of calls on the key.
func (u *Usage) Calls() (n int64) {
	for _, w := range u.found {
		n += count.Get(&w.Partial, wire.CounterCalls)
	}
	return n
}

// list returns the users in the order of their first use.
func (u *Usage) list() []*entity.Window {
	return slices.SortedFunc(maps.Values(u.found), func(a, b *entity.Window) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Principal, b.Principal))
	})
}

// Print prints a line for each user in one of the forms that Printers have. now is when they
// were computed, in ns since 1970. Failed writes come back from out's Flush.
func (u *Usage) Print(form string, out *bufio.Writer, now int64) {
	switch form {
	case Table:
		u.table(out)
	case CSV:
		u.csv(NewCSV(out, usageColumns()...))
	default:
		lines := jsonLines{out: out}
		var rec otellog.Record
		for _, w := range u.list() {
			anomaly.WindowRecord(&rec, w, w.Size, now)
			lines.Window(&rec)
		}
	}
}

// table prints a row for each user.
func (u *Usage) table(out *bufio.Writer) {
	if len(u.found) > 0 {
		fmt.Fprintf(out, "%-17s %-17s %9s %7s %7s  %s\n", "FIRST USE", "LAST USE", "CALLS", "DENIED", "FAILED",
			"PRINCIPAL: OPERATIONS")
	}
	for _, w := range u.list() {
		get := func(id wire.CounterID) int64 { return count.Get(&w.Partial, id) }
		fmt.Fprintf(out, "%-17s %-17s %9d %7d %7d  %s: %s\n", minuteOf(w.Start), minuteOf(lastUse(w)),
			get(wire.CounterCalls), get(wire.CounterDenied), get(wire.CounterFailed), printable.Text(cloud.Short(w.Principal)),
			operations(&w.Partial))
	}
}

// lastUse returns the minute of a user's last use.
func lastUse(w *entity.Window) int64 { return w.Start + w.Size - int64(time.Minute) }

// usageColumns are the columns of csv: the last are the operation classes.
func usageColumns() []string {
	list := []string{"key", "principal", "first_use", "last_use", "calls", "denied", "failed"}
	for c := range kms.NumClasses {
		list = append(list, c.String())
	}
	return list
}

// csv prints a row for each user.
func (u *Usage) csv(out *CSVWriter) {
	for _, w := range u.list() {
		cells := []string{u.key, w.Principal, stamp(w.Start), stamp(lastUse(w))}
		number := func(id wire.CounterID) { cells = append(cells, strconv.FormatInt(count.Get(&w.Partial, id), 10)) }
		number(wire.CounterCalls)
		number(wire.CounterDenied)
		number(wire.CounterFailed)
		for c := range kms.NumClasses {
			number(wire.CounterClass + wire.CounterID(c))
		}
		out.Row(cells...)
	}
}

// operations lists the operation classes of calls, the most frequent first.
func operations(p *wire.Partial) string {
	type class struct {
		name string
		n    int64
	}
	var classes []class
	for c := range kms.NumClasses {
		if n := count.Get(p, wire.CounterClass+wire.CounterID(c)); n > 0 {
			classes = append(classes, class{c.String(), n})
		}
	}
	slices.SortStableFunc(classes, func(a, b class) int { return cmp.Compare(b.n, a.n) })
	var list []string
	for _, c := range classes {
		list = append(list, fmt.Sprintf("%s %d", c.name, c.n))
	}
	return strings.Join(list, ", ")
}
