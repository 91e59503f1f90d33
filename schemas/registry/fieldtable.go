package registry

import (
	"bytes"
	"fmt"
	"strings"
)

// Row is one field of a CloudTrail record beside its names in three schemas, as
// a reader of the mapping sees it. Its slices belong to the caller.
type Row struct {
	Section string `json:"section"`
	Field   string `json:"field"`
	// Gives are the attributes that the field gives, each once, in the order of
	// its cases. BodyOnly is the reason why there is none.
	Gives    []RowGiven `json:"gives,omitempty"`
	BodyOnly string     `json:"body_only,omitempty"`
	// Collector are the names in the collector's CloudTrail encoding, and OCSF
	// the paths in OCSF's API Activity. A member of a field that these keep as
	// one value is written NAME[MEMBER].
	Collector []string `json:"collector,omitempty"`
	OCSF      []string `json:"ocsf,omitempty"`
	Note      string   `json:"note,omitempty"`
}

// RowGiven is an attribute that a field gives, or a field of the log record;
// When are the events in which it does, "" for all that have the field.
type RowGiven struct {
	Name string `json:"name"`
	When string `json:"when,omitempty"`
}

// Rows returns the field mapping, row by row in the order of the files.
func (r *Registry) Rows() []Row {
	var rows []Row
	for _, s := range r.Sections {
		for _, f := range s.Fields {
			row := Row{Section: s.Title, Field: f.Path, BodyOnly: f.Body, Note: f.Note,
				Collector: r.names(f, func(f *Field) Names { return f.Collector }),
				OCSF:      r.names(f, func(f *Field) Names { return f.OCSF })}
			known := map[string]bool{}
			for _, c := range f.cases() {
				for _, g := range c.Gives {
					if !known[g.Name] {
						known[g.Name] = true
						row.Gives = append(row.Gives, RowGiven{g.Name, c.When})
					}
				}
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// names returns the names of a field in another schema: its own, else those of
// a nested field above it, as members of that.
func (r *Registry) names(f *Field, of func(*Field) Names) []string {
	if own := of(f); len(own) > 0 {
		return append([]string(nil), own...)
	}
	for _, s := range r.Sections {
		for _, above := range s.Fields {
			member, below := strings.CutPrefix(f.Path, above.Path+".")
			if !below {
				member, below = strings.CutPrefix(f.Path, above.Path+"[].")
			}
			if !below || !above.Nested {
				continue
			}
			var members []string
			for _, name := range of(above) {
				members = append(members, name+"["+member+"]")
			}
			return members
		}
	}
	return nil
}

// FieldTables renders the field mapping in Markdown, one table for each section.
func (r *Registry) FieldTables() []byte {
	var b bytes.Buffer
	section := ""
	for _, row := range r.Rows() {
		if row.Section != section {
			section = row.Section
			fmt.Fprintf(&b, "\n### %s\n\n| CloudTrail field | Keytrail | collector | OCSF |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.Field, row.ours(), code(row.Collector), code(row.OCSF))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// ours is the cell with Keytrail's names: first those that the field always
// gives, then those of each case behind its condition.
func (row *Row) ours() string {
	var parts []string
	if row.BodyOnly != "" {
		parts = append(parts, "body only: "+row.BodyOnly)
	}
	for i := 0; i < len(row.Gives); {
		when, names := row.Gives[i].When, []string(nil)
		for ; i < len(row.Gives) && row.Gives[i].When == when; i++ {
			names = append(names, row.Gives[i].Name)
		}
		part := code(names)
		if when != "" {
			part += " when " + when
		}
		parts = append(parts, part)
	}
	text := cell(strings.Join(parts, "; "))
	if row.Note != "" {
		text += ". " + cell(row.Note)
	}
	return text
}

// code writes names in Markdown's form of code, "-" when there is none.
func code(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
