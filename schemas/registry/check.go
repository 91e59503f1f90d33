package registry

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"keytrail/schemas/otellog"
)

// Deprecated lists deprecated names of the semantic conventions that would fit a CloudTrail
// event, with the name to use instead of each. The registry refuses them.
//
// Source: OpenTelemetry semantic conventions v1.44.0, attribute registry.
func Deprecated() map[string]string {
	return map[string]string{
		"event.name":             "the log record's field event_name",
		"error.message":          "aws.error.message",
		"rpc.service":            "rpc.method",
		"rpc.system":             "rpc.system.name",
		"enduser.role":           "user.roles",
		"enduser.scope":          "nothing",
		"http.client_ip":         "client.address",
		"http.user_agent":        "user_agent.original",
		"net.peer.ip":            "network.peer.address",
		"net.peer.name":          "server.address",
		"net.host.name":          "server.address",
		"net.sock.peer.addr":     "network.peer.address",
		"tls.client.server_name": "server.address",
	}
}

// idForm is the conventions' form of a name: parts of small letters, digits and
// single underscores, joined by dots.
var idForm = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)*$`)

// problems collects the faults of a registry.
type problems []error

func (p *problems) addf(format string, args ...any) {
	*p = append(*p, fmt.Errorf(format, args...))
}

// check reports everything in the registry that breaks its own rules.
func (r *Registry) check() error {
	var p problems
	used := map[string]bool{}
	for _, g := range r.Groups {
		p.group(g)
		for _, u := range g.Own {
			used[u.ID] = true
			p.level(fmt.Sprintf("attribute %q of group %q", u.ID, g.ID), u.Level)
		}
	}
	goNames := map[string]string{}
	claim := func(name, id string) {
		if other, ok := goNames[name]; ok {
			p.addf("%q and %q share the Go name %s", other, id, name)
		}
		goNames[name] = id
	}
	for _, e := range r.Events {
		claim(EventGoName(e.Name), e.Name)
	}
	for _, a := range r.Attributes {
		p.attribute(a)
		claim(GoName(a.ID), a.ID)
		if !used[a.ID] {
			p.addf("attribute %q is used by no event: refer to it in model/events.yaml", a.ID)
		}
	}
	for _, a := range r.Attributes {
		if below := r.below(a.ID); below != "" {
			p.addf("attribute %q is also the namespace of %q: give it one more part, such as .id or .total", a.ID, below)
		}
	}
	if len(r.Events) == 0 {
		p.addf("the registry has no event")
	}
	if r.Resource == nil {
		p.addf("the registry has no entity for the resource")
	}
	if r.Resource != nil {
		r.checkFields(&p)
	}
	for _, t := range r.Targets {
		r.checkTarget(&p, t)
	}
	return errors.Join(p...)
}

// below returns an attribute whose name lies in the namespace id, or "". No name may also be
// a namespace: stores that nest names at their dots cannot hold a value and an object under
// one name.
//
// Source: OpenTelemetry semantic conventions v1.44.0, "Attribute naming".
func (r *Registry) below(id string) string {
	for _, a := range r.Attributes {
		if strings.HasPrefix(a.ID, id+".") {
			return a.ID
		}
	}
	return ""
}

func (p *problems) group(g *Group) {
	if !idForm.MatchString(g.ID) {
		p.addf("group %q: id is not of the form a.b_c", g.ID)
	}
	p.sentence(fmt.Sprintf("group %q", g.ID), g.Brief)
	switch g.Type {
	case TypeAttributes:
		if len(g.Defines) > 0 && (len(g.Own) > 0 || g.Parent != nil || g.Title == "") {
			p.addf("group %q: a group that defines attributes has a display_name, extends nothing and refers to none", g.ID)
		}
	case TypeEvent, TypeEntity, TypeMetric:
		if g.Name == "" || g.ID != string(g.Type)+"."+g.Name {
			p.addf("group %q: id must be %q, its type and name", g.ID, string(g.Type)+"."+g.Name)
		}
		if len(g.Defines) > 0 {
			p.addf("group %q defines attributes: define them in an attribute_group and refer to them", g.ID)
		}
		if len(g.Uses()) == 0 {
			p.addf("group %q has no attribute", g.ID)
		}
		p.stability(fmt.Sprintf("group %q", g.ID), g.Stability)
		p.record(g)
	default:
		p.addf("group %q: unknown type %q", g.ID, g.Type)
	}
}

// record checks what only events and metrics have.
func (p *problems) record(g *Group) {
	if isEvent := g.Type == TypeEvent; !isEvent && (g.Body != nil || len(g.Severities) > 0) {
		p.addf("group %q: only an event has a body and severities", g.ID)
	}
	for _, s := range g.Severities {
		known := func(n otellog.Severity) bool { return n.Text() == s }
		if !slices.ContainsFunc(otellog.Severities(), known) {
			p.addf("group %q: %q is not a severity of log records", g.ID, s)
		}
	}
	if b := g.Body; b != nil {
		if b.ID != "body."+g.Name || b.Type != String {
			p.addf("group %q: its body must be a string with the id %q", g.ID, "body."+g.Name)
		}
		p.sentence(fmt.Sprintf("the body of group %q", g.ID), b.Brief)
		p.stability(fmt.Sprintf("the body of group %q", g.ID), b.Stability)
		p.level(fmt.Sprintf("the body of group %q", g.ID), b.Level)
	}
	if isMetric := g.Type == TypeMetric; isMetric != (g.Instrument == "counter" && g.Unit != "") {
		p.addf("group %q: a metric, and only a metric, has the instrument counter and a unit", g.ID)
	}
}

func (p *problems) attribute(a *Attribute) {
	what := fmt.Sprintf("attribute %q", a.ID)
	if !idForm.MatchString(a.ID) {
		p.addf("%s: id is not of the form a.b_c", what)
	}
	if instead, ok := Deprecated()[a.ID]; ok {
		p.addf("%s is deprecated in the semantic conventions: use %s", what, instead)
	}
	p.sentence(what, a.Brief)
	p.stability(what, a.Stability)
	p.level(what, a.Level)
	switch a.Origin {
	case FromOTel:
	case FromCollector, FromKeytrail:
		if a.Stability != Development {
			p.addf("%s: only a name of the semantic conventions may be %s", what, a.Stability)
		}
	default:
		p.addf("%s: unknown origin %q", what, a.Origin)
	}
	if a.Source == "" {
		p.addf("%s: annotation source is missing", what)
	}
	if len(a.Examples) == 0 {
		p.addf("%s: examples are missing", what)
	}
	p.members(what, a.Type)
	for _, ex := range a.Examples {
		if err := a.Type.accepts(ex); err != nil {
			p.addf("%s: example %v: %w", what, ex, err)
		}
	}
}

func (p *problems) members(what string, t Type) {
	seen := map[string]bool{}
	for _, m := range t.Members {
		if m.ID == "" || m.Value == "" || seen[m.Value] {
			p.addf("%s: member %q: id and value must be there and differ from the other members'", what, m.Value)
		}
		seen[m.Value] = true
		p.sentence(fmt.Sprintf("%s, member %q", what, m.Value), m.Brief)
		p.stability(fmt.Sprintf("%s, member %q", what, m.Value), m.Stability)
	}
}

// accepts reports whether v, as YAML decodes it, is a value of the type.
func (t Type) accepts(v any) error {
	ok := false
	switch t.Kind {
	case String:
		s, isString := v.(string)
		if isString && len(t.Members) > 0 &&
			!slices.ContainsFunc(t.Members, func(m Member) bool { return m.Value == s }) {
			return errors.New("is not a member of the set")
		}
		ok = isString && s != ""
	case Boolean:
		_, ok = v.(bool)
	case Int:
		_, ok = v.(int)
	case Double:
		_, ok = v.(float64)
	case Strings:
		var list []any
		if list, ok = v.([]any); ok {
			ok = len(list) > 0 && !slices.ContainsFunc(list, notString)
		}
	default:
		return fmt.Errorf("unknown type %q", t.Kind)
	}
	if !ok {
		return fmt.Errorf("is not a non-empty %s", t.Kind)
	}
	return nil
}

func notString(v any) bool {
	_, ok := v.(string)
	return !ok
}

func (p *problems) sentence(what, brief string) {
	if !strings.HasSuffix(brief, ".") || strings.Contains(brief, "\n") {
		p.addf("%s: brief %q must be one line that ends with a period", what, brief)
	}
}

func (p *problems) stability(what string, s Stability) {
	if s != Stable && s != ReleaseCandidate && s != Development {
		p.addf("%s: unknown stability %q", what, s)
	}
}

func (p *problems) level(what string, l Level) {
	switch {
	case l.Kind != Required && l.Kind != Conditional && l.Kind != Recommended:
		p.addf("%s: unknown requirement_level %q", what, l.Kind)
	case (l.Kind == Conditional) != (l.Condition != ""):
		p.addf("%s: requirement_level %q needs a condition, and only that one has it", what, l.Kind)
	}
}
