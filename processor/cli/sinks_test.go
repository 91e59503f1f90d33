package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// says checks that a command succeeded and that standard output has all the texts.
func says(t *testing.T, o outcome, texts ...string) {
	t.Helper()
	o.wants(t, 0)
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("stdout lacks %q:\n%s", text, o.stdout)
		}
	}
}

// "sinks list" names every type with its protocols and bodies.
func TestSinksList(t *testing.T) {
	says(t, keytrail(t, nil, "sinks", "list"), "TYPE", "otlp", "OTLP protobuf", "file", "local file")
}

// "sinks test" sends one marked record with the credentials, says what the receiver answered,
// and shows no secret.
func TestSinksTest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2-good" {
			http.Error(w, "no such token: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	folder := t.TempDir()
	token, out := filepath.Join(folder, "token"), filepath.Join(folder, "out.ndjson")
	file := write(t, filepath.Join(folder, "k.yaml"), fmt.Sprintf("resource: {service.name: trail-of-keys}\nsinks:\n"+
		"  - {name: siem, type: otlp, endpoint: %q, headers: {Authorization: \"Bearer ${file:%s}\"}}\n"+
		"  - {name: archive, type: file, path: %q}\n", server.URL, token, out))
	test := func(name string) outcome { return keytrail(t, nil, "sinks", "test", name, "-c", file) }
	test("siem").wants(t, 1, `sink "siem" did not take the test record`, "cannot read a secret", token)
	write(t, token, "hunter2-good\n")
	says(t, test("siem"), "sink siem took the test record keytrail-test-")
	write(t, token, "hunter2-bad\n")
	p := test("siem")
	p.wants(t, 1, "paused (credentials)", "status 401: no such token")
	if strings.Contains(p.stderr, "hunter2") {
		t.Errorf("the error shows the secret: %s", p.stderr)
	}
	says(t, test("archive"), "sink archive took the test record")
	content, err := os.ReadFile(out)
	for _, want := range []string{"KeytrailSinkTest", "trail-of-keys"} {
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("the file lacks %s: %s (%v)", want, content, err)
		}
	}
	test("sien").wants(t, 2, `has no sink "sien"`, "did you mean siem?", "its sinks: siem, archive")
	keytrail(t, nil, "sinks", "test").wants(t, 2, "needs the NAME")
}

// "sinks test" sends an anomaly to the sinks that take nothing else, and its end to those
// that wait for one. No output shows the secrets of their addresses.
func TestSinksTestNotifiers(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.Path+" "+string(content))
		switch r.URL.Path {
		case "/slack/hunter2hunter2":
			_, _ = io.WriteString(w, "ok")
		case "/v2/enqueue":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"status":"success"}`)
		case "/teams/hunter2hunter2":
			http.Error(w, "no such path: "+r.URL.String(), http.StatusNotFound)
		}
	}))
	defer server.Close()
	file := write(t, filepath.Join(t.TempDir(), "k.yaml"), fmt.Sprintf("sinks:\n"+
		"  - {name: slack, type: slack, url: \"%[1]s/slack/hunter2hunter2\"}\n"+
		"  - {name: teams, type: teams, url: \"%[1]s/teams/hunter2hunter2?sig=hunter2\"}\n"+
		"  - {name: pager, type: pagerduty, endpoint: %[1]q, routing_key: hunter2hunter2hunter2hunter2hunt}\n"+
		"  - {name: alerts, type: alertmanager, endpoint: %[1]q}\n", server.URL))
	for name, want := range map[string][]string{
		"slack":  {"/slack/hunter2hunter2 *low rule: KeytrailSinkTest"},
		"pager":  {`/v2/enqueue "trigger"`, `/v2/enqueue "resolve"`},
		"alerts": {`/api/v2/alerts "KeytrailAnomaly"`, `/api/v2/alerts "KeytrailAnomaly"`},
	} {
		got = nil
		says(t, keytrail(t, nil, "sinks", "test", name, "-c", file), "sink "+name+" took the test record keytrail-test-")
		if len(got) != len(want) {
			t.Fatalf("%s: %d requests: %q", name, len(got), got)
		}
		for i, request := range got {
			if path, text, _ := strings.Cut(want[i], " "); !strings.HasPrefix(request, path+" ") || !strings.Contains(request, text) {
				t.Errorf("%s: request %d is %s, want %s", name, i, request, want[i])
			}
		}
	}
	p := keytrail(t, nil, "sinks", "test", "teams", "-c", file)
	p.wants(t, 1, "paused (address)", "status 404: no such path: [redacted]")
	if strings.Contains(p.stderr+p.stdout, "hunter2") {
		t.Errorf("the error shows the secret: %s", p.stderr)
	}
	printed := keytrail(t, nil, "config", "print", "-c", file)
	if says(t, printed, "type: slack", "[redacted]"); strings.Contains(printed.stdout, "hunter2") {
		t.Errorf("config print shows a secret:\n%s", printed.stdout)
	}
}
