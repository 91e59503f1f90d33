package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// standIn is a strict stand-in for a receiver that cannot be had for tests. It refuses what
// the documentation of the receiver says that it refuses, and more: members that the
// documentation does not name.
type standIn struct {
	url   string
	check func(content []byte) error // what the receiver requires of a message

	mu     sync.Mutex
	answer func(n int, content []byte) string // "status body" instead of taking; "" takes
	took   string                             // the answer to a message that it takes
	header map[string]string                  // of answers
	seen   []*http.Request
	taken  [][]byte // the messages
}

func newStandIn(t *testing.T, took string, check func([]byte) error) *standIn {
	t.Helper()
	h := &standIn{took: took, check: check}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, r)
	for name, text := range h.header {
		w.Header().Set(name, text)
	}
	said := h.took
	if err := h.check(content); err != nil {
		said = "400 " + err.Error()
	} else if r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
		said = "415 " + r.Method + " " + r.Header.Get("Content-Type")
	}
	if h.answer != nil {
		if instead := h.answer(len(h.seen), content); instead != "" {
			said = instead
		}
	}
	status, body, _ := strings.Cut(said, " ")
	code := 0
	if _, err := fmt.Sscan(status, &code); err != nil {
		panic(http.ErrAbortHandler)
	}
	if code/100 == 2 {
		h.taken = append(h.taken, content)
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

// strictly decodes JSON without members that v lacks.
func strictly(content []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// control finds control sequences of Slack and entities other than the three allowed ones.
var control = regexp.MustCompile(`[<>]|&(?:[^alg]|a[^m]|l[^t]|g[^t]|$)`)

// slackTaken is what Slack requires (Block Kit reference: message, header, section, context).
func slackTaken(content []byte) error {
	type object struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Verbatim bool   `json:"verbatim"`
	}
	var m struct {
		Text   string `json:"text"`
		Blocks []struct {
			Type     string   `json:"type"`
			Text     *object  `json:"text"`
			Elements []object `json:"elements"`
		} `json:"blocks"`
	}
	if err := strictly(content, &m); err != nil {
		return fmt.Errorf("invalid_payload %w", err)
	}
	if m.Text == "" || control.MatchString(m.Text) || len(m.Blocks) > 50 {
		return fmt.Errorf("no_text: %q, %d blocks", m.Text, len(m.Blocks))
	}
	for _, b := range m.Blocks {
		texts, limit := b.Elements, 3000
		if b.Text != nil {
			texts = append(texts, *b.Text)
		}
		ok := len(texts) == 1
		switch b.Type {
		case "header":
			limit = 150
			ok = ok && texts[0].Type == "plain_text" && !texts[0].Verbatim
		case "section":
			ok = ok && b.Text != nil && texts[0].Type == "mrkdwn"
		case "context":
			ok = ok && b.Text == nil && texts[0].Type == "mrkdwn"
		default:
			ok = false
		}
		if !ok || texts[0].Text == "" || utf8.RuneCountInString(texts[0].Text) > limit || control.MatchString(texts[0].Text) {
			text := texts[0].Text
			return fmt.Errorf("invalid_blocks: %s with %d texts, %d characters, %q", b.Type, len(texts),
				utf8.RuneCountInString(text), control.FindString(text))
		}
	}
	return nil
}

// teamsTaken is what Teams requires: the envelope of a workflow, a card of version 1.5 or
// older, and at most 28 KB.
func teamsTaken(content []byte) error {
	type run struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Weight   string `json:"weight"`
		Size     string `json:"size"`
		Color    string `json:"color"`
		FontType string `json:"fontType"`
		Subtle   bool   `json:"isSubtle"`
	}
	var m struct {
		Type        string `json:"type"`
		Attachments []struct {
			ContentType string  `json:"contentType"`
			ContentURL  *string `json:"contentUrl"`
			Content     struct {
				Schema  string `json:"$schema"`
				Type    string `json:"type"`
				Version string `json:"version"`
				MSTeams struct {
					Width string `json:"width"`
				} `json:"msteams"`
				Body []struct {
					Type      string `json:"type"`
					Spacing   string `json:"spacing"`
					Separator bool   `json:"separator"`
					Inlines   []run  `json:"inlines"`
				} `json:"body"`
			} `json:"content"`
		} `json:"attachments"`
	}
	if err := strictly(content, &m); err != nil {
		return err
	}
	if len(content) > 28<<10 {
		return fmt.Errorf("the message has %d bytes", len(content))
	}
	if m.Type != "message" || len(m.Attachments) != 1 {
		return fmt.Errorf("type %q with %d attachments", m.Type, len(m.Attachments))
	}
	card := m.Attachments[0]
	if card.ContentType != "application/vnd.microsoft.card.adaptive" || card.Content.Type != "AdaptiveCard" ||
		card.Content.Version > "1.5" || len(card.Content.Body) == 0 {
		return fmt.Errorf("not a card: %+v", card)
	}
	for _, e := range card.Content.Body {
		if e.Type != "RichTextBlock" || len(e.Inlines) == 0 {
			return fmt.Errorf("not an element: %+v", e)
		}
		for _, r := range e.Inlines {
			if r.Type != "TextRun" || r.Text == "" {
				return fmt.Errorf("not a run: %+v", r)
			}
		}
	}
	return nil
}

