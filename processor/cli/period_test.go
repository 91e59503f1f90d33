package cli_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/internal/oracle"
)

// csvRows reads CSV by the names of its columns.
func csvRows(t *testing.T, text string) (rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(all); i++ {
		row := map[string]string{}
		for k, name := range all[0] {
			row[name] = all[i][k]
		}
		rows = append(rows, row)
	}
	return rows
}

// ids returns the anomalies of a period in order of their windows. Of several records with
// one id, those of a continuing anomaly, the last counts.
func ids(anomalies []record, since, until string) (list []string) {
	starts := map[string]string{}
	for _, a := range anomalies {
		if start := a.str("keytrail.window.start"); start >= since && (until == "" || start < until) {
			starts[a.str("keytrail.anomaly.id")] = start
		}
	}
	for id, start := range starts {
		list = append(list, start+" "+id)
	}
	slices.Sort(list)
	return list
}

// A scan prints the same windows and anomalies as CSV and as JSON, and with --since and
// --until those of the period, judged as without.
func TestScanPeriodAndCSV(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 3, Duration: 48 * time.Hour, Events: 4000})
	s := newScanned(t, trail)
	middle := s.anomalies[len(s.anomalies)/2].str("keytrail.window.start")
	for _, period := range [][2]string{{"", ""}, {middle, ""}, {"", middle}, {middle, "2026-01-07T00:00:00Z"}} {
		args := []string{"scan", "--windows", "all", trail}
		if period[0] != "" {
			args = append(args, "--since", period[0])
		}
		if period[1] != "" {
			args = append(args, "--until", period[1])
		}
		in := func(r record) bool {
			start := r.str("keytrail.window.start")
			return start >= period[0] && (period[1] == "" || start < period[1])
		}
		want := map[string]string{}
		for _, r := range append(slices.Clone(s.windows), s.anomalies...) {
			if !in(r) {
				continue
			}
			if r.EventName == windowEvent {
				want[r.str("keytrail.window.id")+r.str("keytrail.window.start")] = fmt.Sprint("window ", r.str("keytrail.window.start"), r.str("keytrail.principal.id"), r.int(windowCalls), r.int("keytrail.window.denied"), r.int("keytrail.window.anomalies.total"))
			} else {
				want[r.str("keytrail.anomaly.id")+r.str("keytrail.window.start")] = fmt.Sprint("anomaly ", r.str("keytrail.window.start"), r.str("keytrail.principal.id"), r.str("keytrail.anomaly.kind"), r.str("keytrail.anomaly.reason"))
			}
		}
		got := map[string]string{}
		for _, row := range csvRows(t, keytrail(t, nil, append(args, "-o", "csv")...).wants(t, 0).stdout) {
			if row["record"] == "window" {
				got[row["id"]+row["start"]] = fmt.Sprint("window ", row["start"], row["principal"], row["calls"], " ", row["denied"], " ", row["anomalies"])
			} else {
				got[row["id"]+row["start"]] = fmt.Sprint("anomaly ", row["start"], row["principal"], row["kind"], row["reason"])
			}
		}
		if !maps.Equal(got, want) || len(want) < 10 {
			t.Errorf("%v: %d rows, want %d:\n%s", period, len(got), len(want), difference(got, want))
		}
		if out := keytrail(t, nil, args...).wants(t, 0); len(withoutEnds(lines(out.stdout))) != len(want) || (period != [2]string{}) != strings.Contains(out.stderr, " begin in the period") {
			t.Errorf("%v: as JSON it prints %d records, want %d, and says %s", period, len(lines(out.stdout)), len(want), out.stderr)
		}
	}
}

