package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/store"
)

// Settings configure stage web. They are plain data.
type Settings struct {
	// Listen is the address of the page. Beyond this machine it needs TLS, or Insecure behind
	// a proxy that encrypts, and a token.
	Listen string `yaml:"listen"`
	// Path is the file of the page's history, which Keytrail fills again when it is deleted.
	Path string `yaml:"path"`
	// Retention and MaxBytes are those of store.Limits.
	Retention time.Duration `yaml:"retention"`
	MaxBytes  setting.Size  `yaml:"max_bytes"`
	// Hosts are the names, beside localhost, under which browsers may open the page.
	Hosts []string `yaml:"hosts"`
	// PublicURL is the address under which people open the page, such as
	// "https://keytrail.internal". Anomalies link to it, and browsers may open the page under
	// its host. All processes that detect need it.
	PublicURL string `yaml:"public_url"`
	// CertFile and KeyFile are PEM files of the page's certificate and its key. They are read
	// again for each connection, so they can be renewed.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// Insecure allows an address beyond this machine without TLS.
	Insecure bool `yaml:"insecure"`
	// Viewers and Analysts are the tokens of people and programs by their names. Viewers see
	// windows and anomalies, analysts also search events and read them. A token is the
	// password that the browser asks for, or follows "Authorization: Bearer". It has 20
	// characters or more, and is read when the stage starts.
	Viewers  map[string]setting.Secret `yaml:"viewers"`
	Analysts map[string]setting.Secret `yaml:"analysts"`
}

// DefaultSettings serve the page on this machine only, without tokens.
func DefaultSettings() Settings {
	limits := store.DefaultLimits()
	return Settings{Listen: "127.0.0.1:8321", Path: "/var/lib/keytrail/history.db", Retention: limits.Retention,
		MaxBytes: setting.Size(limits.Bytes), Hosts: []string{}, Viewers: map[string]setting.Secret{},
		Analysts: map[string]setting.Secret{}}
}

// Validate returns setting.Problems that name the settings that cannot be used.
func (s Settings) Validate() error {
	var p setting.Problems
	host, port, err := net.SplitHostPort(s.Listen)
	if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" {
		p.Add("listen", `%q is not an address; want a host and a port such as "127.0.0.1:8321"`, s.Listen)
	} else if !isLoopback(host) {
		if s.CertFile == "" && !s.Insecure {
			p.Add("listen", "%q is beyond this machine without TLS; set cert_file and key_file, or insecure: true behind a "+
				"proxy", s.Listen)
		}
		if len(s.Viewers)+len(s.Analysts) == 0 {
			p.Add("listen", "%q is beyond this machine, and everybody there could read the trail; set viewers or analysts",
				s.Listen)
		}
	}
	if s.Path == "" {
		p.Add("path", "is missing; want a file such as %q", DefaultSettings().Path)
	}
	setting.Between(&p, "retention", s.Retention, time.Hour, 10*365*24*time.Hour)
	setting.Between(&p, "max_bytes", s.MaxBytes, 16<<20, 1<<40)
	if s.Insecure && s.CertFile != "" {
		p.Add("insecure", "true does not apply with cert_file; leave it out")
	}
	if (s.CertFile == "") != (s.KeyFile == "") {
		p.Add("cert_file", "cert_file and key_file belong together; set both or none")
	}
	for i, name := range s.Hosts {
		if name == "" || strings.ContainsAny(name, ":/ ") {
			p.Add(fmt.Sprintf("hosts[%d]", i), `%q is not a host name; want one such as "keytrail.internal", without a port`,
				name)
		}
	}
	if u, err := url.Parse(s.PublicURL); s.PublicURL != "" && (err != nil || u.Host == "" || u.User != nil ||
		u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery+u.Fragment != "") {
		p.Add("public_url", `%q is not the address of the page; want one such as "https://keytrail.internal"`, s.PublicURL)
	}
	for name := range s.Viewers {
		if _, both := s.Analysts[name]; both {
			p.Add("viewers."+name, "is also among the analysts; a name has one role")
		}
	}
	return p.Err()
}

