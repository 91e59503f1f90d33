// Package demo implements the output of "keytrail demo", and the SIEM that receives its
// windows and anomalies.
package demo

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"keytrail/processor/generate"
	"keytrail/processor/report"
	"keytrail/processor/screen"
	"keytrail/processor/stream"
	"keytrail/schemas/otellog"
	"keytrail/schemas/printable"
	"keytrail/schemas/semconv"
)

// Show is the demo's terminal: lines that scroll by, and below them, on a
// terminal, a progress line. Safe for concurrent use.
type Show struct {
	mu        sync.Mutex
	w         io.Writer
	live      bool
	status    string
	printed   time.Time // of the last progress line where there is no terminal
	header    bool
	anomalies map[string]found // by id
	windows   map[string]int64 // revision shown, by id
}

// found is the verdict's part of an anomaly.
type found struct {
	kind, key, principal string
	start, end           string // RFC 3339, UTC, so they sort as text
}

// NewShow returns the Show that prints to o; live means that o is a terminal.
func NewShow(o *screen.Output, live bool) *Show {
	var w io.Writer = o
	if live {
		w = screen.Raw{Output: o}
	}
	return &Show{w: w, live: live, anomalies: map[string]found{}, windows: map[string]int64{}}
}

// Line prints a line above the progress line.
func (s *Show) Line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(fmt.Sprintf(format, args...))
}

func (s *Show) print(text string) {
	if s.live { // past what escapes: the progress line has Keytrail's own sequences
		safe, rest := printable.AppendLines(nil, []byte(text))
		text = string(safe) + printable.Text(string(rest))
		fmt.Fprintf(s.w, screen.Wipe+"%s\n%s", text, s.shown())
		return
	}
	fmt.Fprintln(s.w, text)
}

// Progress reports the progress of the replay: on a terminal at each call, elsewhere
// every five seconds.
func (s *Show) Progress(file, files int, c stream.PublishCounts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = fmt.Sprintf("[%3d%%] %d of %d files, %d events read, %d anomalies so far", 100*file/files, file, files,
		c.Received, len(s.anomalies))
	if file == files {
		s.status = ""
	}
	if s.live {
		fmt.Fprint(s.w, screen.Wipe+s.shown())
	} else if time.Since(s.printed) > 5*time.Second && file < files {
		s.printed = time.Now()
		fmt.Fprintln(s.w, s.status)
	}
}

// shown is the progress line, fitted into one line of the terminal: the last column stays
// free, because some terminals wrap there.
func (s *Show) shown() string { return screen.Fit(s.status, screen.Columns(s.w, os.Getenv)-1) }

// anomaly shows an anomaly the first time it arrives.
func (s *Show) anomaly(rec *otellog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strings.Clone(rec.Str(semconv.KeytrailAnomalyID))
	_, known := s.anomalies[id]
	s.anomalies[id] = found{
		kind: strings.Clone(rec.Str(semconv.KeytrailAnomalyKind)), key: strings.Clone(rec.Str(semconv.AWSKMSKeyARN)),
		principal: strings.Clone(rec.Str(semconv.KeytrailPrincipalID)),
		start:     strings.Clone(rec.Str(semconv.KeytrailWindowStart)),
		end:       strings.Clone(rec.Str(semconv.KeytrailWindowEnd)),
	}
	if !known {
		s.print(report.AnomalyRow(rec))
	}
}

// window shows a row for the final window of a KMS key or a principal; pairs are in the
// sentences already.
func (s *Show) window(rec *otellog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, revision := strings.Clone(rec.Str(semconv.KeytrailWindowID)), int64(0)
	if a := rec.Get(semconv.KeytrailWindowRevision); a != nil {
		revision = a.Int
	}
	if rec.Str(semconv.KeytrailWindowScope) == "pair" || rec.Str(semconv.KeytrailWindowState) != "final" ||
		revision <= s.windows[id] {
		return
	}
	s.windows[id] = revision
	if !s.header {
		s.header = true
		s.print(report.WindowHeader())
	}
	s.print(report.WindowRow(rec))
}

// Verdict reports which of the planted incidents were found.
func (s *Show) Verdict(labels []generate.Label) {
	s.mu.Lock()
	defer s.mu.Unlock()
	explained := map[string]bool{}
	hits := 0
	labels = slices.DeleteFunc(labels, func(l generate.Label) bool { return l.Benign })
	s.print("\nPlanted, and found by:")
	for _, l := range labels {
		by := s.match(&l, explained)
		mark := "missed"
		if len(by) > 0 {
			hits++
			mark = strings.Join(by, ", ")
		}
		s.print(fmt.Sprintf("  %s  %-16s %s", l.Start.UTC().Format("2006-01-02 15:04Z"), l.Scenario, mark))
	}
	s.print(fmt.Sprintf("%d of %d planted incidents found; %d anomalies in all, %d of them outside the incidents.",
		hits, len(labels), len(s.anomalies), len(s.anomalies)-len(explained)))
}

// match returns the kinds of anomaly that found an incident: one of the kinds
// that the label names, at its time, on its KMS key or of its principal.
func (s *Show) match(l *generate.Label, explained map[string]bool) []string {
	start, end := l.Start.UTC().Format(time.RFC3339), l.End.UTC().Format(time.RFC3339)
	var by []string
	for id, a := range s.anomalies {
		same := l.KeyARN != "" && a.key == l.KeyARN || l.Principal != "" && a.principal == l.Principal
		if !same || a.end <= start || a.start >= end {
			continue
		}
		explained[id] = true
		if slices.Contains(l.Kinds, generate.Kind(a.kind)) && !slices.Contains(by, a.kind) {
			by = append(by, a.kind)
		}
	}
	slices.Sort(by)
	return by
}
