package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Attribute is one attribute as the registry defines it.
type Attribute struct {
	ID        string
	Type      Type
	Stability Stability
	Brief     string // one sentence
	Note      string // further facts, or ""
	// Examples are values of the attribute: string, bool, int, float64 or []any
	// of strings.
	Examples []any
	Level    Level
	// Origin is the authority that chose the name. Source names the CloudTrail field or the
	// rule that determines the value.
	Origin Origin
	Source string
}

// Kind is the kind of an attribute's value.
type Kind string

// The kinds of values, by their names in the conventions.
const (
	String  Kind = "string"
	Boolean Kind = "boolean"
	Int     Kind = "int"
	Double  Kind = "double"
	Strings Kind = "string[]"
)

// Type is an attribute's type: a kind and, for a closed set of strings, the
// members.
type Type struct {
	Kind    Kind
	Members []Member
}

// Member is one value of a closed set.
type Member struct {
	ID        string    `yaml:"id"`
	Value     string    `yaml:"value"`
	Brief     string    `yaml:"brief"`
	Stability Stability `yaml:"stability"`
}

// Stability is how much a name may still change.
type Stability string

// The stabilities that the registry uses, in the conventions' words.
const (
	Stable           Stability = "stable"
	ReleaseCandidate Stability = "release_candidate"
	Development      Stability = "development"
)

// Origin is the authority that chose a name.
type Origin string

// The origins of names, in the order in which Keytrail prefers them.
const (
	FromOTel      Origin = "otel"      // the OpenTelemetry semantic conventions
	FromCollector Origin = "collector" // the collector's CloudTrail encoding
	FromKeytrail  Origin = "keytrail"  // this registry
)

// Level is a requirement level: its kind and, for a condition, its text.
type Level struct {
	Kind      LevelKind
	Condition string
}

// LevelKind is the kind of a requirement level.
type LevelKind string

// The requirement levels that the registry uses.
const (
	Required    LevelKind = "required"
	Conditional LevelKind = "conditionally_required"
	Recommended LevelKind = "recommended"
)

type fileYAML struct {
	Groups []groupYAML `yaml:"groups"`
}

type groupYAML struct {
	ID         string     `yaml:"id"`
	Type       GroupType  `yaml:"type"`
	Title      string     `yaml:"display_name"`
	Name       string     `yaml:"name"`
	Extends    string     `yaml:"extends"`
	Metric     string     `yaml:"metric_name"`
	Instrument string     `yaml:"instrument"`
	Unit       string     `yaml:"unit"`
	Body       *Body      `yaml:"body"`
	Stability  Stability  `yaml:"stability"`
	Brief      string     `yaml:"brief"`
	Note       string     `yaml:"note"`
	Attributes []attrYAML `yaml:"attributes"`

	Annotations struct {
		Severity []string `yaml:"severity"`
	} `yaml:"annotations"`
}

// attrYAML is an attribute of a group: a definition (id) or a reference (ref).
type attrYAML struct {
	ID          string          `yaml:"id"`
	Ref         string          `yaml:"ref"`
	Type        Type            `yaml:"type"`
	Stability   Stability       `yaml:"stability"`
	Brief       string          `yaml:"brief"`
	Note        string          `yaml:"note"`
	Examples    []any           `yaml:"examples"`
	Level       Level           `yaml:"requirement_level"`
	Annotations annotationsYAML `yaml:"annotations"`
}

type annotationsYAML struct {
	Origin Origin `yaml:"origin"`
	Source string `yaml:"source"`
	// Type, Stability and Values repeat what the semantic conventions define, for an
	// attribute of theirs.
	Type      Kind      `yaml:"type"`
	Stability Stability `yaml:"stability"`
	Values    []string  `yaml:"values"`
}

// isReference reports whether a refers to an attribute that a group of this registry
// defines. An attribute of the semantic conventions is a reference for weaver, which
// reads its definition there; here its annotations are the definition.
func (a *attrYAML) isReference() bool { return a.Ref != "" && a.Annotations.Type == "" }

// UnmarshalYAML reads a type: a name, or the members of a closed set.
func (t *Type) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		t.Kind = Kind(n.Value)
		return nil
	}
	var set struct {
		Members []Member `yaml:"members"`
	}
	if err := strict(n, &set); err != nil {
		return err
	}
	t.Kind, t.Members = String, set.Members
	return nil
}

// UnmarshalYAML reads a requirement level: a name, or a condition under one.
func (l *Level) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		l.Kind = LevelKind(n.Value)
		return nil
	}
	var cond struct {
		Text string `yaml:"conditionally_required"`
	}
	if err := strict(n, &cond); err != nil {
		return err
	}
	l.Kind, l.Condition = Conditional, cond.Text
	return nil
}

// strict decodes n into v and refuses fields that v does not have. Node.Decode
// would accept them: it does not inherit the decoder's KnownFields.
func strict(n *yaml.Node, v any) error {
	b, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// decodeFiles reads the groups of every YAML file in the folder model of fsys, by file
// name.
func decodeFiles(fsys fs.FS) ([]groupYAML, error) {
	names, err := fs.Glob(fsys, "model/*.yaml")
	names = slices.DeleteFunc(names, func(name string) bool { return name == manifestPath })
	if err != nil {
		return nil, fmt.Errorf("cannot list the registry's files: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("the registry has no YAML file")
	}
	var groups []groupYAML
	for _, name := range names {
		var file fileYAML
		if err := decodeFile(fsys, name, &file); err != nil {
			return nil, err
		}
		groups = append(groups, file.Groups...)
	}
	return groups, nil
}

// group returns y without its references, which link resolves.
func (y *groupYAML) group() *Group {
	g := &Group{
		ID: y.ID, Type: y.Type, Name: y.Name, Title: y.Title,
		Brief: y.Brief, Note: y.Note, Stability: y.Stability,
		Instrument: y.Instrument, Unit: y.Unit, Body: y.Body, Severities: y.Annotations.Severity,
	}
	if y.Type == TypeMetric {
		g.Name = y.Metric
	}
	for _, a := range y.Attributes {
		if a.isReference() {
			continue
		}
		def := &Attribute{
			ID: a.ID + a.Ref, Type: a.Type, Stability: a.Stability, Brief: a.Brief, Note: a.Note,
			Examples: a.Examples, Level: a.Level,
			Origin: a.Annotations.Origin, Source: a.Annotations.Source,
		}
		if a.Ref != "" {
			def.Type, def.Stability = Type{Kind: a.Annotations.Type}, a.Annotations.Stability
			for _, v := range a.Annotations.Values {
				def.Type.Members = append(def.Type.Members, Member{v, v, a.Brief, def.Stability})
			}
		}
		g.Defines = append(g.Defines, def)
	}
	return g
}
