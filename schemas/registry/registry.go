// Package registry holds the source of truth of every attribute and event name
// that Keytrail writes: YAML files in the form of the OpenTelemetry semantic
// conventions (attribute groups, an entity for the resource, and events that
// refer to attributes), and the mapping of every field of a CloudTrail record.
// From both, and the correspondence with other schemas, it renders the Go constants
// of package semconv, the JSON Schemas of package jsonschema, the mappings of package
// body, the tables in the README of schemas and docs/correspondence.md.
//
// It runs when code is generated, in tests and for "keytrail schema"; nothing
// needs it while events are processed. Its output depends only on the files, so the
// tests of this package can detect a stale generated file.
//
// The files are part of the program and small (2,500 lines), so reading them
// is not bounded. The package reads the part of the conventions' syntax that
// the files use and refuses every other field.
package registry

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

//go:generate go run ./gen

//go:embed model/*.yaml fields/*.yaml targets/*.yaml versions/*.yaml
var files embed.FS

// Files returns the registry's own YAML files: the groups and the manifest in model,
// the field mapping in fields, the correspondence with other schemas in
// targets and the OpenTelemetry schema files in versions.
func Files() fs.FS { return files }

// Registry is the registry with every reference resolved. Its parts point into
// each other; callers only read them. Reading is safe for concurrent use.
type Registry struct {
	// Groups are all groups in the order of the files' names and their content.
	Groups []*Group
	// Attributes are all attributes in the same order.
	Attributes []*Attribute
	// Events are the groups that describe an event, in the order of the files.
	Events []*Group
	// Metrics are the groups that describe a metric.
	Metrics []*Group
	// Resource is the entity whose attributes stand in a record's resource.
	Resource *Group
	// Sections are the parts of the field mapping: which field of a CloudTrail
	// record gives which attributes.
	Sections []*Section
	// Targets are other schemas, and where each attribute stands in them.
	Targets []*Target
}

// Group is a set of attributes: those that it defines, or those that an event,
// an entity or a shared group uses.
type Group struct {
	ID        string
	Type      GroupType
	Name      string // of an event, an entity or a metric
	Title     string // display_name of a group that defines attributes
	Brief     string
	Note      string
	Stability Stability
	Parent    *Group       // the group that this one extends, or nil
	Defines   []*Attribute // attributes with an id
	Own       []Use        // attributes with a ref, without the parent's

	// Severities are the severities that records of an event may have, by their short names,
	// and Body is what their body holds; nil for none.
	Severities []string
	Body       *Body
	// Instrument and Unit are those of a metric.
	Instrument, Unit string
}

// Body is the body of an event's log records, in the conventions' form.
type Body struct {
	ID        string    `yaml:"id"`
	Type      Kind      `yaml:"type"`
	Level     Level     `yaml:"requirement_level"`
	Stability Stability `yaml:"stability"`
	Brief     string    `yaml:"brief"`
	Examples  []string  `yaml:"examples"`
}

// GroupType is the kind of a group.
type GroupType string

// The kinds of groups that the registry uses.
const (
	TypeAttributes GroupType = "attribute_group"
	TypeEntity     GroupType = "entity"
	TypeEvent      GroupType = "event"
	TypeMetric     GroupType = "metric"
)

// Use is an attribute in a group, with the level that holds there.
type Use struct {
	*Attribute
	Level Level
}

// Uses returns the attributes of g and of the groups it extends, the outermost
// group's first. A reference that stands in both keeps the parent's place and
// takes the level of g.
func (g *Group) Uses() []Use {
	var uses []Use
	if g.Parent != nil {
		uses = g.Parent.Uses()
	}
	place := make(map[string]int, len(uses)+len(g.Own))
	for i, u := range uses {
		place[u.ID] = i
	}
	for _, u := range g.Own {
		if i, ok := place[u.ID]; ok {
			uses[i] = u
			continue
		}
		place[u.ID] = len(uses)
		uses = append(uses, u)
	}
	return uses
}

// Extends reports whether g is, or extends, the group other.
func (g *Group) Extends(other *Group) bool {
	for ; g != nil; g = g.Parent {
		if g == other {
			return true
		}
	}
	return false
}

