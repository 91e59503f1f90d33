package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strconv"

	"keytrail/processor/reconcile"
	"keytrail/schemas/cloud"
	"keytrail/schemas/printable"
)

// PrintPairs prints what "keytrail reconcile" found, as JSON, Table or CSV. A failed write
// comes back from out's Flush.
func PrintPairs(form string, out *bufio.Writer, pairs []reconcile.Pair) error {
	switch form {
	case JSON:
		enc := json.NewEncoder(out)
		for i := range pairs {
			if err := enc.Encode(&pairs[i]); err != nil {
				return fmt.Errorf("cannot write the calls on %q as JSON: %w", pairs[i].Key, err)
			}
		}
	case CSV:
		w := NewCSV(out, "key", "principal", "expected", "calls", "matched", "unexpected", "missing", "early", "pending",
			"max_skew_seconds")
		for i := range pairs {
			p := &pairs[i]
			row := []string{p.Key, p.Principal}
			for _, n := range [...]int64{p.Expected, p.Calls, p.Matched, p.Unexpected, p.Missing, p.Early, p.Pending} {
				row = append(row, strconv.FormatInt(n, 10))
			}
			w.Row(append(row, strconv.FormatFloat(p.Skew, 'f', -1, 64))...)
		}
	default:
		fmt.Fprintf(out, "%9s %9s %9s %10s %9s %9s %7s  %s\n", "EXPECTED", "CALLS", "MATCHED", "UNEXPECTED", "MISSING",
			"PENDING", "SKEW", "PRINCIPAL ON KMS KEY")
		for i := range pairs {
			p := &pairs[i]
			fmt.Fprintf(out, "%9d %9d %9d %10d %9d %9d %6.1fs  %s on %s\n", p.Expected, p.Calls, p.Matched, p.Unexpected,
				p.Missing, p.Pending, p.Skew, dashed(printable.Text(cloud.Short(p.Principal))),
				printable.Text(cloud.Short(p.Key)))
		}
	}
	return nil
}

func dashed(name string) string {
	if name == "" {
		return "-"
	}
	return name
}
