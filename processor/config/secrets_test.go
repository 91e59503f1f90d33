package config

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"keytrail/processor/sink/otlphttp"
)

// templates are configurations with places for a value of the environment.
var templates = []string{
	"kafka: {brokers: [127.0.0.1:9092], tls: {enabled: true}, sasl: {mechanism: OAUTHBEARER, token_url: \"https://login.example/@\", username: me, password: \"${S}\"}}",
	"kafka: {brokers: [127.0.0.1:9092], tls: {enabled: true}, sasl: {mechanism: OAUTHBEARER, token_url: \"http://login.example/token?key=@\", username: me, password: p}}",
	"kafka: {brokers: [\"@\"]}", "kafka: {client_id: \"@\"}", "kafka: {prefix: \"@\"}", "kafka: {replication: \"@\"}",
	"kafka: {tls: {enabled: true, ca_file: \"@\"}}", "kafka: {tls: {enabled: true}, sasl: {mechanism: PLAIN, username: \"@\", password: \"@\"}}",
	"kafka: {sasl: {mechanism: \"@\"}}", "stages: [\"@\"]", "window: {size: \"@\"}", "window: {rollups: [\"@\"]}", "decode: {record_bytes: \"@\"}", "decode: {body: \"@\"}",
	"self_principals: [\"@\", \"@\"]", "rules: {sigma: [\"@\"]}", "detect: {threshold: \"@\"}", "telemetry: {listen: \"@\"}",
	"detect: {allow: [{key: \"@\", why: \"@\", until: \"@\"}]}",
	"sinks: [{name: siem, type: otlp, endpoint: \"https://intake.example/@\"}]",
	"sinks: [{name: siem, type: otlp, endpoint: \"https://@.example/\"}]",
	"sinks: [{name: siem, type: otlp, endpoint: \"https://me:@@intake.example/\"}]",
	"sinks: [{name: siem, type: otlp, endpoint: \"@\"}]", "sinks: [{name: \"@\", type: otlp, endpoint: \"https://x.example\"}]", "sinks: [{name: x, type: \"@\"}]",
	"sinks: [{name: siem, type: otlp, endpoint: \"https://x.example\", headers: {Authorization: \"Bearer @\", X-Mixed: \"a@b@\"}}]",
	"sinks: [{name: archive, type: file, path: \"archive/@\"}]",
	"sinks: [{name: chat, type: slack, url: \"https://hooks.slack.com/services/@\"}]",
	"sinks: [{name: chat, type: teams, url: \"@\"}]", "sinks: [{name: chat, type: webhook, url: \"https://siem.example/?sig=@\", signing_secret: \"@\"}]",
	"sinks: [{name: pager, type: pagerduty, routing_key: \"@\"}]", "sinks: [{name: a, type: alertmanager, endpoint: \"https://a.example\", labels: {a: \"@\"}}]",
}

// secretValue makes a value that appears nowhere by chance.
func secretValue(rng *rand.Rand) string {
	letters := []rune(`abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=%&?#:@ "\'<>é鍵_-`)
	var b strings.Builder
	for range 8 + rng.IntN(40) {
		b.WriteRune(letters[rng.IntN(len(letters))])
	}
	return strings.TrimSpace(b.String()) + "Zq7"
}

// written are the forms in which a secret may appear.
func written(secret string) []string {
	j, _ := json.Marshal(secret)
	return []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(strconv.Quote(secret), `"`), string(j[1 : len(j)-1]),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))}
}

func showsNone(t *testing.T, where, text, secret string) {
	t.Helper()
	for _, form := range written(secret) {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the value as %q:\n%s", where, form, text)
		}
	}
}

