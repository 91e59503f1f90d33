// Package demo implements the output of "keytrail demo": a live screen on a terminal, plain
// lines elsewhere, and the verdict; and the SIEM that receives its windows and anomalies.
package demo

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/report"
	"keytrail/processor/screen"
	"keytrail/processor/stream"
	"keytrail/processor/telemetry"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Show is what the demo shows. Safe for concurrent use.
type Show struct {
	out     *screen.Output
	screen  screen.Screen
	live    bool
	page    string                              // the address of the page
	balance func() ([]telemetry.Balance, error) // of the stages; nil before they run
	mu      sync.Mutex                          // guards the following
	notes   []string                            // lines of the live screen
	printed time.Time                           // of the last progress line of piped output
	file    int                                 // files read
	files   int                                 // files of the trail
	counts  stream.PublishCounts                // of their records
	windows map[string]int64                    // revision, by id
	found   map[string]*found                   // anomalies by id
}

// found is an anomaly.
type found struct {
	id, kind, severity, key, principal string
	start, end                         string    // RFC 3339, UTC, so they sort as text
	brief, sentence, entity            string    // escaped
	at                                 time.Time // start
}

// NewShow returns the Show that prints to o, beginning with the address of the page; live
// means that o is a terminal.
func NewShow(o *screen.Output, live bool, page string) *Show {
	s := &Show{out: o, screen: screen.New(o, os.Getenv), live: live, page: page, windows: map[string]int64{},
		found: map[string]*found{}}
	o.FitTables(os.Getenv)
	fmt.Fprintf(o, "The page is at %s\n", page)
	return s
}

// Stages has the live screen show the balances of the stages.
func (s *Show) Stages(balance func() ([]telemetry.Balance, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.balance = balance
}

// mostNotes bounds the notes of the live screen.
const mostNotes = 2

// Line prints a line, or has it among the last notes of the live screen.
func (s *Show) Line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := printable.Text(fmt.Sprintf(format, args...))
	if !s.live {
		fmt.Fprintln(s.out, text)
		return
	}
	s.notes = append(s.notes, text)
	s.notes = s.notes[max(0, len(s.notes)-mostNotes):]
}

// Progress reports the progress of the replay. Without a live screen it prints a line
// every five seconds.
func (s *Show) Progress(file, files int, c stream.PublishCounts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file, s.files, s.counts = file, files, c
	if !s.live && time.Since(s.printed) > 5*time.Second && file < files {
		s.printed = time.Now()
		fmt.Fprintf(s.out, "[%3d%%] %d of %d files, %d events read, %d anomalies so far\n", 100*file/files, file, files,
			c.Received, len(s.found))
	}
}

// anomaly takes in an anomaly. A later revision replaces an earlier one.
func (s *Show) anomaly(rec *otellog.Record) {
	text := func(name string) string { return strings.Clone(rec.Str(name)) }
	f := &found{
		id: text(semconv.KeytrailAnomalyID), kind: text(semconv.KeytrailAnomalyKind),
		severity: printable.Text(text(semconv.KeytrailAnomalySeverity)),
		key:      text(semconv.AWSKMSKeyARN), principal: text(semconv.KeytrailPrincipalID),
		start: text(semconv.KeytrailWindowStart), end: text(semconv.KeytrailWindowEnd),
		sentence: printable.Text(text(semconv.KeytrailAnomalyReason)), brief: strings.Clone(report.Brief(rec)),
	}
	f.at, _ = time.Parse(time.RFC3339, f.start) // a bad time shows as year 1
	f.entity = printable.Text(cmp.Or(f.principal, text(semconv.AWSKMSAliasARN), f.key))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found[f.id] = f
}

// window counts the final windows that arrived.
func (s *Show) window(rec *otellog.Record) {
	if rec.Str(semconv.KeytrailWindowState) != "final" {
		return
	}
	id, revision := strings.Clone(rec.Str(semconv.KeytrailWindowID)), int64(0)
	if a := rec.Get(semconv.KeytrailWindowRevision); a != nil {
		revision = a.Int
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.windows[id] = max(revision, s.windows[id])
}

// list returns the anomalies in the order of their time. s.mu is held.
func (s *Show) list() []*found {
	list := make([]*found, 0, len(s.found))
	for _, f := range s.found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *found) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id)) })
	return list
}

// shownID is the number of an id's digits that "keytrail explain" needs.
const shownID = 12

func (f *found) shortID() string { return printable.Text(f.id[:min(shownID, len(f.id))]) }

