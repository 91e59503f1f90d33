package main

import (
	"slices"
	"strings"
	"time"

	"keytrail/processor/generate"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// tolerance is how long after an incident's last event (or the end of its aftermath) the
// window of an anomaly about it may begin.
const tolerance = 15 * time.Minute

// finding is one result of a detector, or of a yardstick, about one window of one entity.
type finding struct {
	wire.Entity
	start, end int64 // event time, ns
	published  int64 // earliest time of publication, ns: see run.go
	score      float64
	kind       string // "" of a yardstick, which has no kinds
	detector   string
	reason     string
	cause      string // the unusual habit of the background: see cause.go
}

// incident is a label, prepared for matching.
type incident struct {
	generate.Label
	start, until int64 // ns; until includes aftermath and tolerance
	keys, people map[string]bool
}

// incidents finds the incidents of a finding. Safe for concurrent use once made.
type incidents struct {
	list []incident
	// by indexes the incidents by KMS key, principal and account.
	by map[string][]int
}

func newIncidents(labels []generate.Label) *incidents {
	s := &incidents{by: map[string][]int{}}
	for i, l := range labels {
		in := incident{Label: l, start: l.Start.UnixNano(), keys: map[string]bool{}, people: map[string]bool{}}
		last := l.End
		if l.Aftermath.After(last) {
			last = l.Aftermath
		}
		in.until = last.Add(tolerance).UnixNano()
		put := func(to map[string]bool, names ...string) {
			for _, name := range names {
				if name != "" {
					to[name] = true
					s.by[name] = append(s.by[name], i)
				}
			}
		}
		put(in.keys, append(slices.Clone(l.Keys), l.KeyARN)...)
		put(in.people, append(slices.Clone(l.Principals), l.Principal)...)
		if l.Account != "" {
			s.by[l.Account] = append(s.by[l.Account], i)
		}
		s.list = append(s.list, in)
	}
	return s
}

// row returns the incident's row in the tables. A silence has its own row, apart from the
// blinding that caused it.
func (in *incident) row() string {
	if slices.Contains(in.Kinds, generate.KindSilence) {
		return "silence"
	}
	return in.Scenario
}

// account returns the account in an ARN or in the name of a foreign account, or "".
func account(arn string) string {
	if id, ok := strings.CutPrefix(arn, "account:"); ok {
		return id
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// concerns reports whether an entity belongs to the incident. A pair does if both its
// principal and its key do; if the incident names no principal or no key, the other
// suffices.
func (in *incident) concerns(e wire.Entity) bool {
	if in.Account != "" && (account(e.Key) == in.Account || account(e.Principal) == in.Account) {
		return true
	}
	key, who := in.keys[e.Key], in.people[e.Principal]
	switch {
	case e.Scope == wire.ScopeKey:
		return key
	case e.Scope == wire.ScopePrincipal:
		return who
	case len(in.keys) == 0 || e.Key == kms.NoEntity:
		return who
	case len(in.people) == 0:
		return key
	}
	return key && who
}

// match calls f for every incident and every harmless scenario that the finding overlaps
// in entity and time.
func (s *incidents) match(f *finding, found func(i int)) {
	var last int = -1
	for _, name := range [...]string{f.Key, f.Principal, account(f.Key), account(f.Principal)} {
		if name == "" {
			continue
		}
		for _, i := range s.by[name] {
			in := &s.list[i]
			if i != last && f.start < in.until && f.end > in.start && in.concerns(f.Entity) {
				found(i) // at most once per name
				last = i
			}
		}
	}
}

// expects reports whether the incident should raise a finding of this kind. A yardstick
// has no kinds, so all its findings match.
func (in *incident) expects(kind string) bool {
	return kind == "" || slices.Contains(in.Kinds, generate.Kind(kind))
}
