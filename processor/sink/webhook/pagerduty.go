package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// The bounds of an event (PagerDuty, Events API v2). The texts and lists are cut so that no
// event has more than 512 KB, which PagerDuty refuses.
const (
	pagerDutySummary = 1024
	pagerDutyKey     = 255
	pagerDutyText    = 1000
	pagerDutyList    = 20
)

const pagerDutyPath = "/v2/enqueue"

// pagerDutyFormat is one event per anomaly: a trigger, and a resolve after its end. The
// anomaly's id is the dedup_key, so both are about one incident.
type pagerDutyFormat struct {
	told   told
	key    setting.Secret
	client *httpsink.Client
	pause  time.Duration // pagerDutyPause; shorter in tests
}

// pagerDutyEvent is an event of the Events API v2.
type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"` // of a trigger
	Client     string            `json:"client,omitempty"`
}

type pagerDutyPayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp"`
	Component string         `json:"component,omitempty"`
	Group     string         `json:"group,omitempty"`
	Class     string         `json:"class,omitempty"`
	Details   map[string]any `json:"custom_details,omitempty"`
}

// pagerDutySeverities are PagerDuty's severities by rank.
var pagerDutySeverities = [...]string{"info", "info", "warning", "error", "critical"}

func (f *pagerDutyFormat) messages(ctx context.Context, batch []sink.Record, bad *sink.Rejected) (
	list []message, err error,
) {
	key, err := f.key.Read(ctx)
	if err != nil {
		return nil, unreadable("routing_key", err)
	}
	f.client.Hide("routing_key", key)
	for _, a := range gather(batch, bad) {
		if _, news := f.told.news(a); news {
			list = append(list, message{records: a.records, alerts: []*alert{a}, media: "application/json",
				content: encode(pagerDutyEventOf(a, key))})
		}
	}
	return list, nil
}

func pagerDutyEventOf(a *alert, key string) pagerDutyEvent {
	e := pagerDutyEvent{RoutingKey: key, Action: "resolve", DedupKey: cut(a.id, pagerDutyKey)}
	if a.ended {
		return e
	}
	e.Action, e.Client = "trigger", "Keytrail"
	e.Payload = &pagerDutyPayload{
		Summary: cut(a.title()+": "+a.reason, pagerDutySummary), Severity: pagerDutySeverities[a.rank],
		Source:    cut(cmp.Or(a.key, a.principal, a.account, "keytrail"), pagerDutyText),
		Timestamp: a.at.Format(time.RFC3339Nano), Component: cut(a.principal, pagerDutyText),
		Group: cut(strings.TrimSpace(a.account+" "+a.region), pagerDutyText), Class: cut(a.kind, pagerDutyText),
		Details: a.details(),
	}
	return e
}

// details are the properties of an anomaly for the body of an incident.
func (a *alert) details() map[string]any {
	details := map[string]any{"explain": cut(a.explain(), pagerDutyText)}
	for name, text := range map[string]string{
		"reason": a.reason, "detector": a.detector, "rule": a.rule, "severity": a.severity, "kms_key": a.key,
		"kms_key_arn": a.bound, "principal": a.principal, "account": a.account, "region": a.region,
		"began": a.began.Format(time.RFC3339), "window_start": a.start, "window_end": a.end,
	} {
		if text != "" {
			details[name] = cut(text, pagerDutyText)
		}
	}
	for name, n := range map[string]*float64{"observed": a.observed, "expected": a.expected} {
		if n != nil {
			details[name] = *n
		}
	}
	for name, texts := range map[string][]string{
		"contributors": a.contributors, "calls": a.calls, "techniques": a.techniques,
	} {
		var short []string
		for _, text := range texts[:min(len(texts), pagerDutyList)] {
			short = append(short, cut(text, pagerDutyText))
		}
		if short != nil {
			details[name] = short
		}
	}
	return details
}

func (f *pagerDutyFormat) done(m *message) { f.told.note(m.alerts[0]) }

// pagerDutyPause is how long a receiver is left alone that takes no more events and names
// no time: PagerDuty asks for minutes.
const pagerDutyPause = time.Minute

// judge reads the answer. A refusal for the routing key comes with the status 400, as one
// for the event does, and must not send events to the dead letter.
func (f *pagerDutyFormat) judge(a *httpsink.Answer) error {
	words := a.Words()
	switch about := strings.ToLower(words); {
	case a.Status == http.StatusBadRequest &&
		(strings.Contains(about, "routing_key") || strings.Contains(about, "routing key")):
		f.key.Forget()
		return &sink.Paused{Cause: sink.CauseCredentials, Err: fmt.Errorf("status %d: %s; set routing_key to the "+
			"integration key of an Events API v2 integration", a.Status, words)}
	case a.Status == http.StatusTooManyRequests:
		return &sink.Throttled{After: max(f.pause, httpsink.RetryAfter(a.Header, time.Now())),
			Err: fmt.Errorf("status %d: %s", a.Status, words)}
	case !a.OK():
		return a.Verdict(words)
	}
	var said struct {
		Status string `json:"status"`
	}
	if a.Status == http.StatusAccepted && json.Unmarshal(a.Body, &said) == nil && said.Status == "success" {
		return nil
	}
	return httpsink.NotProtocol("status %d, which is not an answer of the Events API v2: %s", a.Status, words)
}
