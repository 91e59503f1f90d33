package chaostest

import (
	"strings"
	"time"

	"keytrail/processor/internal/oracle"
)

// WindowSize is the size of the windows of a run; there are roll-ups of an hour.
const WindowSize = 5 * time.Minute

// Counts are the parts of a window that the oracle knows.
type Counts struct {
	Calls, Denied, Failed int
	Trail                 int // changes of trails, which are not calls
	Final                 bool
}

// Empty reports whether a window has no calls left: better copies credited them to another
// principal.
func (c Counts) Empty() bool { return c.Calls == 0 && c.Denied == 0 && c.Failed == 0 && c.Trail == 0 }

// Name returns the name of a window, for start in RFC 3339 and UTC.
func Name(scope, key, principal, start string, rollup bool) string {
	name := strings.Join([]string{scope, key, principal, start}, " ")
	if rollup {
		name += " for an hour"
	}
	return name
}

// Expected are the oracle's windows by name, and the roll-ups that sum them.
func Expected(r *oracle.Result) map[string]Counts {
	want := map[string]Counts{}
	for _, row := range r.Rows {
		c := Counts{Calls: row.Calls, Denied: row.Denied, Failed: row.Failed, Trail: row.Classes["trail"], Final: true}
		start := row.Start.UTC()
		want[Name(row.Scope, row.Key, row.Principal, start.Format(time.RFC3339), false)] = c
		n := Name(row.Scope, row.Key, row.Principal, start.Truncate(time.Hour).Format(time.RFC3339), true)
		sum := want[n]
		want[n] = Counts{Calls: sum.Calls + c.Calls, Denied: sum.Denied + c.Denied, Failed: sum.Failed + c.Failed,
			Trail: sum.Trail + c.Trail, Final: true}
	}
	return want
}