// Load reads every YAML file in the folder model of fsys, resolves the references and
// checks the result. The error joins everything that is wrong, each with the
// name of the group or attribute.
func Load(fsys fs.FS) (*Registry, error) {
	groups, err := decodeFiles(fsys)
	if err != nil {
		return nil, err
	}
	r, err := resolve(groups)
	if err != nil {
		return nil, err
	}
	if r.Sections, err = decodeSections(fsys); err != nil {
		return nil, err
	}
	if r.Targets, err = decodeTargets(fsys); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

// resolve builds the registry from the decoded groups: first the definitions,
// then what refers to them.
func resolve(groups []groupYAML) (*Registry, error) {
	r := &Registry{}
	byID := map[string]*Group{}
	attrs := map[string]*Attribute{}
	var errs []error
	for i := range groups {
		g := groups[i].group()
		if byID[g.ID] != nil {
			errs = append(errs, fmt.Errorf("group %q stands twice", g.ID))
		}
		byID[g.ID] = g
		r.Groups = append(r.Groups, g)
		for _, a := range g.Defines {
			if attrs[a.ID] != nil {
				errs = append(errs, fmt.Errorf("attribute %q is defined twice", a.ID))
			}
			attrs[a.ID] = a
			r.Attributes = append(r.Attributes, a)
		}
	}
	for i, g := range r.Groups {
		if err := g.link(&groups[i], byID, attrs); err != nil {
			errs = append(errs, err)
		}
	}
	for _, g := range r.Groups {
		if err := g.checkCycle(len(r.Groups)); err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		switch g.Type {
		case TypeEvent:
			r.Events = append(r.Events, g)
		case TypeMetric:
			r.Metrics = append(r.Metrics, g)
		case TypeEntity:
			if r.Resource != nil {
				errs = append(errs, fmt.Errorf("group %q is a second entity: a record has one resource", g.ID))
			}
			r.Resource = g
		}
	}
	return r, errors.Join(errs...)
}

// link resolves what the group y refers to.
func (g *Group) link(y *groupYAML, byID map[string]*Group, attrs map[string]*Attribute) error {
	var errs []error
	if y.Extends != "" {
		if g.Parent = byID[y.Extends]; g.Parent == nil {
			errs = append(errs, fmt.Errorf("group %q extends %q, which is not in the registry", g.ID, y.Extends))
		}
	}
	seen := map[string]bool{}
	for _, a := range y.Attributes {
		if !a.isReference() {
			continue
		}
		def := attrs[a.Ref]
		switch {
		case def == nil:
			errs = append(errs, fmt.Errorf("group %q refers to attribute %q, which is not in the registry", g.ID, a.Ref))
			continue
		case seen[a.Ref]:
			errs = append(errs, fmt.Errorf("group %q refers to attribute %q twice", g.ID, a.Ref))
		}
		seen[a.Ref] = true
		use := Use{Attribute: def, Level: def.Level}
		if a.Level.Kind != "" {
			use.Level = a.Level
		}
		g.Own = append(g.Own, use)
	}
	return errors.Join(errs...)
}

// checkCycle refuses a group that extends itself; n is the number of groups,
// and no chain without a cycle is longer.
func (g *Group) checkCycle(n int) error {
	steps := 0
	for p := g.Parent; p != nil; p = p.Parent {
		if steps++; steps > n {
			return fmt.Errorf("group %q extends itself", g.ID)
		}
	}
	return nil
}

// Attribute returns the attribute named id, or nil.
func (r *Registry) Attribute(id string) *Attribute {
	for _, a := range r.Attributes {
		if a.ID == id {
			return a
		}
	}
	return nil
}

// Under returns the last parts of the attributes directly below prefix: "rate"
// for "keytrail.window.anomalies.rate" below "keytrail.window.anomalies".
func (r *Registry) Under(prefix string) []string {
	var names []string
	for _, a := range r.Attributes {
		rest, ok := strings.CutPrefix(a.ID, prefix+".")
		if ok && !strings.Contains(rest, ".") {
			names = append(names, rest)
		}
	}
	return names
}
