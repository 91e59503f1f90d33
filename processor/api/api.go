// Package api is the read-only HTTP interface of a running process: /api/v1, described by
// openapi.yaml, and pages for people at /debug. Any process shows the whole installation.
//
// It speaks plain HTTP without authentication and contains no event data. Its responses say
// which hosts, stages and sinks there are, so it belongs on loopback or behind a proxy, like
// the metrics.
package api

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"time"

	"keytrail/processor/status"
)

// The prefixes that Handler serves.
const (
	Prefix = "/api/"
	Debug  = "/debug/"
)

//go:embed openapi.yaml
var openAPI []byte

// Build describes the program.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // with "+changes" after it when files were not committed; "unknown"
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Format   int    `json:"format"` // of what Keytrail stores: wire.FormatVersion
	Schema   string `json:"schema"` // of log records
}

// Options configure a Handler.
type Options struct {
	Build Build
	Table *status.Table
	// Hosts are the names beside localhost under which browsers may reach the server. Any
	// address is allowed: a page of another site can only use a name that it makes resolve to
	// this server (DNS rebinding).
	Hosts []string
	Pprof bool // serve /debug/pprof/ to clients on this machine
	Now   func() time.Time
}

// mostRequests bounds the requests that are answered at the same time.
const mostRequests = 8

// server answers requests. It is safe for concurrent use.
type server struct {
	Options
	slots chan struct{}
	mux   *http.ServeMux
}

// Handler returns the handler of Prefix and Debug.
func Handler(o Options) http.Handler {
	s := &server{Options: o, slots: make(chan struct{}, mostRequests), mux: http.NewServeMux()}
	for _, r := range routes {
		s.mux.HandleFunc("GET "+r.path, func(w http.ResponseWriter, req *http.Request) { r.serve(s, w, req) })
		s.mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "method_not_allowed",
				fmt.Sprintf("%s is read-only; use GET or HEAD, not %s", req.URL.Path, req.Method))
		})
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		refuse(w, http.StatusNotFound, "not_found",
			fmt.Sprintf("%s does not exist; /api/v1/openapi.yaml lists all paths", req.URL.Path))
	})
	if o.Pprof {
		s.profiles()
	}
	return s
}

// route is one path of the interface.
type route struct {
	path  string
	serve func(*server, http.ResponseWriter, *http.Request)
}

// routes are the paths that openapi.yaml describes.
var routes = []route{
	{"/api/v1/status", (*server).status},
	{"/api/v1/processes/{id}", (*server).process},
	{"/api/v1/version", (*server).version},
	{"/api/v1/openapi.yaml", (*server).openAPI},
	{"/debug/pipeline", (*server).pipeline},
}

// ServeHTTP checks what is common to all requests.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.knownHost(r.Host):
		refuse(w, http.StatusMisdirectedRequest, "unknown_host", fmt.Sprintf(
			"this server is not reached under the name %q; use its address, or add the name to telemetry.hosts", r.Host))
		return
	case r.URL.RawQuery != "" && !strings.HasPrefix(r.URL.Path, profilesPath):
		refuse(w, http.StatusBadRequest, "unknown_parameter", "this path takes no parameters; leave out the query")
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		h.Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "busy", fmt.Sprintf(
			"%d requests are being answered; try again in a second", mostRequests))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// knownHost reports whether the Host of a request is an address, localhost or configured.
func (s *server) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost" ||
		slices.ContainsFunc(s.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}

// problem is the form of every error: RFC 9457, with a code that does not change.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"` // a sentence for a person
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{http.StatusText(status), status, code, detail})
}

// answer sends a value as JSON, or 304 if the client has it.
func answer(w http.ResponseWriter, r *http.Request, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic("BUG: cannot encode a response: " + err.Error())
	}
	send(w, r, "application/json", append(b, '\n'))
}

// send sends a body with its ETag, or 304 if the client has it.
func send(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache") // keep it, but ask whether it has changed
	for one := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body)
}

func (s *server) status(w http.ResponseWriter, r *http.Request) {
	answer(w, r, s.Table.Installation(s.Now()))
}

func (s *server) process(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	for _, m := range s.Table.Installation(s.Now()).Processes {
		if m.ID == id {
			answer(w, r, m.Process)
			return
		}
	}
	refuse(w, http.StatusNotFound, "unknown_process",
		fmt.Sprintf("process %.64q is not known; /api/v1/status lists the processes", id))
}

func (s *server) version(w http.ResponseWriter, r *http.Request) { answer(w, r, s.Build) }

func (s *server) openAPI(w http.ResponseWriter, r *http.Request) {
	send(w, r, "application/yaml", openAPI)
}

func (s *server) pipeline(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	in := s.Table.Installation(s.Now())
	in.Write(w)
}

const profilesPath = "/debug/pprof/"

// profiles serves the profiles of Go's runtime to clients on this machine.
func (s *server) profiles() {
	local := func(serve http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			from, err := netip.ParseAddrPort(r.RemoteAddr)
			if err != nil || !from.Addr().Unmap().IsLoopback() {
				refuse(w, http.StatusForbidden, "not_local", "profiles are for clients on the same machine")
				return
			}
			serve(w, r)
		}
	}
	s.mux.HandleFunc("GET "+profilesPath, local(pprof.Index))
	s.mux.HandleFunc("GET "+profilesPath+"cmdline", local(pprof.Cmdline))
	s.mux.HandleFunc("GET "+profilesPath+"profile", local(pprof.Profile))
	s.mux.HandleFunc("GET "+profilesPath+"symbol", local(pprof.Symbol))
	s.mux.HandleFunc("GET "+profilesPath+"trace", local(pprof.Trace))
}