// Explain lists each anomaly once, in the order of the windows: those of the period.
func TestExplainList(t *testing.T) {
	s := attackTrail(t)
	middle := s.anomalies[len(s.anomalies)/2].str("keytrail.window.start")
	twice := strings.NewReader(s.text + s.text)
	f := func(want []string, out outcome) {
		t.Helper()
		var got []string
		for _, row := range csvRows(t, out.stdout) {
			if got = append(got, row["start"]+" "+row["id"]); row["record"] != "anomaly" || row["reason"] == "" {
				t.Errorf("a row %v", row)
			}
		}
		if !slices.Equal(got, want) || len(want) < 3 {
			t.Errorf("it lists %q, want %q", got, want)
		}
	}
	f(ids(s.anomalies, "", ""), keytrail(t, twice, "explain", "--list", "-o", "csv", "--from", "-").wants(t, 0))
	f(ids(s.anomalies, middle, ""), keytrail(t, nil, "explain", "--list", "-o", "csv", "--since", middle, "--from", s.file).wants(t, 0))
	f(ids(s.anomalies, "", middle), keytrail(t, nil, "explain", "--list", "-o", "csv", "--until", middle, "--from", s.file).wants(t, 0))
	table := lines(keytrail(t, nil, "explain", "--list", "-o", "table", "--from", s.file).wants(t, 0).stdout)
	records := each(t, keytrail(t, nil, "explain", "--list", "--from", s.file).wants(t, 0).stdout, validated)
	if n := len(ids(s.anomalies, "", "")); len(table) != n || len(records) != n {
		t.Errorf("the table has %d lines and JSON %d, want %d", len(table), len(records), n)
	}
	keytrail(t, strings.NewReader(s.text+"{}\n"), "explain", "--list", "--from", "-").wants(t, 3, "-:", "no OTLP/JSON")
}

// The calls of a key in a period equal the oracle's counts of its minutes.
func TestUsagePeriodAndCSV(t *testing.T) {
	_, trail := madeTrail(t, generate.Config{Seed: 41, Duration: 30 * time.Hour, Events: 4000})
	result, err := oracle.Count([]string{trail}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	since, until := result.Rows[0].Start.Truncate(time.Hour).Add(8*time.Hour), result.Rows[0].Start.Truncate(time.Hour).Add(20*time.Hour)
	calls := func(period bool) map[string]string {
		by := map[[2]string][3]int{}
		for _, r := range result.Rows {
			if r.Scope != "pair" || r.Key == "-" || strings.Contains(r.Key, ":alias/") || period && (r.Start.Before(since) || !r.Start.Before(until)) {
				continue
			}
			n := by[[2]string{r.Key, r.Principal}]
			by[[2]string{r.Key, r.Principal}] = [3]int{n[0] + r.Calls, n[1] + r.Denied, n[2] + r.Failed}
		}
		list := map[string]string{}
		for k, n := range by {
			list[k[0]+" "+k[1]] = fmt.Sprint(n)
		}
		return list
	}
	got := map[string]string{}
	out := keytrail(t, nil, "usage", "-o", "csv", "--since", since.Format(time.RFC3339), "--until", until.Format(time.RFC3339), trail).wants(t, 0)
	for _, row := range csvRows(t, out.stdout) {
		if row["principal"] != "" && !strings.Contains(row["key"], ":alias/") {
			got[row["key"]+" "+row["principal"]] = fmt.Sprintf("[%s %s %s]", row["calls"], row["refused"], row["failed"])
		}
	}
	if want := calls(true); !maps.Equal(got, want) || len(want) < 3 || maps.Equal(want, calls(false)) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// A log record is a row, with its call's attributes.
func TestNormalizeCSV(t *testing.T) {
	trail := filepath.Join("..", "..", "deploy", "trail")
	records := each(t, keytrail(t, nil, "normalize", trail).wants(t, 0).stdout, parse)
	rows := csvRows(t, keytrail(t, nil, "normalize", "-o", "csv", trail).wants(t, 0).stdout)
	if len(rows) != len(records) || len(rows) < 5 {
		t.Fatalf("%d rows of %d records", len(rows), len(records))
	}
	for i, r := range records {
		at := time.Unix(0, int64(r.TimeUnixNano)).UTC().Format(time.RFC3339)
		if row := rows[i]; row["time"] != at || row["id"] != r.str("log.record.uid") || row["service"]+"/"+row["operation"] != r.str("rpc.method") ||
			row["outcome"] != r.str("keytrail.outcome") || row["principal"] != r.str("keytrail.principal.id") || row["event"] != r.EventName {
			t.Errorf("the row %v of the record %v", row, r.LogRecord)
		}
	}
}
