package property

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Spec describes the values of a property, as the code that reads it defines them.
type Spec struct {
	Name string
	// Default is the value that holds where none is set, "" for none, and Required
	// that one must be set.
	Default  string
	Required bool
	// Allowed says in words what is allowed; Choices are the words themselves, if
	// there is a list of them.
	Allowed string
	Choices []string
}

// Description is what is allowed, in one line.
func (s Spec) Description() string {
	if s.Required {
		return s.Allowed + "; must be set"
	}
	return s.Allowed
}

// Specs returns every property that parse reads, also where one depends on another: parse
// runs once without any property, and once per word of each choice, together with the words
// that led to the choice. parse must have no effects beyond the Reader.
func Specs(parse func(*Reader)) []Spec {
	var all []Spec
	var under []map[string]string // what was set when all[i] came up
	add := func(set map[string]string) {
		r := NewReader(func(name string) string { return set[name] })
		parse(r)
		for _, s := range r.specs {
			if !slices.ContainsFunc(all, func(have Spec) bool { return have.Name == s.Name }) {
				all, under = append(all, s), append(under, set)
			}
		}
	}
	add(nil)
	for i := 0; i < len(all); i++ { // it grows
		for _, word := range all[i].Choices {
			set := maps.Clone(under[i])
			if set == nil {
				set = map[string]string{}
			}
			set[all[i].Name] = word
			add(set)
		}
	}
	return all
}

// cell is text as one cell of a Markdown table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// Table returns the properties as a Markdown table. about says what each is for.
func Table(specs []Spec, about func(name string) string) string {
	var b strings.Builder
	b.WriteString("| property | what | allowed | default |\n|---|---|---|---|\n")
	for _, s := range specs {
		def := "`" + s.Default + "`"
		if s.Required {
			def = "must be set"
		} else if s.Default == "" {
			def = ""
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, cell(about(s.Name)), cell(s.Allowed), def)
	}
	return b.String()
}
