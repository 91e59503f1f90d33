package web

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"keytrail/processor/internal/certs"
	"keytrail/processor/setting"
)

const (
	seeing  = "viewer-token-of-20-characters"
	reading = "analyst-token-of-20-characters"
)

// TestAccess: with tokens nobody gets anything without one, a viewer gets no call, and each
// call that is read is in the log with the name of its reader, and never with a token.
func TestAccess(t *testing.T) {
	dir := t.TempDir()
	authority, err := certs.New("authority", filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s := DefaultSettings()
	s.Listen, s.Hosts, s.PublicURL = "127.0.0.1:0", []string{"keys.internal"}, "https://public.internal:8443"
	s.CertFile, s.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	s.Viewers = map[string]setting.Secret{"vera": setting.NewSecret(seeing)}
	s.Analysts = map[string]setting.Secret{"anna": setting.NewSecret(reading)}
	if err := authority.Sign("page", s.CertFile, s.KeyFile, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	access, err := s.Access(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.Listener()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server, err := New(Config{Store: history(t), Access: access, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(t.Context(), l) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // of a test's own server
	defer client.CloseIdleConnections()
	for i, c := range []struct {
		path, user, password, bearer, host string
		want                               int
	}{
		{path: "/", want: 401},
		{path: "/assets/none.js", want: 401},
		{path: "/api/v1/overview", want: 401},
		{path: "/api/v1/overview", user: "vera", password: seeing + "x", want: 401},
		{path: "/api/v1/overview", bearer: "x", want: 401},
		{path: "/", user: "anybody", password: seeing, want: 200},
		{path: "/api/v1/overview", bearer: seeing, want: 200},
		{path: "/api/v1/overview", bearer: seeing, host: "keys.internal", want: 200},
		{path: "/api/v1/overview", bearer: seeing, host: "KEYS.internal:443", want: 200},
		{path: "/api/v1/overview", bearer: seeing, host: "public.internal:8443", want: 200},
		{path: "/api/v1/overview", bearer: seeing, host: "evil.example", want: 421},
		{path: "/api/v1/events", bearer: seeing, want: 403},
		{path: "/api/v1/event?object=0&offset=1", bearer: seeing, want: 403},
		{path: "/api/v1/events", bearer: reading, want: 200},
		{path: "/api/v1//events", bearer: seeing, want: 403}, // redirected to its clean path
		{path: "/api/v1/stream", want: 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+l.Addr().String()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.bearer != "" {
			r.Header.Set("Authorization", "Bearer "+c.bearer)
		} else if c.user != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		r.Host = c.host
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("%d: %s answers %d, want %d: %.200s", i, c.path, answer.StatusCode, c.want, body)
		}
		if challenge := answer.Header.Get("WWW-Authenticate"); (challenge != "") != (c.want == 401) {
			t.Errorf("%d: the challenge is %q", i, challenge)
		}
	}
	for _, want := range []string{"audit: events were read", "user=anna", "audit: the page refused events to a viewer", "user=vera",
		"audit: the page refused a token"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), seeing) || strings.Contains(log.String(), reading) {
		t.Errorf("the log has a token:\n%s", log.String())
	}
}

// TestSettings: what other machines can reach needs TLS or a proxy, and tokens that nobody
// guesses.
func TestSettings(t *testing.T) {
	token := map[string]setting.Secret{"anna": setting.NewSecret(reading)}
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string // "" if it can be used
	}{
		"defaults":   {func(*Settings) {}, ""},
		"beyond":     {func(s *Settings) { s.Listen, s.Analysts = "0.0.0.0:8321", token }, "without TLS"},
		"no token":   {func(s *Settings) { s.Listen, s.Insecure = "10.0.0.1:8321", true }, "set viewers or analysts"},
		"proxy":      {func(s *Settings) { s.Listen, s.Insecure, s.Analysts = "[::]:8321", true, token }, ""},
		"no port":    {func(s *Settings) { s.Listen = "127.0.0.1" }, "not an address"},
		"any host":   {func(s *Settings) { s.Listen = ":8321" }, "not an address"},
		"both":       {func(s *Settings) { s.CertFile, s.KeyFile, s.Insecure = "c.pem", "k.pem", true }, "does not apply"},
		"half TLS":   {func(s *Settings) { s.CertFile = "c.pem" }, "belong together"},
		"host":       {func(s *Settings) { s.Hosts = []string{"https://keys.internal"} }, "not a host name"},
		"public":     {func(s *Settings) { s.PublicURL = "https://keys.internal/" }, ""},
		"no scheme":  {func(s *Settings) { s.PublicURL = "keys.internal" }, "not the address"},
		"a view":     {func(s *Settings) { s.PublicURL = "https://keys.internal/anomaly?id=" }, "not the address"},
		"a script":   {func(s *Settings) { s.PublicURL = "javascript://keys.internal" }, "not the address"},
		"two roles":  {func(s *Settings) { s.Viewers, s.Analysts = token, token }, "has one role"},
		"no file":    {func(s *Settings) { s.Path = "" }, "is missing"},
		"small file": {func(s *Settings) { s.MaxBytes = 1 << 20 }, "out of range"},
	} {
		s := DefaultSettings()
		c.change(&s)
		if err := fmt.Sprint(s.Validate()); (err == "<nil>") != (c.want == "") || !strings.Contains(err, c.want) {
			t.Errorf("%s: %s, want %q", name, err, c.want)
		}
	}
	s := DefaultSettings()
	s.Viewers = map[string]setting.Secret{"vera": setting.NewSecret("hunter2")}
	if _, err := s.Access(t.Context()); err == nil || !strings.Contains(err.Error(), `"vera" in web.viewers`) ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short token: %v", err)
	}
	s.Viewers = map[string]setting.Secret{"vera": setting.NewSecret(reading)}
	s.Analysts = token
	if _, err := s.Access(t.Context()); err == nil || !strings.Contains(err.Error(), `"vera" and "anna" have the same token`) {
		t.Errorf("one token in two roles: %v", err)
	}
}
