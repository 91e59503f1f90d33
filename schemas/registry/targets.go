package registry

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Target is another schema, and where each attribute stands in it. Apart from
// the collector's it is the mapping of a body in package body.
type Target struct {
	// Name is the body's name, and Title that of the schema.
	Name  string `yaml:"name"`
	Title string `yaml:"title"`
	// About says which version of the schema it is, and Rest how an attribute
	// without a row is handled.
	About string `yaml:"about"`
	Rest  string `yaml:"rest"`
	// Gates are the collector's feature gates, by the short names that rows use.
	Gates map[string]string `yaml:"gates"`
	// Keep are prefixes of the names of attributes that the body writes under
	// their own names even if a row takes them.
	Keep []string     `yaml:"keep"`
	Rows []*TargetRow `yaml:"rows"`
	None []NoRow      `yaml:"none"`
}

// TargetRow is one field of a target.
type TargetRow struct {
	// Target is the name of the target.
	Target string `yaml:"-" json:"target"`
	// To is the field's path; [0] stands for the first object of a list.
	To string `yaml:"to" json:"to"`
	// From are attributes or fields of the log record: the first that has a value
	// counts. Without any, the field has the constant Value, or what As makes.
	From  Names `yaml:"from" json:"from,omitempty"`
	Value any   `yaml:"value" json:"value,omitempty"`
	// As names the rule that makes the value; "" takes it as it is.
	As string `yaml:"as" json:"as,omitempty"`
	// On are the kinds of records that have the field: call, window or anomaly;
	// none for all.
	On Names `yaml:"on" json:"on,omitempty"`
	// Gate is the feature gate that must be on, Label the text that the body
	// writes beside the field, and Max its bound in bytes.
	Gate  string `yaml:"gate" json:"gate,omitempty"`
	Label string `yaml:"label" json:"label,omitempty"`
	Max   int    `yaml:"max" json:"max,omitempty"`
	Note  string `yaml:"note" json:"note,omitempty"`
}

// NoRow is why attributes have no row. A name ends with * to stand for all that
// begin like it.
type NoRow struct {
	Names  []string `yaml:"names"`
	Reason string   `yaml:"reason"`
}

// recordFields are the fields of a log record that a row may take.
func recordFields() []string {
	return []string{"Timestamp", "ObservedTimestamp", "SeverityNumber", "SeverityText", "EventName", "Body"}
}

// recordKinds are the kinds of records that rows tell apart.
func recordKinds() []string { return []string{"call", "window", "anomaly"} }

// decodeTargets reads the files of the folder targets, the collector's first.
func decodeTargets(fsys fs.FS) ([]*Target, error) {
	names, err := fs.Glob(fsys, "targets/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("cannot list the files of the correspondence: %w", err)
	}
	var targets []*Target
	for _, name := range names {
		t := &Target{}
		if err := decodeFile(fsys, name, t); err != nil {
			return nil, err
		}
		for _, row := range t.Rows {
			row.Target = t.Name
		}
		targets = append(targets, t)
	}
	order := []string{"collector", "ecs", "ocsf", "cim", "cef", "leef"}
	slices.SortStableFunc(targets, func(a, b *Target) int {
		return slices.Index(order, a.Name) - slices.Index(order, b.Name)
	})
	return targets, nil
}

// TargetRows returns the rows of all targets, in the order of the files.
func (r *Registry) TargetRows() []*TargetRow {
	var rows []*TargetRow
	for _, t := range r.Targets {
		rows = append(rows, t.Rows...)
	}
	return rows
}

// IsBody reports whether the target is a body, and not only a correspondence.
func (t *Target) IsBody() bool { return t.Name != "collector" }

// takes returns the rows that take the attribute.
func (t *Target) takes(attribute string) []*TargetRow {
	var rows []*TargetRow
	for _, row := range t.Rows {
		if slices.Contains(row.From, attribute) {
			rows = append(rows, row)
		}
	}
	return rows
}

// reason returns why the attribute has no row, or "".
func (t *Target) reason(attribute string) string {
	for _, none := range t.None {
		for _, name := range none.Names {
			prefix, isPrefix := strings.CutSuffix(name, "*")
			if name == attribute || isPrefix && strings.HasPrefix(attribute, prefix) {
				return none.Reason
			}
		}
	}
	return ""
}

// checkTarget holds that every attribute has a row or a reason for none, and that
// a row takes nothing that does not exist.
func (r *Registry) checkTarget(p *problems, t *Target) {
	what := fmt.Sprintf("target %q", t.Name)
	if t.Title == "" || t.About == "" || t.Rest == "" {
		p.addf("%s: title, about and rest must be there", what)
	}
	seen := map[string]bool{}
	for _, row := range t.Rows {
		for _, name := range row.From {
			if r.Attribute(name) == nil && !slices.Contains(recordFields(), name) {
				p.addf("%s: %q takes %q, which is neither an attribute nor a field of the record", what, row.To, name)
			}
		}
		if len(row.From) > 0 && row.Value != nil || len(row.From) == 0 && row.Value == nil && row.As == "" {
			p.addf("%s: %q needs a name in from, a value or a rule", what, row.To)
		}
		if row.Gate != "" && t.Gates[row.Gate] == "" {
			p.addf("%s: %q names the unknown gate %q", what, row.To, row.Gate)
		}
		for _, kind := range row.kinds() {
			if !slices.Contains(recordKinds(), kind) {
				p.addf("%s: %q is on the unknown kind of record %q", what, row.To, kind)
			}
			if t.IsBody() && seen[kind+" "+row.To] {
				p.addf("%s: %q stands twice for the kind of record %q", what, row.To, kind)
			}
			seen[kind+" "+row.To] = true
		}
	}
	for _, a := range r.Attributes {
		if len(t.takes(a.ID)) == 0 && t.reason(a.ID) == "" {
			p.addf("%s: attribute %q has neither a row nor a reason for none", what, a.ID)
		}
	}
	for _, none := range t.None {
		for _, name := range none.Names {
			used := func(a *Attribute) bool {
				return len(t.takes(a.ID)) == 0 && (&Target{None: []NoRow{{[]string{name}, "x"}}}).reason(a.ID) != ""
			}
			if !slices.ContainsFunc(r.Attributes, used) {
				p.addf("%s: %q in none names no attribute without a row", what, name)
			}
		}
	}
}

// kinds are the kinds of records that have the row.
func (row *TargetRow) kinds() []string {
	if len(row.On) == 0 {
		return recordKinds()
	}
	return row.On
}