const testKey = "0123456789abcdef0123456789abcdef"

// pagerDutyTaken is what PagerDuty requires (Events API v2).
func pagerDutyTaken(content []byte) error {
	var e struct {
		RoutingKey string `json:"routing_key"`
		Action     string `json:"event_action"`
		DedupKey   string `json:"dedup_key"`
		Client     string `json:"client"`
		Payload    *struct {
			Summary   string         `json:"summary"`
			Source    string         `json:"source"`
			Severity  string         `json:"severity"`
			Timestamp string         `json:"timestamp"`
			Component string         `json:"component"`
			Group     string         `json:"group"`
			Class     string         `json:"class"`
			Details   map[string]any `json:"custom_details"`
		} `json:"payload"`
	}
	if err := strictly(content, &e); err != nil {
		return err
	}
	switch {
	case e.RoutingKey != testKey:
		return fmt.Errorf("Invalid routing key")
	case len(content) > 512<<10:
		return fmt.Errorf("the event has %d bytes", len(content))
	case len(e.DedupKey) > 255:
		return fmt.Errorf("a dedup_key of %d characters", len(e.DedupKey))
	case e.Action == "resolve" && e.DedupKey != "" && e.Payload == nil:
		return nil
	case e.Action != "trigger" || e.Payload == nil:
		return fmt.Errorf("action %q, payload %v", e.Action, e.Payload)
	}
	p := e.Payload
	if _, err := time.Parse(time.RFC3339Nano, p.Timestamp); err != nil || p.Summary == "" || p.Source == "" ||
		utf8.RuneCountInString(p.Summary) > 1024 || !strings.Contains(" critical error warning info ", " "+p.Severity+" ") {
		return fmt.Errorf("payload %+v: %w", p, err)
	}
	return nil
}

const pagerDutyTook = `202 {"status":"success","message":"Event processed","dedup_key":"x"}`

// alertmanagerTaken is what Alertmanager requires (its OpenAPI specification, and the
// validation behind it, of version 0.25).
func alertmanagerTaken(content []byte) error {
	var list []amAlert
	if err := strictly(content, &list); err != nil {
		return err
	}
	for _, a := range list {
		if a.Labels["alertname"] == "" || !a.EndsAt.After(a.StartsAt) {
			return fmt.Errorf("labels %v, from %v to %v", a.Labels, a.StartsAt, a.EndsAt)
		}
		for _, set := range []map[string]string{a.Labels, a.Annotations} {
			for name, text := range set {
				if !label.MatchString(name) || text == "" || !utf8.ValidString(text) {
					return fmt.Errorf("invalid label set: %q=%q", name, text)
				}
			}
		}
	}
	return nil
}
