package webhook

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// teamsMessage bounds a message: Teams refuses more than 28 KB, and the workflow adds to it.
const teamsMessage = 27 << 10

// teamsFormat is an adaptive card in the envelope that the workflow "When a Teams webhook
// request is received" takes.
type teamsFormat struct{ chat }

func newTeams() *teamsFormat { return &teamsFormat{chat{write: teamsMessageOf, most: teamsMessage}} }

// cardElement is an element of an adaptive card. RichTextBlock shows its texts as they are,
// while other elements would take Markdown, such as links, from them.
type cardElement struct {
	Type      string    `json:"type"`
	Spacing   string    `json:"spacing,omitempty"`
	Separator bool      `json:"separator,omitempty"`
	Inlines   []textRun `json:"inlines"`
}

type textRun struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Weight   string `json:"weight,omitempty"`
	Size     string `json:"size,omitempty"`
	Color    string `json:"color,omitempty"`
	FontType string `json:"fontType,omitempty"`
	Subtle   bool   `json:"isSubtle,omitempty"`
}

// cardColors are the colors of severities by rank.
var cardColors = [...]string{"Default", "Default", "Warning", "Attention", "Attention"}

// teamsMessageOf returns the card of a digest.
func teamsMessageOf(d *digest) any {
	var elements []cardElement
	block := func(e cardElement, runs ...textRun) {
		e.Type, e.Inlines = "RichTextBlock", slices.DeleteFunc(runs, func(r textRun) bool { return r.Text == "" })
		for i := range e.Inlines {
			e.Inlines[i].Type = "TextRun"
		}
		if len(e.Inlines) > 0 {
			elements = append(elements, e)
		}
	}
	block(cardElement{}, textRun{Text: cut(d.headline(), 300), Weight: "Bolder", Size: "Medium"})
	for _, a := range d.alerts[:d.listed] {
		if len(d.alerts) > 1 {
			block(cardElement{Separator: true}, textRun{Text: a.title(), Weight: "Bolder", Color: cardColors[a.rank]})
		}
		block(cardElement{Spacing: "Small"}, textRun{Text: cut(a.reason, 1500)})
		for _, f := range a.facts() {
			block(cardElement{Spacing: "None"}, textRun{Text: f[0] + "  ", Subtle: true}, textRun{Text: cut(f[1], 300)})
		}
		if a.id != "" {
			block(cardElement{Spacing: "None"}, textRun{Text: cut(a.explain(), 100), FontType: "Monospace"})
		}
	}
	if text, command := d.rest(); text != "" {
		block(cardElement{Separator: true}, textRun{Text: text})
		block(cardElement{Spacing: "None"}, textRun{Text: command, FontType: "Monospace"})
	}
	card := map[string]any{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": elements, "msteams": map[string]any{"width": "Full"},
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card}}}
}

// judge reads the answer of a workflow, or of one of the old connectors: these answer with
// success and the error of Teams behind them.
func (*teamsFormat) judge(a *httpsink.Answer) error {
	if err := verdict(a); err != nil {
		return err
	}
	if words := a.Words(); strings.Contains(words, "delivery failed") || strings.Contains(words, "HTTP error") {
		err := fmt.Errorf("status %d: %s", a.Status, words)
		if strings.Contains(words, "413") {
			return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: err}
		}
		return &sink.Throttled{After: httpsink.RetryAfter(a.Header, time.Now()), Err: err}
	}
	return nil
}