// Wherever a value of the environment is interpolated, neither the printed configuration
// nor an error shows it, and the printed form reads back to the same.
func TestInterpolatedValuesAreNotShown(t *testing.T) {
	good := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		secret := secretValue(rng)
		env := func(string) (string, bool) { return secret, true }
		for _, template := range templates {
			text := strings.ReplaceAll(template, "@", "${S}")
			text = strings.ReplaceAll(text, "${S}${S}intake", "${S}@intake")
			c, err := parse("keytrail.yaml", []byte(text), env)
			if err != nil {
				showsNone(t, "the error about "+text, err.Error(), secret)
				continue
			}
			good++
			out := printed(t, c)
			showsNone(t, "config print of "+text, out, secret)
			back, err := parse("printed", []byte(out), env)
			if err != nil {
				t.Fatalf("cannot read back %s: %v", out, err)
			}
			if again := printed(t, back); again != out {
				t.Errorf("%s reads back as\n%s", out, again)
			}
			s := c.Secrets()
			for _, form := range written(secret) {
				said := fmt.Sprintf("Post %q: refused; got %s (%s)", "https://x.example/"+form, form, base64.StdEncoding.EncodeToString([]byte("user:"+secret)))
				showsNone(t, "a client's error about "+text, s.Clean(said), secret)
				if strings.Contains(s.Clean(said), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("user:" + secret))[8:], "=")) {
					t.Errorf("%s: the value is seen within base64", text)
				}
			}
		}
	}
	if good < 300 {
		t.Errorf("%d configurations were good: this tests too little", good)
	}
}

// Errors of net/http about an endpoint do not show the value, however short it is.
func TestErrorsOfClients(t *testing.T) {
	for _, secret := range []string{"x", "ab", "hunter2", "with space", "a/b?c=d&e", "pässwörd%20", `quo"te`} {
		env := func(string) (string, bool) { return secret, true }
		c, err := parse("keytrail.yaml", []byte("sinks: [{name: siem, type: otlp, endpoint: \"http://127.0.0.1:1/intake/${S}\"}]"), env)
		if err != nil {
			showsNone(t, "the error", err.Error(), secret)
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // the client's error needs no connection
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Sinks[0].To.(*otlphttp.Config).Endpoint+"/v1/logs", nil)
		if err == nil {
			_, err = http.DefaultClient.Do(r)
		}
		if err == nil {
			t.Fatal("no error")
		}
		got := c.Secrets().Clean(err.Error())
		if !strings.Contains(got, "/intake/${S}") {
			t.Errorf("%q: the error %q becomes %q", secret, err, got)
		}
	}
}

// A short value is not hidden alone: that would garble all output.
func TestShortValuesAreNoWords(t *testing.T) {
	env := func(string) (string, bool) { return "count", true }
	c, err := parse("keytrail.yaml", []byte("stages: [\"${STAGE}\"]"), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Secrets().Clean("count: state restored"); got != "count: state restored" {
		t.Errorf("a log line becomes %q", got)
	}
	if out := printed(t, c); !strings.Contains(out, "stages: ['${STAGE}']") {
		t.Errorf("printed %s", out)
	}
}

// Secrets in the file itself stay out of errors and logs as well.
func TestLiteralSecrets(t *testing.T) {
	c, err := parse("keytrail.yaml", []byte("sinks: [{name: siem, type: otlp, endpoint: \"https://x.example\", headers: {Authorization: \"Splunk abc-def-123\"}}]"), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Secrets().Clean(`refused: token "abc-def-123"`); got != `refused: token "[redacted]"` {
		t.Errorf("got %q", got)
	}
}

// "$${" before "file:" or "command:" stands for the characters themselves, and a reference
// behind it is still one.
func TestEscapedSources(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t0ken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]string{
		"$${file:/no/such/file}":                 "${file:/no/such/file}",
		"$${command:false}x":                     "${command:false}x",
		"$${file:${file:" + token + "}}":         "${file:t0ken}",
		"${file:" + token + "}$${file:x}":        "t0ken${file:x}",
		"$$${file:x}":                            "$${file:x}",
		"a$${command:x}${file:" + token + "}$$b": "a${command:x}t0ken$$b",
	} {
		text := fmt.Sprintf("sinks: [{name: siem, type: otlp, endpoint: \"https://x.example\", headers: {X-Token: %q}}]", raw)
		c, err := parse("keytrail.yaml", []byte(text), lookup)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got, err := c.Sinks[0].To.(*otlphttp.Config).Headers["X-Token"].Read(t.Context())
		if got != want || err != nil {
			t.Errorf("%s: got %q (%v), want %q", raw, got, err, want)
		}
	}
}
