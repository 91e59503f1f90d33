package oracle

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// cell escapes a value for its column.
var cell = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

// WriteTSV writes one line per row, in order: scope, key, principal, window start (RFC
// 3339, UTC), calls, denied, failed, then "class=n" per class, sorted by name, and
// "bound=ARN" if the key's binding is known. A column that does not apply to the scope is
// empty; tabs, line ends and backslashes in a value are escaped with a backslash. The
// last five lines are the totals: "total", a name, a number.
func (r *Result) WriteTSV(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, row := range r.Rows {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%d\t%d", row.Scope, cell.Replace(row.Key), cell.Replace(row.Principal),
			row.Start.Format(time.RFC3339), row.Calls, row.Denied, row.Failed)
		for _, class := range slices.Sorted(maps.Keys(row.Classes)) {
			fmt.Fprintf(out, "\t%s=%d", class, row.Classes[class])
		}
		if row.Bound != "" {
			fmt.Fprintf(out, "\tbound=%s", cell.Replace(row.Bound))
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(
		out, "total\treceived\t%d\ntotal\tcounted\t%d\ntotal\tduplicates\t%d\ntotal\tfiltered\t%d\ntotal\tbad\t%d\n",
		r.Received, r.Counted, r.Duplicates, r.Filtered, r.Bad)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("cannot write the counts: %w", err)
	}
	return nil
}
