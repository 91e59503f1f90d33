package search

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
)

// Settings say where documents go and how. They are the same for both receivers.
type Settings struct {
	httpsink.Settings `yaml:",inline"`
	// Username and Password are for basic authentication.
	Username string         `yaml:"username"`
	Password setting.Secret `yaml:"password"`
	// APIKey is an encoded API key, and Token a bearer token. At most one of the three ways
	// is used.
	APIKey setting.Secret `yaml:"api_key"`
	Token  setting.Secret `yaml:"token"`
	// Body is the form of a document: one of Bodies (default "json").
	Body  string `yaml:"body"`
	Index Index  `yaml:"index"`
	Keep  Keep   `yaml:"keep"`
}

// Keep says for how long the policies of "keytrail sinks setup" keep an index after it was
// made; 0 keeps it without end. It is plain data: safe for concurrent use.
type Keep struct {
	Events    time.Duration `yaml:"events"`    // default 90 days
	Windows   time.Duration `yaml:"windows"`   // default 400 days
	Anomalies time.Duration `yaml:"anomalies"` // default 400 days
	Incidents time.Duration `yaml:"incidents"` // default 400 days
}

// OpenSearch is the Config of sinks to OpenSearch.
type OpenSearch struct {
	Settings `yaml:",inline"`
}

// Elasticsearch is the Config of sinks to Elasticsearch.
type Elasticsearch struct {
	Settings `yaml:",inline"`
}

// DefaultOpenSearch returns an OpenSearch that lacks an Endpoint only.
func DefaultOpenSearch() OpenSearch { return OpenSearch{defaults()} }

// DefaultElasticsearch returns an Elasticsearch that lacks an Endpoint only.
func DefaultElasticsearch() Elasticsearch { return Elasticsearch{defaults()} }

const day = 24 * time.Hour

func defaults() Settings {
	return Settings{Settings: httpsink.DefaultSettings(60 * time.Second), Body: "json",
		Index: Index{Prefix: "keytrail", Events: Day, Windows: Month, Anomalies: Month, Incidents: Month},
		Keep:  Keep{Events: 90 * day, Windows: 400 * day, Anomalies: 400 * day, Incidents: 400 * day}}
}

// Bodies returns the forms that a document can have: those with a member @timestamp.
func Bodies() []string { return []string{"json", "ecs"} }

// prefixes are the names that an index may begin with. Elasticsearch and OpenSearch allow
// more; all of these need no escape in a URL.
var prefixes = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)

// taken begin the names for which Elasticsearch has templates that make data streams.
var taken = []string{"logs-", "metrics-", "synthetics-", "traces-", "profiling-"}

// Validate returns setting.Problems that name the settings that cannot be used.
func (c *Settings) Validate() error {
	var p setting.Problems
	c.Check(&p, "/_bulk", "authorization")
	ways := 0
	for _, used := range []bool{c.Username != "" || isSet(c.Password), isSet(c.APIKey), isSet(c.Token)} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		p.Add("username", "username with password, api_key and token are three ways to log in; set one of them")
	}
	if (c.Username == "") != !isSet(c.Password) {
		p.Add("username", "username and password belong together; set both or none")
	}
	if strings.Contains(c.Username, ":") {
		p.Add("username", "%q has a colon, which basic authentication does not allow (RFC 7617)", c.Username)
	}
	setting.OneOf(&p, "body", c.Body, Bodies()...)
	prefix := c.Index.Prefix
	if !prefixes.MatchString(prefix) {
		p.Add("index.prefix", "%q is not allowed; want 1 to 100 of the characters a-z 0-9 . _ -, first a letter or digit",
			prefix)
	}
	for _, name := range taken {
		if strings.HasPrefix(prefix+"-", name) {
			p.Add("index.prefix", "%q begins names for which Elasticsearch has its own templates; write another prefix", prefix)
		}
	}
	setting.OneOf(&p, "index.events", c.Index.Events, Day, Month, Stream)
	setting.OneOf(&p, "index.windows", c.Index.Windows, Day, Month)
	setting.OneOf(&p, "index.anomalies", c.Index.Anomalies, Day, Month)
	setting.OneOf(&p, "index.incidents", c.Index.Incidents, Day, Month)
	for _, k := range kinds {
		if keep := c.Keep.of(k); keep != 0 {
			setting.Between(&p, "keep."+k, keep, day, 100*365*day)
		}
	}
	return p.Err()
}

// kinds are all kinds of documents.
var kinds = []string{kindEvents, kindWindows, kindAnomalies, kindIncidents}

// of returns for how long indices of a kind are kept.
func (k *Keep) of(kind string) time.Duration {
	switch kind {
	case kindWindows:
		return k.Windows
	case kindAnomalies:
		return k.Anomalies
	case kindIncidents:
		return k.Incidents
	}
	return k.Events
}

func isSet(s setting.Secret) bool { return s.Reveal() != "" || s.Sourced() }

// Open returns a Sink for the cluster that c names. It reads the files of c.TLS and opens no
// connection.
func (c *OpenSearch) Open(sink.Identity) (sink.Sink, error) { return c.open() }

// Open returns a Sink for the cluster that c names. It reads the files of c.TLS and opens no
// connection.
func (c *Elasticsearch) Open(sink.Identity) (sink.Sink, error) { return c.open() }

func (c *Settings) open() (sink.Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("cannot make a sink: %w", err)
	}
	s, err := newSink(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Output returns "": the sink writes no file.
func (*Settings) Output() string { return "" }

// auth is how the sink logs in.
type auth struct {
	scheme   string // of the header Authorization; "" for none
	username string // of the scheme Basic
	secret   setting.Secret
}

func (c *Settings) auth() auth {
	switch {
	case c.Username != "":
		return auth{"Basic", c.Username, c.Password}
	case isSet(c.APIKey):
		return auth{"ApiKey", "", c.APIKey}
	case isSet(c.Token):
		return auth{"Bearer", "", c.Token}
	}
	return auth{}
}

// header returns the headers with the credentials, which are read each time.
func (a *auth) header(ctx context.Context) (map[string]setting.Secret, error) {
	if a.scheme == "" {
		return nil, nil
	}
	text, err := a.secret.Read(ctx)
	if err != nil {
		return nil, err
	}
	if a.scheme == "Basic" {
		text = base64.StdEncoding.EncodeToString([]byte(a.username + ":" + text))
	}
	return map[string]setting.Secret{"Authorization": setting.NewSecret(a.scheme + " " + text)}, nil
}

// forget has the next request read credentials again that come from a command.
func (a *auth) forget() { a.secret.Forget() }
