package registry

import (
	"regexp"
	"slices"
	"strings"
)

// The words with which a source begins that is not a list of CloudTrail fields.
const (
	sourceRule     = "rule: "    // what Keytrail makes of the event, in words
	sourceConstant = "constant " // always the same
	sourceReader   = "reader: "  // how and where the event was read
	sourceConfig   = "configuration: "
	sourceBound    = "bound: " // whether a bound has cut a value
)

// pathForm is the form of a field's path: names joined by dots, [] behind those
// of arrays, and a last name that may be *.
var pathForm = regexp.MustCompile(`^([A-Za-z0-9]+(\[\])?\.)*([A-Za-z0-9]+(\[\])?|\*)$`)

// checkFields reports the faults of the field mapping, and contradictions between it and
// the attributes' sources.
func (r *Registry) checkFields(p *problems) {
	known := r.eventAttributes()
	places := map[string]bool{}
	for _, s := range r.Sections {
		if s.Title == "" || len(s.Event) == 0 || len(s.Fields) == 0 {
			p.addf("section %q of the field mapping: title, event and fields must be there", s.Title)
		}
		for _, f := range s.Fields {
			if place := s.Title + " " + f.Path; places[place] {
				p.addf("field %q stands twice in section %q", f.Path, s.Title)
			} else {
				places[place] = true
			}
			p.field(f, r, known)
		}
	}
	for _, a := range r.Attributes {
		if known[a.ID] {
			r.checkSource(p, a)
		}
	}
}

// eventAttributes returns the names of the attributes that a record of a
// CloudTrail event may carry, its resource included. Events that AWS wrote have
// names that begin with "aws.".
func (r *Registry) eventAttributes() map[string]bool {
	names := map[string]bool{}
	for _, e := range r.Events {
		if !strings.HasPrefix(e.Name, "aws.") {
			continue
		}
		for _, u := range slices.Concat(e.Uses(), r.Resource.Uses()) {
			names[u.ID] = true
		}
	}
	return names
}

// field reports the faults of one field, which may give the known attributes.
func (p *problems) field(f *Field, r *Registry, known map[string]bool) {
	if !pathForm.MatchString(f.Path) {
		p.addf("field %q: its path must be of the form a.b[].c", f.Path)
	}
	if (f.Body == "") != (len(f.Gives) > 0) {
		p.addf("field %q must give attributes or have a reason, body, why it gives none", f.Path)
	}
	for _, c := range f.Also {
		if c.When == "" || len(c.Gives) == 0 {
			p.addf("field %q: a further case needs a condition, when, and gives attributes", f.Path)
		}
	}
	for _, c := range f.cases() {
		for _, g := range c.Gives {
			if !known[g.Name] && !slices.Contains(RecordFields(), g.Name) {
				p.addf("field %q gives %q, which is not an attribute of a CloudTrail event's record", f.Path, g.Name)
			}
		}
	}
	for _, name := range f.Collector {
		if r.Attribute(name) != nil && !f.gives(name) && f.Note == "" {
			p.addf("field %q: the collector calls it %q, which is another field's attribute here: say so in a note",
				f.Path, name)
		}
	}
}

// checkSource compares the source of a with the mapping. Each field that the source names
// must give a, and the source must name each field that gives a, directly or through another
// attribute. A rule is in words, which name only the main fields.
func (r *Registry) checkSource(p *problems, a *Attribute) {
	giving := r.giving(a.ID)
	for _, prefix := range []string{sourceConstant, sourceReader, sourceConfig, sourceBound} {
		if strings.HasPrefix(a.Source, prefix) {
			return
		}
	}
	if len(giving) == 0 {
		p.addf("attribute %q: no field gives it; add it to the field mapping, "+
			"or begin its source with constant, reader:, configuration: or bound:", a.ID)
	}
	named := r.fieldsIn(a.Source, 0)
	for _, path := range r.paths(a.Source) {
		if !slices.Contains(giving, path) {
			p.addf("attribute %q: its source names %s, which does not give it", a.ID, path)
		}
	}
	for _, path := range giving {
		within := func(name string) bool { return name == path || strings.HasPrefix(name, path+".") }
		if !strings.HasPrefix(a.Source, sourceRule) && !slices.ContainsFunc(named, within) {
			p.addf("attribute %q: %s gives it, and its source does not say so", a.ID, path)
		}
	}
}

// giving returns the paths of the fields that give an attribute.
func (r *Registry) giving(attribute string) (paths []string) {
	for _, s := range r.Sections {
		for _, f := range s.Fields {
			if f.gives(attribute) && !slices.Contains(paths, f.Path) {
				paths = append(paths, f.Path)
			}
		}
	}
	return paths
}

// word is a name in a source: of a field or of an attribute.
var word = regexp.MustCompile(`[A-Za-z0-9_]+(\[\])?(\.[A-Za-z0-9_]+(\[\])?)*`)

// paths returns the fields of the mapping that a source names.
func (r *Registry) paths(source string) (paths []string) {
	for _, w := range word.FindAllString(source, -1) {
		for _, s := range r.Sections {
			if slices.ContainsFunc(s.Fields, func(f *Field) bool { return f.Path == w }) {
				paths = append(paths, w)
				break
			}
		}
	}
	return paths
}

// fieldsIn returns the fields that a source names, by themselves or through
// attributes; depth ends the search where attributes name each other.
func (r *Registry) fieldsIn(source string, depth int) []string {
	paths := r.paths(source)
	if depth > 4 {
		return paths
	}
	for _, w := range word.FindAllString(source, -1) {
		if a := r.Attribute(w); a != nil {
			paths = append(paths, r.fieldsIn(a.Source, depth+1)...)
		}
	}
	return paths
}
