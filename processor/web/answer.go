package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"keytrail/processor/store"
)

// problem is an error of the API: a status, a code that does not change, and a sentence.
type problem struct {
	status        int
	code, message string
}

func (p *problem) Error() string { return p.message }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

// fail answers with an error in the form of RFC 9457, with a code that does not change.
func fail(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "code": code,
		"detail": detail})
}

// within is how long a query may take.
const within = 20 * time.Second

// json answers with the value that a function returns for the parameters.
func (s *Server) json(answer func(context.Context, *params) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		p := &params{values: r.URL.Query(), path: r.PathValue}
		v, err := answer(ctx, p)
		if err == nil {
			err = p.problem()
		}
		var known *problem
		switch {
		case err == nil:
			body, err := json.Marshal(v) // <, > and & are escaped
			if err != nil {
				panic("BUG: cannot encode an answer: " + err.Error())
			}
			w.Header().Set("Content-Type", "application/json")
			s.tagged(w, r, body)
		case errors.As(err, &known):
			fail(w, known.status, known.code, known.message)
		case errors.Is(err, store.ErrNone):
			fail(w, http.StatusNotFound, "not_found", "the history does not have it; it may be older than the retention")
		case errors.Is(err, context.DeadlineExceeded):
			fail(w, http.StatusServiceUnavailable, "timeout",
				fmt.Sprintf("the query took more than %v; choose a shorter period", within))
		case r.Context().Err() != nil: // the reader has left
		default:
			s.cfg.Log.Error("a query of the page failed", "path", r.URL.Path, "error", err)
			fail(w, http.StatusInternalServerError, "internal", err.Error())
		}
	})
}

// params are the parameters of a request. The first wrong one is the request's problem.
type params struct {
	values url.Values
	path   func(string) string
	used   []string
	err    error
}

// problem returns the first wrong parameter, or one that the path does not have.
func (p *params) problem() error {
	for name := range p.values {
		if p.err == nil && !slices.Contains(p.used, name) {
			return badRequest("the parameter %q is unknown; want one of %q", name, p.used)
		}
	}
	return p.err
}

func (p *params) wrong(format string, args ...any) {
	if p.err == nil {
		p.err = badRequest(format, args...)
	}
}

// maxText bounds a parameter's bytes: more than the longest name.
const maxText = 4096

// text returns a parameter, "" by default.
func (p *params) text(name string) string {
	p.used = append(p.used, name)
	v := p.values.Get(name)
	if len(v) > maxText {
		p.wrong("%s has %d bytes, at most %d", name, len(v), maxText)
		return ""
	}
	return v
}

// choice returns a parameter that is one of several values; the first is the default.
func (p *params) choice(name string, among ...string) string {
	v := p.text(name)
	if v == "" {
		return among[0]
	}
	if !slices.Contains(among, v) {
		p.wrong("%s is %q, want one of %q", name, v, among)
	}
	return v
}

// number returns a parameter between two bounds.
func (p *params) number(name string, standard, least, most int64) int64 {
	v := p.text(name)
	if v == "" {
		return standard
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < least || n > most {
		p.wrong("%s is %q, want a number from %d to %d", name, v, least, most)
		return standard
	}
	return n
}

// The lengths of periods, in seconds.
const (
	day       = 24 * 3600
	maxPeriod = 400 * day
)

// period returns the period of a request in seconds since 1970: "from" and "until" in RFC
// 3339 form, or the last "range" seconds of what the history has, by default all of the last
// week that it has.
func (s *Server) period(ctx context.Context, p *params) (from, until int64, extent store.Extent, err error) {
	if extent, err = s.cfg.Store.Extent(ctx); err != nil {
		return 0, 0, extent, err
	}
	length := p.number("range", min(7*day, max(extent.Until-extent.First, 3600)), 60, maxPeriod)
	until = extent.Until
	if t := p.instant("until"); t != 0 {
		until = t
	}
	from = until - length
	if t := p.instant("from"); t != 0 {
		from = t
	}
	if from >= until || until-from > maxPeriod {
		p.wrong("the period from %s to %s is empty or longer than 400 days", stamp(from), stamp(until))
		from = until - day
	}
	return from, until, extent, nil
}

// instant returns a time in seconds since 1970, 0 by default.
func (p *params) instant(name string) int64 {
	v := p.text(name)
	if v == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.Year() < 1970 || t.Year() > 2261 {
		p.wrong("%s is %q, want a time such as 2026-03-02T09:00:00Z", name, v)
		return 0
	}
	return t.Unix()
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
