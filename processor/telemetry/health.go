package telemetry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The paths of the probes.
const (
	ReadyPath  = "/readyz"  // every part has begun, and the stages work: 200, else 503
	HealthPath = "/healthz" // the process answers: 200; a restart would repair nothing else
	LivePath   = "/livez"   // the same
)

// Condition is a reason for which a part is not ready, from a bounded set.
type Condition string

// The conditions.
const (
	Starting   Condition = "starting"    // it has not begun yet
	CatchingUp Condition = "catching_up" // it has not read everything that was there at its start
	Restoring  Condition = "restoring"   // it restores its state
	Failing    Condition = "failing"     // its work fails and is retried
	SinkPaused Condition = "paused"      // a person must act; see package sink
	LagUnknown Condition = "lag_unknown" // its lag is unknown
	KafkaAway  Condition = "kafka_away"  // the brokers do not answer
	Expired    Condition = "expired"     // Kafka deleted records before they were read
	// Another process judges by other rules.
	RulesDiffer Condition = "rules_differ"
	// The changed configuration is refused, and the one before runs on.
	ReloadRefused Condition = "reload_refused"
)

// expiredFor is how long records that expired unread keep a part from being ready:
// only time ends the condition, because the records are gone.
const expiredFor = time.Hour

// Health collects the conditions of the parts of one process: Kafka, each stage, each
// sink. It is safe for concurrent use.
type Health struct {
	mu    sync.Mutex // guards parts and their contents
	parts []*Part
	now   func() time.Time
	clean func(string) string // removes secrets from details
}

// Clean sets the function that removes secrets from details. Call it before the first
// report.
func (h *Health) Clean(clean func(string) string) { h.clean = clean }

// NewHealth returns a Health without parts, which is ready.
func NewHealth() *Health { return &Health{now: time.Now, clean: func(s string) string { return s }} }

// Part is one part of the process. It is safe for concurrent use.
type Part struct {
	of         *Health
	name       string
	outside    bool // see Outside
	conditions map[Condition]Trouble
}

// Outside declares that the part depends on a receiver or a source outside Kafka. Once it has
// begun, its troubles only degrade the process: they are for the operator of that other
// system, and the process does its own work.
func (p *Part) Outside() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.outside = true
}

// hinders reports whether a condition keeps the process from being ready. The others only
// degrade it.
func (p *Part) hinders(c Condition) bool {
	switch c {
	case Starting:
		return true
	case CatchingUp, Restoring, Failing, KafkaAway:
		return !p.outside
	}
	return false
}

// Trouble is one condition of a part.
type Trouble struct {
	Condition Condition  `json:"condition"`
	Detail    string     `json:"detail"`
	Since     time.Time  `json:"since"`
	until     *time.Time // nil: until it is cleared
}

// Part returns the part of the given name, such as "stage count" or "sink siem"; it
// creates a missing one.
func (h *Health) Part(name string) *Part {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.parts {
		if p.name == name {
			return p
		}
	}
	p := &Part{of: h, name: name, conditions: map[Condition]Trouble{}}
	h.parts = append(h.parts, p)
	return p
}

// Report records a condition with its detail, a sentence for a person. Its start stays
// that of the first report.
func (p *Part) Report(c Condition, format string, args ...any) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	now := p.of.now()
	t := Trouble{Condition: c, Detail: oneLine(p.of.clean(fmt.Sprintf(format, args...))), Since: now}
	if was, ok := p.conditions[c]; ok && was.holds(now) {
		t.Since = was.Since
	}
	if c == Expired {
		until := now.Add(expiredFor)
		t.until = &until
	}
	p.conditions[c] = t
}

// Remove removes the part of the given name, and its conditions.
func (h *Health) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts = slices.DeleteFunc(h.parts, func(p *Part) bool { return p.name == name })
}

// Clear ends a condition.
func (p *Part) Clear(c Condition) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	delete(p.conditions, c)
}

func (t *Trouble) holds(now time.Time) bool { return t.until == nil || now.Before(*t.until) }

// State is a probe's view of one part.
type State struct {
	Part     string    `json:"part"`
	Ready    bool      `json:"ready"`
	Degraded bool      `json:"degraded"`           // it is ready, but has troubles
	Troubles []Trouble `json:"troubles,omitempty"` // by their beginning
}

// States returns the state of every part, in order of creation, and reports whether all
// are ready.
func (h *Health) States() (list []State, ready bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	ready = true
	for _, p := range h.parts {
		s := State{Part: p.name, Ready: true}
		for _, t := range p.conditions {
			if t.holds(now) {
				s.Troubles = append(s.Troubles, t)
				s.Ready = s.Ready && !p.hinders(t.Condition)
			}
		}
		slices.SortFunc(s.Troubles, func(a, b Trouble) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Condition, b.Condition))
		})
		s.Degraded = s.Ready && len(s.Troubles) > 0
		ready = ready && s.Ready
		list = append(list, s)
	}
	return list, ready
}

// serveReady answers ReadyPath: 200 if every part is ready or degraded, else 503, as text with
// one line per part or, if the request accepts it or has ?format=json, as JSON.
func (h *Health) serveReady(w http.ResponseWriter, r *http.Request) {
	states, ready := h.States()
	code := http.StatusOK
	if !ready {
		code = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(struct {
			Ready    bool    `json:"ready"`
			Degraded bool    `json:"degraded"`
			Parts    []State `json:"parts"`
		}{ready, ready && slices.ContainsFunc(states, func(s State) bool { return s.Degraded }), states})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text(states)))
}

// text returns one line per part.
func text(states []State) string {
	var b strings.Builder
	for _, s := range states {
		switch {
		case s.Degraded:
			fmt.Fprintf(&b, "%s: degraded", s.Part)
		case s.Ready:
			fmt.Fprintf(&b, "%s: ready\n", s.Part)
			continue
		default:
			fmt.Fprintf(&b, "%s: not ready", s.Part)
		}
		for i, t := range s.Troubles {
			sep := "; "
			if i == 0 {
				sep = ": "
			}
			fmt.Fprintf(&b, "%s%s since %s: %s", sep, t.Condition, t.Since.UTC().Format(time.RFC3339), t.Detail)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// oneLine reduces a detail, which may quote others, to 500 runes on one line.
func oneLine(s string) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
	if len(runes) > 500 {
		return string(runes[:500]) + " (cut)"
	}
	return string(runes)
}
