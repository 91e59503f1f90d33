package webhook

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/schemas/body"
)

// timeout bounds one request by default: the Standard Webhooks specification recommends 15
// to 30 s.
const timeout = 30 * time.Second

// Config is that of the type webhook.
type Config struct {
	httpsink.Hook `yaml:",inline"`
	// SigningSecret is the key of the signatures, "whsec_" and base64; none without it. The
	// text may hold two keys, the new and the old one, with a blank between them.
	SigningSecret setting.Secret `yaml:"signing_secret"`
	// Body is the form of a record: one of Bodies (default "json").
	Body    string  `yaml:"body"`
	Framing Framing `yaml:"framing"` // default FramingSingle
}

// DefaultConfig returns a Config that lacks a URL only.
func DefaultConfig() Config {
	return Config{Hook: hook(), Body: "json", Framing: FramingSingle}
}

// hook returns the settings of a receiver that may not read compressed requests.
func hook() httpsink.Hook {
	return httpsink.Hook{Connection: httpsink.Connection{Compression: httpsink.CompressionNone, Timeout: timeout,
		Headers: map[string]setting.Secret{}}}
}

// Bodies returns the forms that a record can have.
func Bodies() []string { return body.Names() }

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Config) Validate() error {
	var p setting.Problems
	c.Check(&p, headerID, headerTime, headerSignature)
	if _, err := parseKeys(c.SigningSecret.Reveal()); err != nil && c.SigningSecret.Reveal() != setting.Redacted {
		p.Add("signing_secret", "%v", err)
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	setting.OneOf(&p, "framing", c.Framing, FramingSingle, FramingArray, FramingNDJSON)
	if media := body.ContentType(c.Body); c.Framing == FramingArray && media != "application/json" ||
		c.Framing == FramingNDJSON && media == "application/x-protobuf" {
		p.Add("framing", "%s does not fit the body %s; write framing: single, or another body", c.Framing, c.Body)
	}
	return p.Err()
}

// Open returns a Sink. It reads the files of c.TLS and opens no connection.
func (c *Config) Open(sink.Identity) (sink.Sink, error) {
	return open(c.Validate(), c.Hook.Open, func(client *httpsink.Client) *Sink {
		return &Sink{client: client, turn: sink.Turn, format: &genericFormat{body: c.Body, framing: c.Framing,
			secret: c.SigningSecret, client: client, now: time.Now}}
	})
}

// Output returns "": the sink writes no file.
func (*Config) Output() string { return "" }

// open makes a Sink of a Client. err is the problem of the settings, if any.
func open(err error, client func() (*httpsink.Client, error), sinkOf func(*httpsink.Client) *Sink) (
	sink.Sink, error,
) {
	if err != nil {
		return nil, fmt.Errorf("cannot make a webhook sink: %w", err)
	}
	to, err := client()
	if err != nil {
		return nil, err
	}
	return sinkOf(to), nil
}

// Chat are the settings of a sink that writes into a channel.
type Chat struct {
	httpsink.Hook `yaml:",inline"`
	// Interval is the shortest time between two messages, from 1 s (default 1 m).
	// Anomalies that come meanwhile are one message.
	Interval time.Duration `yaml:"interval"`
}

// Slack is the Config of the type slack.
type Slack struct {
	Chat `yaml:",inline"`
}

// Teams is the Config of the type teams, of Microsoft Teams.
type Teams struct {
	Chat `yaml:",inline"`
}

// DefaultSlack returns a Slack that lacks a URL only.
func DefaultSlack() Slack { return Slack{Chat{Hook: hook(), Interval: time.Minute}} }

// DefaultTeams returns a Teams that lacks a URL only.
func DefaultTeams() Teams { return Teams{Chat{Hook: hook(), Interval: time.Minute}} }

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Chat) Validate() error {
	var p setting.Problems
	c.Check(&p)
	setting.Between(&p, "interval", c.Interval, time.Second, time.Hour)
	return p.Err()
}

// Open returns a Sink. It reads the files of c.TLS and opens no connection.
func (c *Slack) Open(sink.Identity) (sink.Sink, error) { return c.open(newSlack()) }

// Open returns a Sink. It reads the files of c.TLS and opens no connection.
func (c *Teams) Open(sink.Identity) (sink.Sink, error) { return c.open(newTeams()) }

func (c *Chat) open(f format) (sink.Sink, error) {
	return open(c.Validate(), c.Hook.Open, func(client *httpsink.Client) *Sink {
		return &Sink{client: client, turn: sink.Turn, format: f, pace: &pace{every: c.Interval}}
	})
}

