package registry

import (
	"bytes"
	"fmt"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// Section is one file of the field mapping: fields of a CloudTrail record that
// belong together, and where each of them goes.
type Section struct {
	Title string `yaml:"title"`
	// Event is the event in which the test sets the fields, as JSON's types.
	Event  map[string]any `yaml:"event"`
	Fields []*Field       `yaml:"fields"`
}

// Field is one field of a CloudTrail record, with the attributes that it gives or the
// reason why only the body has it.
type Field struct {
	// Path is the names from the record down to the field, joined by dots. A name with []
	// means the items of an array, and * at the end every other member.
	Path string `yaml:"field"`
	// Case is the normal case. Without attributes, Body is the reason.
	Case `yaml:",inline"`
	// Also are the cases in which it gives other attributes.
	Also []Case `yaml:"also"`
	Body string `yaml:"body"`
	// Collector are the names that the OpenTelemetry Collector's CloudTrail
	// encoding gives the field, none if it drops the field; OCSF are the paths
	// in OCSF's API Activity, none if that has it below "unmapped".
	Collector Names `yaml:"collector"`
	OCSF      Names `yaml:"ocsf"`
	// Nested reports whether those names also hold the field's members, as one value.
	Nested bool   `yaml:"nested"`
	Note   string `yaml:"note"`
}

// Case is the attributes that a field with a value gives in some events.
type Case struct {
	// When says in words which events the case is about, "" for all.
	When string `yaml:"when"`
	// With are the values of other fields, by their paths; null is absent.
	With map[string]any `yaml:"with"`
	// Value is the example of the field's value that the test sets. If it is nil, the test
	// makes up a text.
	Value any     `yaml:"value"`
	Gives []Given `yaml:"gives"`
}

// Given is an attribute, or a field of the log record, that a case gives.
type Given struct {
	Name string
	// Value is the attribute's value in the case. Same reports whether it is the field's
	// value itself.
	Value any
	Same  bool
}

// RecordFields are the fields of an OpenTelemetry log record that a CloudTrail
// field may give beside attributes.
func RecordFields() []string { return []string{"Timestamp", "Severity", "EventName"} }

// UnmarshalYAML reads a name, or a name and the value that it gets.
func (g *Given) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*g = Given{Name: n.Value, Same: true}
		return nil
	}
	pair := map[string]any{}
	if err := n.Decode(&pair); err != nil {
		return err
	}
	if len(pair) != 1 {
		return fmt.Errorf("line %d: want one name and its value, not %d", n.Line, len(pair))
	}
	for name, value := range pair {
		*g = Given{Name: name, Value: value}
	}
	return nil
}

// Names is a list of names; in YAML a single one may stand by itself.
type Names []string

// UnmarshalYAML reads a name or a list of names.
func (l *Names) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = Names{n.Value}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// cases returns all cases of f, the first included unless the field stands in
// the body only.
func (f *Field) cases() []Case {
	if f.Body != "" {
		return f.Also
	}
	return append([]Case{f.Case}, f.Also...)
}

// gives reports whether the field gives the attribute called name in some case.
func (f *Field) gives(name string) bool {
	for _, c := range f.cases() {
		for _, g := range c.Gives {
			if g.Name == name {
				return true
			}
		}
	}
	return false
}

// decodeSections reads the field mapping: every YAML file in the folder fields
// of fsys, by file name. A registry without the folder has no mapping.
func decodeSections(fsys fs.FS) ([]*Section, error) {
	names, err := fs.Glob(fsys, "fields/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot list the files of the field mapping: %w", err)
	}
	var sections []*Section
	for _, name := range names {
		s := &Section{}
		if err := decodeFile(fsys, name, s); err != nil {
			return nil, err
		}
		sections = append(sections, s)
	}
	return sections, nil
}

// decodeFile reads one YAML file into v and refuses fields that v does not have.
func decodeFile(fsys fs.FS, name string, v any) error {
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return fmt.Errorf("cannot read registry file %q: %w", name, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("cannot decode registry file %q: %w", name, err)
	}
	return nil
}
