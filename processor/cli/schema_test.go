package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	schemafile "go.opentelemetry.io/otel/schema/v1.1"
	"go.yaml.in/yaml/v3"

	"keytrail/schemas/jsonschema"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// printedSchema returns the output of "keytrail schema ARGS".
func printedSchema(t *testing.T, args ...string) string {
	t.Helper()
	return keytrail(t, nil, append([]string{"schema"}, args...)...).wants(t, 0).stdout
}

func TestSchemaForms(t *testing.T) {
	list, help := printedSchema(t), printedSchema(t, "-h")
	for _, form := range []string{"registry", "manifest", "jsonschema [EVENT]", "otel", "table", "fields", "correspondence"} {
		name, _, _ := strings.Cut(form, " ")
		if !strings.Contains("\n"+list, "\n  "+form+"  ") || !strings.Contains(help, "\n  "+name+"  ") {
			t.Errorf("nothing about %s in\n%s\nor in\n%s", form, list, help)
		}
	}
	names := lines(printedSchema(t, "jsonschema"))
	if !slices.Equal(names, jsonschema.EventNames()) || !slices.Contains(names, windowEvent) {
		t.Errorf("schema jsonschema lists %v", names)
	}
	for _, name := range names {
		want, err := jsonschema.Schema(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{name}, {"jsonschema", name}} {
			if out := printedSchema(t, args...); out != string(want) || !json.Valid([]byte(out)) {
				t.Errorf("schema %s is not the one of the records", args)
			}
		}
	}
}

// The registry is a stream of YAML documents that defines every attribute and event of
// the program.
func TestSchemaRegistry(t *testing.T) {
	d := yaml.NewDecoder(strings.NewReader(printedSchema(t, "registry")))
	ids, documents := map[string]bool{}, 0
	for ; ; documents++ {
		var file struct {
			Groups []struct {
				Name       string
				Attributes []struct{ ID, Ref string }
			}
		}
		if err := d.Decode(&file); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Groups {
			ids[g.Name] = true
			for _, a := range g.Attributes {
				ids[a.ID], ids[a.Ref] = true, true
			}
		}
	}
	for _, id := range append(jsonschema.EventNames(), semconv.KeytrailPrincipalID, semconv.AWSKMSKeyARN, semconv.CloudRegion, windowCalls, semconv.KeytrailAnomalyID) {
		if !ids[id] {
			t.Errorf("the %d documents have no %s", documents, id)
		}
	}
}

func TestSchemaFile(t *testing.T) {
	parsed, err := schemafile.Parse(strings.NewReader(printedSchema(t, "otel")))
	if err != nil || !strings.HasSuffix(parsed.SchemaURL, "/"+otellog.SchemaVersion) {
		t.Errorf("schema otel is not the file of version %s: %+v, %v", otellog.SchemaVersion, parsed, err)
	}
}

// The two Markdown forms equal the documentation, and the mapping is the same in JSON
// Lines.
func TestSchemaTables(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "schemas", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, fields := printedSchema(t, "table"), printedSchema(t, "fields")
	for form, text := range map[string]string{"table": table, "fields": fields} {
		if len(text) < 10_000 || !bytes.Contains(readme, []byte(text)) {
			t.Errorf("what schema %s prints does not stand in schemas/README.md:\n%.500s", form, text)
		}
	}
	rows := 0
	for _, line := range lines(printedSchema(t, "fields", "-o", "json")) {
		var row struct {
			Section, Field string
			BodyOnly       string `json:"body_only"`
			Gives          []struct{ Name, When string }
			Collector      []string
			OCSF           []string
			Note           string
		}
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		rows++
		if row.Section == "" || (row.BodyOnly == "") == (len(row.Gives) == 0) {
			t.Errorf("a field has a section, and attributes or a reason: %s", line)
		}
		if row.Field == "eventID" && (!slices.Equal(row.Collector, []string{"aws.cloudtrail.event_id"}) || !slices.Equal(row.OCSF, []string{"metadata.uid"}) ||
			len(row.Gives) != 2 || row.Gives[0].Name != semconv.LogRecordUID || row.Gives[1].Name != semconv.KeytrailCallID) {
			t.Errorf("eventID is %s", line)
		}
	}
	if want := strings.Count(fields, "\n| `"); rows != want || rows < 100 {
		t.Errorf("%d fields as JSON, %d in the tables", rows, want)
	}
}

// The correspondence is the page in docs, and each of its rows is a line of JSON.
func TestSchemaCorrespondence(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "correspondence.md"))
	if err != nil {
		t.Fatal(err)
	}
	if printedSchema(t, "correspondence") != string(page) {
		t.Error("schema correspondence does not print docs/correspondence.md")
	}
	found := false
	for _, line := range lines(printedSchema(t, "correspondence", "-o", "json")) {
		var row struct {
			Target, To string
			From, On   []string
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Target == "" || row.To == "" {
			t.Errorf("%v: %s", err, line)
		}
		found = found || row.Target == "ecs" && row.To == "event.id" && slices.Equal(row.From, []string{semconv.LogRecordUID})
	}
	if !found {
		t.Error("no row says that event.id of ECS is log.record.uid")
	}
}
