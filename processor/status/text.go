package status

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"keytrail/schemas/printable"
)

// Write prints the installation as plain tables, for people with curl and for "top".
func (in *Installation) Write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "state: %s at %s\n", in.State, in.At.UTC().Format(time.RFC3339))
	if differ := in.DifferentRules(); differ != "" {
		fmt.Fprintln(w, differ)
	}
	fmt.Fprint(t, "\nSTAGE\tSTATE\tPROCESSES\tLAG\tBEHIND\tIN/S\tOUT/S\tDEAD LETTERS\n")
	for _, s := range in.Stages {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%.1f\t%.1f\t%s\n", s.Name, s.State, s.Processes, lagText(s.Lag, s.LagAt),
			behind(in.At, s.Watermark), s.Flow.ReceivedRate, s.Flow.Rate, counts(s.Flow.DeadLetters))
	}
	if len(in.Sinks) > 0 {
		fmt.Fprint(t, "\nSINK\tSTATE\tPROGRESS\tLAG\tOUT/S\tDEAD LETTERS\n")
	}
	for _, s := range in.Sinks {
		state := string(cmp.Or(s.Sink, "-"))
		if s.Cause != "" {
			state += " (" + s.Cause + ")"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f\t%s\n", s.Name, state, s.State, lagText(s.Lag, s.LagAt), s.Flow.Rate,
			counts(s.Flow.DeadLetters))
	}
	fmt.Fprint(t, "\nPROCESS\tHOST\tVERSION\tREPORTED\tUPTIME\tMEMORY\tSTAGES\n")
	for _, m := range in.Processes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d MB\t%s\n", m.ID, printable.Text(m.Host), printable.Text(m.Version),
			reported(m), m.At.Sub(m.Started).Round(time.Second), m.Memory.Mapped/1e6, cmp.Or(names(m.Process), "-"))
	}
	t.Flush()
	for i, line := range in.Troubles() {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, line)
	}
}

// DifferentRules names the live processes by their rules if these differ; "" if all have the
// same.
func (in *Installation) DifferentRules() string {
	if len(in.Rules) < 2 {
		return ""
	}
	of := make([]string, len(in.Rules))
	for i, rules := range in.Rules {
		for _, m := range in.Processes {
			if !m.Stale && m.Rules == rules {
				of[i] += fmt.Sprintf(" %s on %s", m.ID, printable.Text(m.Host))
			}
		}
		of[i] = rules + " in" + of[i]
	}
	return "the processes have different rules: " + strings.Join(of, "; ")
}

// Troubles returns a line per trouble of each live process.
func (in *Installation) Troubles() (list []string) {
	for _, m := range in.Processes {
		if m.Stale {
			continue
		}
		add := func(part string, troubles []Trouble) {
			for _, t := range troubles {
				list = append(list, fmt.Sprintf("%s: %s: %s since %s: %s", m.ID, printable.Text(part), t.Condition,
					t.Since.UTC().Format(time.RFC3339), printable.Text(t.Detail)))
			}
		}
		add("kafka", m.Troubles)
		for _, s := range m.Stages {
			add("stage "+s.Name, s.Troubles)
		}
		for _, s := range m.Sources {
			add("source "+s.Name, s.Troubles)
		}
		for _, s := range m.Sinks {
			add("sink "+s.Name, s.Troubles)
		}
	}
	return list
}

func reported(m Member) string {
	age := time.Duration(m.Age * float64(time.Second)).Round(time.Second)
	if m.Stale {
		return fmt.Sprintf("%v ago, gone", age)
	}
	return fmt.Sprintf("%v ago", age)
}

// names returns the stages, sources and sinks of a process.
func names(p *Process) string {
	var list []string
	for _, s := range p.Stages {
		list = append(list, fmt.Sprintf("%s:%d", s.Name, len(s.Partitions)))
	}
	if len(p.Sources) > 0 {
		list = append(list, "collect")
	}
	if len(p.Sinks) > 0 {
		list = append(list, "forward")
	}
	return strings.Join(list, " ")
}

func lagText(lag int64, at *time.Time) string {
	if at == nil {
		return "?"
	}
	return fmt.Sprint(lag)
}

// behind is the time from the watermark to now.
func behind(now time.Time, watermark *time.Time) string {
	if watermark == nil {
		return "-"
	}
	return now.Sub(*watermark).Round(time.Second).String()
}

func counts(by map[string]int64) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		list = append(list, fmt.Sprintf("%s=%d", reason, by[reason]))
	}
	return cmp.Or(strings.Join(list, " "), "-")
}
