package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"keytrail/schemas/jsonschema"
	"keytrail/schemas/registry"
)

// schemaForm is one form in which the log schema is printed.
type schemaForm struct {
	name, args, brief string
	// print returns the text; what is behind the form's name is in args, at most
	// one, and only if the form takes any.
	print func(args []string, output string) ([]byte, error)
}

// schemaForms are all of them, in the order of the help text.
func schemaForms() []schemaForm {
	return []schemaForm{
		{"registry", "", "every attribute and event, as YAML in the form of the semantic conventions", func([]string, string) ([]byte, error) { return registry.Source() }},
		{"jsonschema", "[EVENT]", "the JSON Schema of an event's log record in OTLP/JSON; without EVENT, the events", schemaOfEvent},
		{"otel", "", "the OpenTelemetry schema file: what changed in the names, by version", func([]string, string) ([]byte, error) { return registry.SchemaFile() }},
		{"table", "", "every attribute and event, as Markdown", schemaTable},
		{"fields", "", "what becomes of each CloudTrail field, beside the collector and OCSF, as Markdown", schemaFields},
	}
}

// schema is "keytrail schema FORM".
func (a *app) schema(args []string) int {
	forms := schemaForms()
	about := "Prints the log schema in one of these forms; without FORM, their names.\nAn event's name alone is short for jsonschema EVENT.\n\n"
	var names []string
	for _, form := range forms {
		names = append(names, form.name)
		about += formLine(form)
	}
	f := a.flags("schema", "[FLAGS] [FORM]", strings.TrimSuffix(about, "\n"))
	output := "table"
	f.choice(&output, "o", "output of the form fields: `table|json` (json: one object a line)", "table", "json")
	rest, code, done := a.parse(f, args)
	if done {
		return code
	}
	if len(rest) == 0 {
		for _, form := range forms {
			fmt.Fprint(a.stdout, formLine(form))
		}
		return exitOK
	}
	if slices.Contains(jsonschema.EventNames(), rest[0]) {
		rest = append([]string{"jsonschema"}, rest...)
	}
	i := slices.Index(names, rest[0])
	switch {
	case i < 0:
		a.errorf("the schema has no form %q; the forms are %s, and the events %s", rest[0], strings.Join(names, ", "), strings.Join(jsonschema.EventNames(), ", "))
		return exitUsage
	case len(rest) > 2, len(rest) > 1 && forms[i].args == "":
		a.errorf("schema %s does not take %q; see keytrail schema -h", rest[0], rest[1:])
		return exitUsage
	case output != "table" && rest[0] != "fields":
		a.errorf("-o %s is for schema fields, not for schema %s", output, rest[0])
		return exitUsage
	}
	text, err := forms[i].print(rest[1:], output)
	if err != nil {
		a.errorf("%v", err)
		if forms[i].args != "" {
			return exitUsage // what the user asked for is not there
		}
		return exitError
	}
	a.stdout.Write(text)
	return exitOK
}

// formLine is a form's line in the help.
func formLine(f schemaForm) string {
	return fmt.Sprintf("  %-20s %s\n", strings.TrimSpace(f.name+" "+f.args), f.brief)
}

func schemaOfEvent(args []string, _ string) ([]byte, error) {
	if len(args) > 0 {
		return jsonschema.Schema(args[0])
	}
	return []byte(strings.Join(jsonschema.EventNames(), "\n") + "\n"), nil
}

func schemaTable([]string, string) ([]byte, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, err
	}
	return reg.Tables(), nil
}

func schemaFields(_ []string, output string) ([]byte, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, err
	}
	if output == "table" {
		return reg.FieldTables(), nil
	}
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false)
	for _, row := range reg.Rows() {
		if err := lines.Encode(row); err != nil {
			return nil, fmt.Errorf("cannot write the field mapping as JSON: %w", err)
		}
	}
	return b.Bytes(), nil
}
