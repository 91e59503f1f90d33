package registry

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	schema "go.opentelemetry.io/otel/schema/v1.1"
	"go.opentelemetry.io/otel/schema/v1.1/ast"
	"go.opentelemetry.io/otel/schema/v1.1/types"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"keytrail/schemas/otellog"
)

// TestSchemaFiles parses every OpenTelemetry schema file with the project's own
// parser. The files hold their versions newest first, each file those of the one
// before it; the newest is the version that log records name.
func TestSchemaFiles(t *testing.T) {
	names, err := fs.Glob(Files(), "versions/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no schema files: %v", err)
	}
	byAge := map[string][]string{} // versions newest first, by the newest
	for _, name := range names {
		version := strings.TrimSuffix(path.Base(name), ".yaml")
		text, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}
		parsed, versions, err := parseSchemaFile(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if versions[0] != version || !strings.HasSuffix(parsed.SchemaURL, "/"+version) {
			t.Errorf("%s is of version %q and has the URL %s", name, versions[0], parsed.SchemaURL)
		}
		byAge[version] = versions
	}
	current := byAge[otellog.SchemaVersion]
	if current == nil {
		t.Fatalf("the current version %s has no schema file", otellog.SchemaVersion)
	}
	if len(current) != len(byAge) {
		t.Errorf("the current file has the versions %q, and there are %d files", current, len(byAge))
	}
	for i, version := range current {
		if !slices.Equal(byAge[version], current[i:]) {
			t.Errorf("the file of %s has the versions %q, want %q", version, byAge[version], current[i:])
		}
	}
}

// parseSchemaFile parses a schema file and returns its versions, newest first. A
// file of another format, or with versions in another order, is an error.
func parseSchemaFile(text []byte) (*ast.Schema, []string, error) {
	parsed, err := schema.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, nil, err
	}
	var ordered struct {
		Versions yaml.Node `yaml:"versions"`
	}
	if err := yaml.Unmarshal(text, &ordered); err != nil {
		return nil, nil, err
	}
	var versions []string
	for i := 0; i < len(ordered.Versions.Content); i += 2 {
		versions = append(versions, ordered.Versions.Content[i].Value)
	}
	if parsed.FileFormat != "1.1.0" || len(versions) == 0 || len(versions) != len(parsed.Versions) {
		return nil, nil, fmt.Errorf("format %s and versions %q", parsed.FileFormat, versions)
	}
	for i := range versions {
		numbers, err := numbersOf(versions[i])
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			continue
		}
		if newer, _ := numbersOf(versions[i-1]); slices.Compare(newer, numbers) <= 0 {
			return nil, nil, fmt.Errorf("version %s stands behind %s, want the newest first", versions[i], versions[i-1])
		}
	}
	return parsed, versions, nil
}