// Listener listens, with TLS if it is set.
func (s Settings) Listener() (net.Listener, error) {
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the page on %q: %w", s.Listen, err)
	}
	if s.CertFile == "" {
		return l, nil
	}
	pair := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		own, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use web.cert_file %q with web.key_file %q: %w", s.CertFile, s.KeyFile, err)
		}
		return &own, nil
	}
	if _, err := pair(nil); err != nil {
		l.Close()
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: pair}), nil
}

// Access returns who may use the page. It reads the tokens, and names one that is too short.
func (s Settings) Access(ctx context.Context) (*Access, error) {
	a := &Access{hosts: slices.Clone(s.Hosts)}
	if u, err := url.Parse(s.PublicURL); err == nil && u.Hostname() != "" {
		a.hosts = append(a.hosts, u.Hostname())
	}
	for _, role := range []Role{Viewer, Analyst} {
		tokens := map[Role]map[string]setting.Secret{Viewer: s.Viewers, Analyst: s.Analysts}[role]
		for _, name := range slices.Sorted(maps.Keys(tokens)) {
			token, err := tokens[name].Read(ctx)
			if err == nil && len(token) < leastToken {
				err = fmt.Errorf("it has %d characters; want %d or more, such as openssl rand -hex 32 prints", len(token),
					leastToken)
			}
			if err != nil {
				return nil, fmt.Errorf("cannot use the token of %q in web.%ss: %w", name, role, err)
			}
			u := user{name, role, sha256.Sum256([]byte(token))}
			for _, other := range a.users {
				if other.token == u.token {
					return nil, fmt.Errorf("%q and %q have the same token in web; each needs its own", other.name, name)
				}
			}
			a.users = append(a.users, u)
		}
	}
	return a, nil
}

// Role is what a token allows.
type Role string

// The roles. A viewer sees windows and anomalies, an analyst also searches and reads events.
const (
	Viewer  Role = "viewer"
	Analyst Role = "analyst"
)

// leastToken is the least length of a token: 20 characters of hexadecimal digits have 80 bits.
const leastToken = 20

// Access says who may use the page. It is safe for concurrent use.
type Access struct {
	hosts []string
	users []user
}

type user struct {
	name  string
	role  Role
	token [sha256.Size]byte // a digest: its comparison tells nothing of the token
}

// local is everybody on this machine where no tokens are set.
var local = user{name: "local", role: Analyst}

// user returns who sent a request.
func (a *Access) user(r *http.Request) (found user, ok bool) {
	if len(a.users) == 0 {
		return local, true
	}
	_, password, _ := r.BasicAuth()
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token := sha256.Sum256([]byte(cmp.Or(password, bearer)))
	for _, u := range a.users {
		if subtle.ConstantTimeCompare(token[:], u.token[:]) == 1 {
			found, ok = u, true
		}
	}
	return found, ok
}

// admit reports whether the sender of a request may have it, and answers if not. It writes to
// the log who reads which events of a trail, and from where.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) bool {
	u, ok := s.access.user(r)
	events := strings.HasPrefix(r.URL.Path, "/api/v1/event")
	switch {
	case !ok:
		w.Header().Set("WWW-Authenticate", `Basic realm="Keytrail", charset="UTF-8"`)
		if r.Header.Get("Authorization") != "" {
			s.cfg.Log.Warn("audit: the page refused a token", "from", r.RemoteAddr, "path", r.URL.Path)
		}
		fail(w, http.StatusUnauthorized, "no_token", "the page needs a token: write it as the password")
	case events && u.role != Analyst:
		s.cfg.Log.Warn("audit: the page refused events to a viewer", "user", u.name, "from", r.RemoteAddr,
			"path", r.URL.Path)
		fail(w, http.StatusForbidden, "not_analyst", "viewers do not search or read events: use the token of an analyst")
	default:
		if events {
			s.cfg.Log.Info("audit: events were read", "user", u.name, "role", u.role, "from", r.RemoteAddr,
				"path", r.URL.Path, "query", r.URL.RawQuery)
		}
		return true
	}
	return false
}

// isLoopback reports whether host is this machine's own name or address.
func isLoopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
