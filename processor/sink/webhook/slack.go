package webhook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// Slack's bounds (Slack API documentation, "Block Kit", and "Formatting text for app
// surfaces").
const (
	slackText    = 3000 // characters in a text of a section or a context
	slackHeader  = 150  // characters in a header
	slackBlocks  = 50
	slackMessage = 100 << 10 // bytes; mostListed anomalies need less
)

// slackFormat is a message of Block Kit for an incoming webhook.
type slackFormat struct{ chat }

func newSlack() *slackFormat {
	return &slackFormat{chat{write: slackMessageOf, most: slackMessage}}
}

// slackObject is a text object.
type slackObject struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim,omitempty"` // makes no links of names and addresses
}

// slackBlock is a block: a header or a section with Text, or a context with Elements.
type slackBlock struct {
	Type     string        `json:"type"`
	Text     *slackObject  `json:"text,omitempty"`
	Elements []slackObject `json:"elements,omitempty"`
}

// slackMessageOf returns the message of a digest: its headline, two blocks per anomaly, and
// what is not listed. The member text is for notifications.
func slackMessageOf(d *digest) any {
	var blocks []slackBlock
	section := func(text string) {
		blocks = append(blocks, slackBlock{Type: "section", Text: &slackObject{"mrkdwn", text, true}})
	}
	if len(d.alerts) > 1 {
		text := escapeSlack(d.headline(), slackHeader)
		blocks = append(blocks, slackBlock{Type: "header", Text: &slackObject{"plain_text", text, false}})
	}
	for _, a := range d.alerts[:d.listed] {
		section("*" + escapeSlack(a.title(), 200) + "*\n" + escapeSlack(a.reason, slackText-500))
		var facts []string
		for _, f := range a.facts() {
			facts = append(facts, escapeSlack(f[0], 100)+" `"+strings.ReplaceAll(escapeSlack(f[1], 300), "`", "'")+"`")
		}
		text := strings.Join(facts, "  ")
		if a.id != "" {
			text += "\n`" + escapeSlack(strings.ReplaceAll(a.explain(), "`", "'"), 100) + "`"
		}
		blocks = append(blocks, slackBlock{Type: "context", Elements: []slackObject{{"mrkdwn", text, true}}})
	}
	if text, command := d.rest(); text != "" {
		section(text + "\n`" + command + "`")
	}
	fallback := d.headline()
	if len(d.alerts) == 1 {
		fallback += ": " + d.alerts[0].reason
	}
	return map[string]any{"text": escapeSlack(fallback, slackText), "blocks": blocks}
}

// escapeSlack returns text as one line without control sequences of Slack, which are
// between < and >. The result has at most limit bytes, and so at most as many characters.
func escapeSlack(text string, limit int) string {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	for room := limit; ; room -= 50 {
		if out := escape(cut(text, max(room, 3))); len(out) <= limit || room < 50 {
			return out
		}
	}
}

// slackRevoked are the words of a refusal that is about the webhook, not about a message
// (Slack API documentation, "Sending messages using incoming webhooks", "Handling errors").
var slackRevoked = []string{"invalid_token", "token_revoked", "no_service", "no_service_id", "no_active_hooks",
	"no_team", "team_disabled", "action_prohibited"}

// judge reads the answer: a word, whose meaning goes before the status. Only "ok" is a
// success.
func (*slackFormat) judge(a *httpsink.Answer) error {
	word := strings.TrimSpace(string(a.Body))
	switch {
	case slices.Contains(slackRevoked, word):
		a.Forget()
		return &sink.Paused{Cause: sink.CauseCredentials,
			Err: fmt.Errorf("status %d: %s; the webhook was removed or disabled: set url to a new one", a.Status, word)}
	case !a.OK():
		return a.Verdict(a.Words())
	case a.Status == http.StatusOK && word == "ok":
		return nil
	}
	return httpsink.NotProtocol("status %d without the word ok, which is not an answer of a Slack webhook: %s",
		a.Status, a.Words())
}