// incident is a planted attack, with the silence of keys that it causes.
type incident struct {
	at   time.Time
	note string
	by   []string // kinds of anomaly that found it
	id   string   // of one of them
}

// Verdict prints the anomalies, where no live screen has shown them, and the planted
// incidents beside the anomalies that found them. kept is the folder that keeps the demo's
// files, or "".
func (s *Show) Verdict(labels []generate.Label, kept string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.list()
	if !s.live {
		fmt.Fprintf(s.out, "\n%-17s  %-8s  %-12s  %s\n", "TIME", "SEVERITY", "ANOMALY", "SENTENCE")
		for _, f := range all {
			fmt.Fprintf(s.out, "%-17s  %-8s  %-12s  %s\n", f.at.UTC().Format("2006-01-02 15:04Z"), f.severity,
				f.shortID(), f.sentence)
		}
	}
	incidents, explained := s.judged(labels, all)
	fmt.Fprintf(s.out, "\n%-12s  %-*s  %-16s  %s\n", "PLANTED", s.words(), "ATTACK", "FOUND AS", "ANOMALY")
	hits := 0
	for _, i := range incidents {
		if i.id != "" {
			hits++
		}
		s.row(&i)
	}
	fmt.Fprintf(s.out, "%d of %d planted incidents found; %d anomalies in all, %d of them outside the incidents.\n",
		hits, len(incidents), len(all), len(all)-len(explained))
	id := "ID"
	if len(incidents) > 0 && incidents[0].id != "" {
		id = incidents[0].id[:min(shownID, len(incidents[0].id))]
	}
	first, dir := "keytrail demo --keep demo", "demo"
	if kept != "" {
		first, dir = "keytrail scan --web "+kept+"/trail/AWSLogs", kept
	}
	fmt.Fprintf(s.out, "\nNext:\n  %s\n  keytrail explain %s --from %s/siem.ndjson\n"+
		"  keytrail scan --web YOUR-TRAIL\n", printable.Text(first), printable.Text(id), printable.Text(dir))
}

// words is the width of the column for the attack in words.
func (s *Show) words() int { return min(s.screen.Width, 110) - 48 }

// row prints one incident.
func (s *Show) row(i *incident) {
	by := cmp.Or(strings.Join(i.by, ", "), "missed")
	notes, kinds := screen.Wrap(i.note, s.words()), screen.Wrap(by, 16)
	for n := range max(len(notes), len(kinds)) {
		at, id := "", ""
		if n == 0 {
			at, id = i.at.UTC().Format("01-02 15:04Z"), printable.Text(i.id[:min(shownID, len(i.id))])
		}
		line := fmt.Sprintf("%-12s  %-*s  %-16s  %s", at, s.words(), part(notes, n), part(kinds, n), id)
		fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	}
}

func part(list []string, n int) string {
	if n < len(list) {
		return list[n]
	}
	return ""
}

// Incidents returns the number of planted attacks.
func Incidents(labels []generate.Label) int {
	s := &Show{}
	list, _ := s.judged(labels, nil)
	return len(list)
}

// judged groups the labels into incidents, and finds the anomalies that found each: one of
// the kinds that a label names, at its time, on its KMS key or of its principal. A silence
// that an attack causes belongs to the attack: to judge it needs a week of history.
func (s *Show) judged(labels []generate.Label, all []*found) (list []incident, explained map[string]bool) {
	explained = map[string]bool{}
	of := map[string]int{}
	for _, l := range labels {
		if l.Benign {
			continue
		}
		n, known := of[l.Scenario]
		if !known || !slices.Equal(l.Kinds, []generate.Kind{generate.KindSilence}) {
			n = len(list)
			of[l.Scenario] = n // the newest of the scenario
			list = append(list, incident{at: l.Start, note: l.Note})
		}
		start, end := l.Start.UTC().Format(time.RFC3339), l.End.UTC().Format(time.RFC3339)
		for _, f := range all {
			same := l.KeyARN != "" && f.key == l.KeyARN || l.Principal != "" && f.principal == l.Principal
			if !same || f.end <= start || f.start >= end {
				continue
			}
			explained[f.id] = true
			if slices.Contains(l.Kinds, generate.Kind(f.kind)) && !slices.Contains(list[n].by, f.kind) {
				list[n].by = append(list[n].by, f.kind)
				list[n].id = cmp.Or(list[n].id, f.id)
			}
		}
	}
	for i := range list {
		slices.Sort(list[i].by)
	}
	return list, explained
}
