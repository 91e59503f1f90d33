package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"keytrail/processor/sigma"
	"keytrail/schemas/cloud"
	"keytrail/schemas/decoding"
	"keytrail/schemas/printable"
)

// Trial tries rules on a sample of events. It is not safe for concurrent use.
type Trial struct {
	rules   *sigma.Rules
	matcher *sigma.Matcher
	counter sigma.Counter
	found   []ruleMatches // by Rule.Index
	shown   int           // ids that are kept of each rule
	seen    map[string]struct{}

	Calls, Duplicates int // of the sample
	Outside           int // calls that are not of KMS or a trail, which the stages do not see
}

// ruleMatches are the matches of one rule.
type ruleMatches struct {
	n, outside int
	ids        []string
}

// maxSample bounds the calls of a sample: their ids are kept, 300 MB of them.
const maxSample = 3_000_000

// NewTrial returns a Trial of rules that shows up to shown calls of each.
func NewTrial(rules *sigma.Rules, shown int) *Trial {
	return &Trial{rules: rules, matcher: rules.NewMatcher(), shown: shown, found: make([]ruleMatches, len(rules.List)),
		seen: map[string]struct{}{}}
}

// Event matches the event that in has read. The error is a *decoding.BadRecord for an event
// without a usable time; any other one ends the trial.
func (t *Trial) Event(in cloud.Reader) error {
	call, err := in.Call()
	if err != nil {
		return err
	}
	if _, had := t.seen[call.ID]; had {
		t.Duplicates++
		return nil
	}
	if len(t.seen) == maxSample {
		return fmt.Errorf("the sample has more than %d calls; take a smaller one", maxSample)
	}
	id := strings.Clone(call.ID)
	t.seen[id] = struct{}{}
	t.Calls++
	outside := call.Filter != decoding.Kept
	if outside {
		t.Outside++
	}
	from := in.Origin()
	result, err := t.matcher.Match(from.Raw)
	if err != nil {
		return fmt.Errorf("%s: record %d: %w", from.Object, from.Index, err)
	}
	for _, r := range result.Hits {
		m := &t.found[r.Index]
		if m.n++; outside {
			m.outside++
		}
		if len(m.ids) < t.shown {
			m.ids = append(m.ids, id)
		}
	}
	for i := range result.Observations {
		if err := t.counter.Add(&result.Observations[i], call.Time); err != nil {
			return err
		}
	}
	return nil
}

// ruleLine is one rule as JSON.
type ruleLine struct {
	Rule ruleFacts `json:"rule"`
	// Silent rules are not findings: correlations count them.
	Silent  bool     `json:"silent"`
	Matches int      `json:"matches"`
	Outside int      `json:"outside"` // matches in events that are not of KMS or a trail
	Calls   []string `json:"calls"`
}

type ruleFacts struct {
	ID         string   `json:"id"`
	Title      string   `json:"title"`
	Level      string   `json:"level"`
	Score      float64  `json:"score"`
	Techniques []string `json:"techniques"`
	File       string   `json:"file"`
	Line       int      `json:"line"`
}

// correlationLine is one correlation as JSON.
type correlationLine struct {
	Correlation ruleFacts    `json:"correlation"`
	Type        string       `json:"type"`
	Timespan    string       `json:"timespan"`
	Firings     []firingLine `json:"firings"`
}

type firingLine struct {
	Start string            `json:"start"`
	End   string            `json:"end"`
	Count int64             `json:"count"`
	Group map[string]string `json:"group"`
}

func facts(m *sigma.Meta) ruleFacts {
	return ruleFacts{m.ID, m.Title, m.Level.String(), m.Level.Score(), append([]string{}, m.Techniques...), m.File, m.Line}
}

// JSON prints each rule and each correlation as one line.
func (t *Trial) JSON(out *bufio.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i, r := range t.rules.List {
		m := &t.found[i]
		if err := e.Encode(ruleLine{facts(&r.Meta), r.Silent, m.n, m.outside, append([]string{}, m.ids...)}); err != nil {
			return err
		}
	}
	lines := make([]correlationLine, len(t.rules.Correlations))
	for i, c := range t.rules.Correlations {
		lines[i] = correlationLine{facts(&c.Meta), c.Kind.String(), time.Duration(c.Timespan).String(), []firingLine{}}
	}
	for _, f := range t.counter.Firings() {
		l := firingLine{stamp(f.Start), stamp(f.End), f.Count, map[string]string{}}
		for i, value := range f.Correlation.Values(f.Group) {
			l.Group[f.Correlation.GroupBy[i]] = value
		}
		lines[f.Correlation.Index].Firings = append(lines[f.Correlation.Index].Firings, l)
	}
	for i := range lines {
		if err := e.Encode(&lines[i]); err != nil {
			return err
		}
	}
	_, err := out.Write(b.Bytes())
	return err
}

// Table prints the matches for a person; sampled means that there was a sample. A write
// that fails comes back from the flush at the end.
func (t *Trial) Table(out *bufio.Writer, sampled bool) {
	fmt.Fprintf(out, "%7s  %-13s  %s\n", "MATCHES", "LEVEL", "RULE")
	for i, r := range t.rules.List {
		m, note := &t.found[i], ""
		if r.Silent {
			note = ", only counted by correlations"
		}
		fmt.Fprintf(out, "%7s  %-13s  %s\n", tried(m.n, sampled), r.Level,
			printable.Text(fmt.Sprintf("%s (%s:%d%s)", r.Title, r.File, r.Line, note)))
		if len(m.ids) > 0 {
			fmt.Fprintf(out, "%25s%s\n", "", printable.Text(strings.Join(m.ids, " ")))
		}
	}
	if len(t.rules.Correlations) == 0 {
		return
	}
	firings := make([][]sigma.Firing, len(t.rules.Correlations))
	for _, f := range t.counter.Firings() {
		firings[f.Correlation.Index] = append(firings[f.Correlation.Index], f)
	}
	fmt.Fprintf(out, "%7s  %-13s  %s\n", "FIRINGS", "LEVEL", "CORRELATION")
	for i, c := range t.rules.Correlations {
		fmt.Fprintf(out, "%7s  %-13s  %s\n", tried(len(firings[i]), sampled), c.Level,
			printable.Text(fmt.Sprintf("%s (%s:%d)", c.Title, c.File, c.Line)))
		for j, f := range firings[i] {
			if j == t.shown {
				break
			}
			fmt.Fprintf(out, "%25s%s to %s: %d  %s\n", "", stamp(f.Start), stamp(f.End), f.Count,
				printable.Text(strings.Join(c.Values(f.Group), " ")))
		}
	}
}

// tried is a number, or a hyphen without a sample.
func tried(n int, sampled bool) string {
	if !sampled {
		return "-"
	}
	return fmt.Sprint(n)
}
