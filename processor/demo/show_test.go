package demo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"keytrail/processor/generate"
	"keytrail/processor/screen"
	"keytrail/processor/stream"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

const user = "arn:aws:iam::111122223333:user/\x1b[2Jeve\r\n"

// shown returns a Show with n anomalies, the last of them first, and its output.
func shown(n int, live bool) (*Show, *bytes.Buffer) {
	out := new(bytes.Buffer)
	s := NewShow(screen.NewOutput(out, func() {}), live, "http://127.0.0.1:1/")
	for i := range n {
		at := time.Date(2026, 3, 1, 9, 5*(n-i), 0, 0, time.UTC)
		rec := &otellog.Record{EventName: semconv.EventKeytrailAnomaly}
		add := func(key, v string) {
			rec.Attrs = append(rec.Attrs, otellog.Attr{Key: key, Kind: otellog.KindString, Str: v})
		}
		add(semconv.KeytrailAnomalyID, fmt.Sprintf("%032d", i))
		add(semconv.KeytrailAnomalyKind, "rate")
		add(semconv.KeytrailAnomalySeverity, []string{"low", "medium", "high", "critical", "\x1b[31m"}[i%5])
		add(semconv.KeytrailPrincipalID, user)
		add(semconv.KeytrailWindowStart, at.Format(time.RFC3339))
		add(semconv.KeytrailWindowEnd, at.Add(5*time.Minute).Format(time.RFC3339))
		add(semconv.KeytrailAnomalyReason, user+" made 41 calls where 0.83 are expected "+strings.Repeat("鍵", i))
		slices.SortFunc(rec.Attrs, func(a, b otellog.Attr) int { return strings.Compare(a.Key, b.Key) })
		s.anomaly(rec)
	}
	return s, out
}

// The live screen fits every terminal, and no name of a record controls it.
func TestScreenFits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		s, _ := shown(rng.IntN(40), true)
		s.Line("a note: %s", strings.Repeat("long ", 50))
		s.Progress(1, 3, stream.PublishCounts{Received: 1 << 60})
		m := &picture{show: s, interrupt: func() {}}
		width, height := 20+rng.IntN(150), 5+rng.IntN(50)
		m.Update(tea.WindowSizeMsg{Width: width, Height: height})
		for range rng.IntN(50) {
			m.Update(tea.KeyPressMsg{Code: []rune{tea.KeyUp, tea.KeyDown, tea.KeyDown, tea.KeyEnter}[rng.IntN(4)]})
		}
		lines := m.lines()
		if len(lines) > height {
			t.Fatalf("%d lines on %d", len(lines), height)
		}
		for _, line := range lines {
			if screen.Fit(line, width) != line || strings.ContainsAny(line, "\x1b\r\n") || !utf8.ValidString(line) {
				t.Fatalf("on %d columns: %q", width, line)
			}
		}
		if n := len(s.found); n > 0 && height > 20 && !strings.Contains(strings.Join(lines, "\n"), "> 03-01") {
			t.Fatalf("the selected one of %d is not shown on %d lines:\n%s", n, height, strings.Join(lines, "\n"))
		}
	}
}

// The selected anomaly shows its ARN and its id; q asks to end, once.
func TestScreenInFull(t *testing.T) {
	s, _ := shown(3, true)
	asked := 0
	m := &picture{show: s, interrupt: func() { asked++ }, width: 100, height: 40}
	s.screen.Color = true
	brief := strings.Join(m.lines(), "\n")
	if strings.Contains(brief, "arn:aws") || !strings.Contains(brief, "\x1b[33mmedium\x1b[0m") {
		t.Errorf("%q", brief)
	}
	m.Update(tea.KeyPressMsg{Code: tea.KeyDown})
	m.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
	if whole := strings.Join(m.lines(), "\n"); !strings.Contains(whole, "arn:aws:iam::111122223333:user/") || !strings.Contains(whole, fmt.Sprintf("id %032d", 1)) {
		t.Errorf("%q", whole)
	}
	if m.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); asked != 1 {
		t.Errorf("q asks %d times", asked)
	}
}

var row = regexp.MustCompile(`(?m)^2026-03-01 \d\d:\d\dZ`)

// The verdict begins with the anomalies in the order of time and fits 80 columns. A silence
// belongs to the attack that causes it.
func TestVerdict(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	for _, live := range []bool{false, true} {
		judge(t, live)
	}
}

func judge(t *testing.T, live bool) {
	s, out := shown(20, live)
	at := time.Date(2026, 3, 1, 9, 10, 0, 0, time.UTC)
	label := func(scenario string, at time.Time, kind generate.Kind) generate.Label {
		return generate.Label{Scenario: scenario, Kinds: []generate.Kind{kind}, Principal: user, Start: at, End: at.Add(time.Minute),
			Note: strings.Repeat("a note of many words ", 9)}
	}
	labels := []generate.Label{label("burst", at, generate.KindRate), label("stopped", at, generate.KindRate),
		label("stopped", at, generate.KindSilence), label("other", at, generate.KindRule)}
	s.Verdict(labels, "")
	text := out.String()
	times := row.FindAllString(text, -1)
	if !live && len(times) != 20 || !slices.IsSorted(times) {
		t.Errorf("%d anomalies, in order: %v", len(times), slices.IsSorted(times))
	}
	for _, line := range strings.Split(text, "\n") {
		if screen.Fit(line, 80) != line || strings.Contains(line, "\x1b") {
			t.Errorf("%q", line)
		}
	}
	for _, want := range []string{"2 of 3 planted incidents found; 20 anomalies in all,", "missed",
		"keytrail explain 000000000000 --from demo/siem.ndjson"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if n := Incidents(labels); n != 3 {
		t.Errorf("%d incidents", n)
	}
}