// Output returns "": the sink writes no file.
func (*Chat) Output() string { return "" }

// Ends returns false: a message stays as it is. See sink.Notifier.
func (*Chat) Ends() bool { return false }

// PagerDuty is the Config of the type pagerduty. The path /v2/enqueue is added to Endpoint.
type PagerDuty struct {
	httpsink.Settings `yaml:",inline"`
	// RoutingKey is the integration key of an Events API v2 integration.
	RoutingKey setting.Secret `yaml:"routing_key"`
}

// DefaultPagerDuty returns a PagerDuty that lacks a RoutingKey only.
func DefaultPagerDuty() PagerDuty {
	return PagerDuty{Settings: httpsink.Settings{Endpoint: "https://events.pagerduty.com", Connection: hook().Connection}}
}

var routingKey = regexp.MustCompile(`^[A-Za-z0-9]{32}$`)

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *PagerDuty) Validate() error {
	var p setting.Problems
	c.Check(&p, pagerDutyPath)
	switch key := c.RoutingKey.Reveal(); {
	case c.RoutingKey.Sourced() || key == setting.Redacted:
	case key == "":
		p.Add("routing_key", "is missing; want the integration key of an Events API v2 integration, such as ${PAGERDUTY_KEY}")
	case !routingKey.MatchString(key):
		p.Add("routing_key", "has %d characters or others than letters and digits; an integration key has 32 of these",
			len(key))
	}
	return p.Err()
}

// Open returns a Sink. It reads the files of c.TLS and opens no connection.
func (c *PagerDuty) Open(sink.Identity) (sink.Sink, error) {
	return open(c.Validate(), c.Settings.Open, func(client *httpsink.Client) *Sink {
		return &Sink{client: client, turn: sink.Turn, path: pagerDutyPath,
			format: &pagerDutyFormat{key: c.RoutingKey, client: client, pause: pagerDutyPause}}
	})
}

// Output returns "": the sink writes no file.
func (*PagerDuty) Output() string { return "" }

// Ends returns true: an incident is resolved. See sink.Notifier.
func (*PagerDuty) Ends() bool { return true }

// Alertmanager is the Config of the type alertmanager. The path /api/v2/alerts is added to
// Endpoint.
type Alertmanager struct {
	httpsink.Settings `yaml:",inline"`
	// Labels are added to every alert, for routes.
	Labels map[string]string `yaml:"labels"`
	// Expires is how long after its last revision an open anomaly ends by itself (default
	// 24 h).
	Expires time.Duration `yaml:"expires"`
}

// DefaultAlertmanager returns an Alertmanager that lacks an Endpoint only.
func DefaultAlertmanager() Alertmanager {
	return Alertmanager{Settings: httpsink.Settings{Connection: hook().Connection}, Labels: map[string]string{},
		Expires: 24 * time.Hour}
}

// label is the form of a label's name that every version of Alertmanager takes.
var label = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// mostLabels bounds Alertmanager.Labels.
const mostLabels = 32

// ownLabels are those that the sink sets.
var ownLabels = []string{"alertname", "anomaly_id", "kind", "detector", "severity", "scope", "kms_key", "principal",
	"account", "region"}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Alertmanager) Validate() error {
	var p setting.Problems
	c.Check(&p, alertmanagerPath)
	if len(c.Labels) > mostLabels {
		p.Add("labels", "%d labels are too many; allowed: %d", len(c.Labels), mostLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		switch {
		case !label.MatchString(name):
			p.Add("labels."+name, "%q is not the name of a label; write letters, digits and _, and no digit first", name)
		case slices.Contains(ownLabels, name):
			p.Add("labels."+name, "this label is set by the sink; not allowed: %s", strings.Join(ownLabels, ", "))
		case c.Labels[name] == "":
			p.Add("labels."+name, "is empty; write a value, or remove the label")
		}
	}
	setting.Between(&p, "expires", c.Expires, time.Minute, 30*24*time.Hour)
	return p.Err()
}

// Open returns a Sink. It reads the files of c.TLS and opens no connection.
func (c *Alertmanager) Open(sink.Identity) (sink.Sink, error) {
	return open(c.Validate(), c.Settings.Open, func(client *httpsink.Client) *Sink {
		return &Sink{client: client, turn: sink.Turn, path: alertmanagerPath, format: &alertmanagerFormat{labels: c.Labels,
			expires: c.Expires, now: time.Now}}
	})
}

// Output returns "": the sink writes no file.
func (*Alertmanager) Output() string { return "" }

// Ends returns true: an alert is resolved. See sink.Notifier.
func (*Alertmanager) Ends() bool { return true }