// numbersOf returns the three numbers of a version.
func numbersOf(version string) ([]int, error) {
	var numbers []int
	for _, part := range strings.Split(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || strconv.Itoa(n) != part {
			return nil, fmt.Errorf("%q is no version", version)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != 3 {
		return nil, fmt.Errorf("%q is no version of three numbers", version)
	}
	return numbers, nil
}

// TestSchemaFileRefused holds parseSchemaFile to files that are wrong.
func TestSchemaFileRefused(t *testing.T) {
	text, err := SchemaFile()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, _, err := parseSchemaFile(text); err != nil {
		t.Fatal(err)
	}
	f := func(old, new, want string) {
		t.Helper()
		broken := strings.Replace(good, old, new, 1)
		if _, _, err := parseSchemaFile([]byte(broken)); broken == good || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q for %q: error %v, want one with %q", new, old, err, want)
		}
	}
	f("file_format: 1.1.0", "file_format: 2.0.0", "major version")
	f("file_format: 1.1.0", "file_format: 1.0.0", "format 1.0.0")
	f("file_format:", "format:", "format not found")
	f("schema_url:", "schema_url: ' ' #", "schema_url field is missing")
	f("  0.1.0:", "  0.1.0: {logs: {change: []}}", "change not found")
	f("  0.1.0:", "  0.1.0:\n  0.1.1:", "want the newest first")
	f("  0.1.0:", "  0.1.0:\n  0.0.9:\n  0.0.09:", "no version")
	f("  0.1.0:", "  '0.1':", "no version of three numbers")
}

// TestRenames holds that every rename of an attribute leads from a name that is
// gone to one that is there, or on to a younger rename.
func TestRenames(t *testing.T) {
	r := load(t)
	text, err := SchemaFile()
	if err != nil {
		t.Fatal(err)
	}
	parsed, versions, err := parseSchemaFile(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range renameProblems(r, parsed, versions) {
		t.Error(problem)
	}
	// And that a wrong one is found.
	example := "file_format: 1.1.0\nschema_url: https://x.example/0.3.0\nversions:\n" +
		"  0.3.0: {all: {changes: [{rename_attributes: {attribute_map: {keytrail.who: keytrail.principal.id}}}]}}\n" +
		"  0.2.0: {logs: {changes: [{rename_attributes: {attribute_map: {keytrail.person: keytrail.who, keytrail.via: keytrail.way}}}]}}\n" +
		"  0.1.0:\n"
	if parsed, versions, err = parseSchemaFile([]byte(example)); err != nil {
		t.Fatal(err)
	}
	if problems := renameProblems(r, parsed, versions); len(problems) != 2 ||
		!strings.Contains(problems[0], "keytrail.way, which is not there") || !strings.Contains(problems[1], "keytrail.via, which is still there") {
		t.Errorf("problems %q, want keytrail.via that is there and keytrail.way that is not", problems)
	}
}

// renameProblems follows the renames of a schema file from the oldest version on.
func renameProblems(r *Registry, parsed *ast.Schema, versions []string) (problems []string) {
	now := map[string]string{} // each name that was renamed, and what it is called now
	for _, version := range slices.Backward(versions) {
		def := parsed.Versions[types.TelemetryVersion(version)]
		maps := []map[string]string{}
		for _, c := range def.All.Changes {
			if c.RenameAttributes != nil {
				maps = append(maps, c.RenameAttributes.AttributeMap)
			}
		}
		for _, c := range def.Logs.Changes {
			if c.RenameAttributes != nil {
				maps = append(maps, c.RenameAttributes.AttributeMap)
			}
		}
		for _, m := range maps {
			for from, to := range m {
				for old, name := range now {
					if name == from {
						now[old] = to
					}
				}
				now[from] = to
			}
		}
	}
	for from, to := range now {
		if r.Attribute(from) != nil {
			problems = append(problems, fmt.Sprintf("the schema file renames %s, which is still there", from))
		}
		if r.Attribute(to) == nil {
			problems = append(problems, fmt.Sprintf("the schema file renames %s to %s, which is not there", from, to))
		}
	}
	slices.Sort(problems)
	return problems
}

// TestVersionInRecords holds that a log record names the version of the schema file as its
// scope's, and the semantic conventions as the schema of its resource. The schema file is
// not published, so the scope has no schema URL.
func TestVersionInRecords(t *testing.T) {
	text, err := SchemaFile()
	if err != nil {
		t.Fatal(err)
	}
	_, versions, err := parseSchemaFile(text)
	if err != nil {
		t.Fatal(err)
	}
	var request collogs.ExportLogsServiceRequest
	if err := proto.Unmarshal(otellog.AppendRequest(nil, &otellog.Record{Time: 1, EventName: "x"}), &request); err != nil {
		t.Fatal(err)
	}
	resource := request.ResourceLogs[0]
	scope := resource.ScopeLogs[0]
	if scope.Scope.Name != otellog.ScopeName || scope.Scope.Version != versions[0] {
		t.Errorf("scope %s %s, want version %s", scope.Scope.Name, scope.Scope.Version, versions[0])
	}
	if resource.SchemaUrl != otellog.SchemaURL || scope.SchemaUrl != "" {
		t.Errorf("schema URLs %q and %q, want %q for the resource and none for the scope",
			resource.SchemaUrl, scope.SchemaUrl, otellog.SchemaURL)
	}
}

// TestManifest holds that weaver reads the folder model as the version that records name,
// on top of the semantic conventions, and that no group defines an attribute of theirs.
func TestManifest(t *testing.T) {
	text, err := Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		SchemaURL    string `yaml:"schema_url"`
		Description  string
		Stability    string
		Dependencies []struct {
			SchemaURL    string `yaml:"schema_url"`
			RegistryPath string `yaml:"registry_path"`
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	file, err := SchemaFile()
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := parseSchemaFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if m.SchemaURL != parsed.SchemaURL || len(m.Dependencies) != 1 {
		t.Fatalf("the manifest has the URL %s and %d dependencies, want %s and one", m.SchemaURL, len(m.Dependencies), parsed.SchemaURL)
	}
	on := m.Dependencies[0]
	if version := path.Base(on.SchemaURL); version != "1.44.0" || !strings.Contains(on.RegistryPath, "v"+version+".zip[model]") {
		t.Errorf("the manifest depends on %+v, want version 1.44.0 of the semantic conventions", on)
	}
	groups, err := decodeFiles(Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, a := range g.Attributes {
			if theirs := a.Annotations.Origin == FromOTel; theirs && (a.ID != "" || a.Annotations.Type == "") {
				t.Errorf("group %s defines %s, which the semantic conventions define", g.ID, a.ID+a.Ref)
			}
		}
	}
}
