package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keytrail/processor/cli/flags"
	"keytrail/schemas/jsonschema"
	"keytrail/schemas/registry"
)

// schema is "keytrail schema FORM".
func (a *app) schema() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schema [FORM]", GroupID: groupAbout,
		Short: "Print the log schema: attributes, JSON Schemas, the mapping of fields",
		Long: "Prints the log schema in one of these forms; without FORM, their names. The name of an\n" +
			"event alone is short for jsonschema EVENT.",
		Example: "keytrail schema keytrail.window >window.schema.json\nkeytrail schema table\n" +
			"keytrail schema fields -o json",
		ValidArgs: jsonschema.EventNames(),
		RunE:      a.anySchema,
	}
	output := "table"
	form := func(use, short, example string, print func(args []string) ([]byte, error)) *cobra.Command {
		c := &cobra.Command{Use: use, Short: short, Long: short + ".", Example: example, Args: noArguments}
		c.RunE = func(_ *cobra.Command, args []string) error {
			text, err := print(args)
			if err == nil {
				a.stdout.Write(text)
			}
			return err
		}
		cmd.AddCommand(c)
		return c
	}
	form("registry", "Print every attribute and event, as YAML in the form of the semantic conventions",
		"keytrail schema registry",
		func([]string) ([]byte, error) { return registry.Source() })
	form("manifest", "Print the manifest by which weaver reads the registry on top of the semantic conventions",
		"keytrail schema manifest", func([]string) ([]byte, error) { return registry.Manifest() })
	one := form("jsonschema [EVENT]",
		"Print the JSON Schema of an event's log record in OTLP/JSON; without EVENT, the events", "keytrail schema jsonschema keytrail.anomaly", schemaOfEvent)
	one.Args, one.ValidArgs = atMostOne, jsonschema.EventNames()
	form("otel", "Print the OpenTelemetry schema file: what changed in the names, by version", "keytrail schema otel",
		func([]string) ([]byte, error) { return registry.SchemaFile() })
	form("table", "Print every attribute and event, as Markdown", "keytrail schema table", schemaTable)
	fields := form("fields", "Print the attributes of each CloudTrail field, beside the collector and OCSF",
		"keytrail schema fields -o json",
		func([]string) ([]byte, error) { return schemaFields(output) })
	flags.Output(fields, &output, "form of the output; table is Markdown, json one object a line", "table", "json")
	names := form("correspondence", "Print the names of each attribute in ECS, OCSF, CIM, CEF, LEEF and the collector",
		"keytrail schema correspondence -o json",
		func([]string) ([]byte, error) { return schemaCorrespondence(output) })
	flags.Output(names, &output, "form of the output; table is Markdown, json one object a line", "table", "json")
	return cmd
}

// anySchema prints the names of the forms, or the schema of an event.
func (a *app) anySchema(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
		if len(args) == 0 {
			fmt.Fprintf(a.stdout, "  %-20s %s\n", c.Use, c.Short)
		}
	}
	events := jsonschema.EventNames()
	switch {
	case len(args) == 0:
		return nil
	case !slices.Contains(events, args[0]):
		return usagef("the schema has no form or event %q%s; the forms are %s, and the events %s", args[0],
			flags.DidYouMean("", args[0], append(names, events...)), strings.Join(names, ", "), strings.Join(events, ", "))
	case len(args) > 1:
		return usagef("schema %s does not take %q; see keytrail schema --help", args[0], args[1:])
	}
	text, err := schemaOfEvent(args)
	a.stdout.Write(text)
	return err
}

// atMostOne checks the arguments of a command that takes one or none.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("schema %s does not take %q; see %s --help", cmd.Name(), args[1:], cmd.CommandPath())
	}
	return nil
}

func schemaOfEvent(args []string) ([]byte, error) {
	if len(args) == 0 {
		return []byte(strings.Join(jsonschema.EventNames(), "\n") + "\n"), nil
	}
	text, err := jsonschema.Schema(args[0])
	if err != nil {
		return nil, usageError{err}
	}
	return text, nil
}

func schemaTable([]string) ([]byte, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, err
	}
	return reg.Tables(), nil
}

func schemaFields(output string) ([]byte, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, err
	}
	if output == "table" {
		return reg.FieldTables(), nil
	}
	return jsonLines(reg.Rows())
}

func schemaCorrespondence(output string) ([]byte, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, err
	}
	if output == "table" {
		return reg.Correspondence(), nil
	}
	return jsonLines(reg.TargetRows())
}

// jsonLines writes each row as a JSON object on its line.
func jsonLines[T any](rows []T) ([]byte, error) {
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false)
	for _, row := range rows {
		if err := lines.Encode(row); err != nil {
			return nil, fmt.Errorf("cannot write a row of the schema as JSON: %w", err)
		}
	}
	return b.Bytes(), nil
}
