// Package web serves the page on which people look at the history: its files, which are
// embedded, and the API behind them, below /api/v1. The API only reads.
//
// The page shows text that attackers choose, such as user agents. The answers are JSON, the
// page puts them into text nodes only, and the browser gets a policy that admits no other
// script and no other host. A server on the loopback interface answers only requests that
// name this interface, so a foreign page cannot reach it under its own name.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"keytrail/processor/store"
	"keytrail/schemas/otellog"
)

// Config configures a Server.
type Config struct {
	Store *store.Store
	// Event reads an event again, with its body. Its error goes to the page.
	Event func(ctx context.Context, at store.Place) (*otellog.Record, error)
	// Pipeline returns the state of the pipeline as a value for encoding/json; nil for none.
	Pipeline func() any
	Access   *Access // who may use the page; nil for everybody on this machine
	Title    string  // of the history, such as the paths of a scan; "" for none
	Live     bool    // the history grows
	Log      *slog.Logger
}

// Server is the page and its API. It is safe for concurrent use.
type Server struct {
	cfg     Config
	access  *Access
	host    string // the port that requests must name; "" for any
	beyond  bool   // other machines can reach the server
	assets  *assets
	handler http.Handler
	streams chan struct{}   // a place for each stream
	ending  context.Context // done when the streams must end
}

// maxStreams bounds the pages that get updates at a time.
const maxStreams = 64

// New returns a Server. It fails if the embedded files are incomplete.
func New(cfg Config) (*Server, error) {
	a, err := loadAssets()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, access: cmp.Or(cfg.Access, &Access{}), assets: a, streams: make(chan struct{}, maxStreams),
		ending: context.Background()}
	mux := http.NewServeMux()
	for pattern, answer := range s.answers() {
		mux.Handle(pattern, s.json(answer))
	}
	mux.HandleFunc("GET /api/v1/stream", s.stream)
	mux.HandleFunc("GET /api/v1/openapi.yaml", s.openAPI)
	mux.HandleFunc("GET /api/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "the API has no such path")
	})
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /", s.index)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "the page and its API only read; use GET, not "+r.Method)
	})
	s.handler = s.guard(mux)
	return s, nil
}

// Listen listens on an address of the loopback interface. Port 0 is any free one. Other
// addresses are an error: the page has no access control.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the page on %q: want HOST:PORT, such as 127.0.0.1:8321", address)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("cannot serve the page on %q: this command has no access control, so only this machine may "+
			"reach the page; write 127.0.0.1, or use keytrail web with tokens", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot serve the page on %q: %w", address, err)
	}
	return l, nil
}

// Serve answers requests until ctx is done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ending, end := context.WithCancel(ctx)
	defer end()
	s.ending = ending
	var host string
	host, s.host, _ = net.SplitHostPort(l.Addr().String())
	s.beyond = !isLoopback(host)
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(),
			slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(within) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the page on %s: %w", l.Addr(), err)
	}
	return nil
}

// policy is the Content-Security-Policy of every answer.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard sets the headers of every answer, refuses requests that name another host, and turns
// a panic into an error of its request.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.cfg.Log.Error("a request to the page panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				fail(w, http.StatusInternalServerError, "internal", "the request failed; the log of keytrail has the cause")
			}
		}()
		if !s.names(r.Host) {
			fail(w, http.StatusMisdirectedRequest, "wrong_host",
				"this server answers only under its addresses, localhost, and the names in web.hosts")
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			fail(w, http.StatusForbidden, "cross_site", "another site's page asked; open this page itself")
			return
		}
		if s.admit(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// names reports whether a Host header names this server: a page of another site can only use
// a name that it makes resolve to this server (DNS rebinding). Beyond this machine a proxy may
// have another port.
func (s *Server) names(host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, "80"
	}
	if slices.ContainsFunc(s.access.hosts, func(h string) bool { return strings.EqualFold(h, name) }) {
		return true
	}
	if s.beyond {
		return name == "localhost" || net.ParseIP(strings.Trim(name, "[]")) != nil
	}
	return isLoopback(name) && (s.host == "" || port == s.host)
}
