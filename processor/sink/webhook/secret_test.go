package webhook

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/sinktest"
)

// secretPath has secrets where Slack and Teams have theirs.
const secretPath = "/services/T0HUNTER2T0/B0HUNTER2B0/hunter2hunter2hunter2?sig=hunter2%2Bhunter2hunter2"

// TestURLIsSecret: whatever a receiver does, and however it repeats the URL, the error shows
// nothing of it.
func TestURLIsSecret(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"hang-up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "https://elsewhere.example"+r.URL.String())
			w.WriteHeader(http.StatusMovedPermanently)
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	}
	for _, code := range []int{200, 202, 400, 401, 404, 413, 429, 500, 501} {
		answers[fmt.Sprint(code)] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			fmt.Fprintf(w, "Cannot POST http://%s%s or %s, delivery failed: %s", r.Host, r.URL, r.URL.Path, r.URL.Query().Get("sig"))
		}
	}
	for name, answer := range answers {
		server := httptest.NewServer(answer)
		for _, sourced := range []bool{false, true} {
			url := setting.NewSecret(server.URL + secretPath)
			if sourced {
				file := filepath.Join(t.TempDir(), "url")
				if err := os.WriteFile(file, []byte(server.URL+secretPath+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				url = setting.SecretOf([]setting.Part{{File: file}}, "", nil)
			}
			generic, slack, teams := DefaultConfig(), DefaultSlack(), DefaultTeams()
			generic.URL, slack.URL, teams.URL = url, url, url
			generic.Timeout, slack.Timeout, teams.Timeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
			for _, c := range []sink.Config{&generic, &slack, &teams} {
				err := opened(t, c).Deliver(t.Context(), sinktest.Batch("a"))
				if err == nil {
					if _, ok := c.(*Config); !ok || name[0] != '2' {
						t.Errorf("%s: %T takes it for a delivery", name, c)
					}
					continue
				}
				if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
					t.Errorf("%s: the error shows the secret: %v", name, err)
				}
			}
		}
		server.Close()
	}
}

// TestURLProblems: an error about a URL does not show it, whenever it is found.
func TestURLProblems(t *testing.T) {
	for url, want := range map[string]string{
		"":                                       "url: is missing",
		"://hunter2":                             "is not a URL",
		"ftp://siem/hunter2":                     "does not begin with https://",
		"https:///hunter2":                       "names no host",
		"https://user:hunter2@siem":              "put credentials into headers",
		"https://siem/#hunter2":                  "holds a fragment",
		"http://siem.example/hunter2":            "without TLS",
		"https://siem.example/hunter2\x7fhunter": "is not a URL",
	} {
		c := DefaultConfig()
		c.URL = setting.NewSecret(url)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q gives %v, want %q", url, err, want)
		}
		file := filepath.Join(t.TempDir(), "url")
		if err := os.WriteFile(file, []byte(url), 0o600); err != nil {
			t.Fatal(err)
		}
		c.URL = setting.SecretOf([]setting.Part{{File: file}}, "", nil)
		if err := c.Validate(); err != nil {
			t.Errorf("a URL in a file: %v", err)
		}
		err = opened(t, &c).Deliver(t.Context(), sinktest.Batch("a"))
		if got := sinktest.Verdict(err); !strings.HasPrefix(got, "paused ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q in a file gives %v", url, err)
		}
	}
}

func TestValidate(t *testing.T) {
	f := func(c sink.Config, want string) {
		t.Helper()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	generic := func(change func(*Config)) *Config {
		c := hookAt("https://siem.example/x", FramingSingle)
		change(c)
		return c
	}
	f(generic(func(c *Config) { c.SigningSecret = setting.NewSecret("hunter2") }), "signing_secret: is not a signing secret")
	f(generic(func(c *Config) { c.SigningSecret = setting.NewSecret("whsec_aHVudGVyMg==") }), "24 to 64 random bytes")
	f(generic(func(c *Config) { c.Body = "xml" }), `body: "xml" is not allowed`)
	f(generic(func(c *Config) { c.Framing = "lines" }), `framing: "lines" is not allowed; allowed: single, array, ndjson`)
	f(generic(func(c *Config) { c.Framing, c.Body = FramingArray, "cef" }), "framing: array does not fit the body cef")
	f(generic(func(c *Config) { c.Framing, c.Body = FramingNDJSON, "otlp" }), "framing: ndjson does not fit the body otlp")
	f(generic(func(c *Config) { c.Headers = map[string]setting.Secret{"Webhook-Id": setting.NewSecret("x")} }), "this header is set by the sink")
	f(generic(func(c *Config) { c.Insecure = true }), "insecure: true does not apply")
	slack := DefaultSlack()
	slack.URL, slack.Interval = setting.NewSecret("https://hooks.slack.com/services/x"), time.Millisecond
	f(&slack, "interval: 1ms is out of range")
	pd := DefaultPagerDuty()
	f(&pd, "routing_key: is missing")
	pd.RoutingKey = setting.NewSecret("hunter2")
	f(&pd, "routing_key: has 7 characters")
	pd.Endpoint = "https://events.pagerduty.com/v2/enqueue"
	f(&pd, "ends with /v2/enqueue")
	am := DefaultAlertmanager()
	am.Endpoint, am.Expires = "http://127.0.0.1:9093", 0
	am.Labels = map[string]string{"a.b": "x", "severity": "x", "team": ""}
	for _, want := range []string{`labels.a.b: "a.b" is not the name`, "labels.severity: this label is set by the sink",
		"labels.team: is empty", "expires: 0s is out of range"} {
		f(&am, want)
	}
}
