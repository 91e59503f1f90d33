package registry

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.opentelemetry.io/otel/attribute"
	upstream "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.yaml.in/yaml/v3"

	"keytrail/schemas/otellog"
)

func load(t *testing.T) *Registry {
	t.Helper()
	r, err := Load(Files())
	if err != nil {
		t.Fatalf("the registry is not valid:\n%v", err)
	}
	return r
}

// TestGeneratedFilesAreFresh renders every generated file in memory and
// compares it with the one on disk.
func TestGeneratedFilesAreFresh(t *testing.T) {
	r, tree := load(t), os.DirFS("..")
	files, err := r.Outputs(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2+len(r.Events) {
		t.Fatalf("%d generated files, want the constants, the README and one schema for each of %d events", len(files), len(r.Events))
	}
	for path, want := range files {
		got, err := fs.ReadFile(tree, path)
		if err != nil || string(got) != string(want) {
			t.Errorf("schemas/%s is stale (%v): run %q at the top of the module", path, err, Command)
		}
	}
	orphans, err := r.Orphans(tree)
	if err != nil || len(orphans) > 0 {
		t.Errorf("JSON Schemas of no event: %v (%v): run %q at the top of the module", orphans, err, Command)
	}
}

// TestEventNames holds the names that other parts and users rely on.
func TestEventNames(t *testing.T) {
	want := []string{
		"aws.kms.api_call", "aws.kms.service_event", "aws.cloudtrail.trail_change",
		"keytrail.window", "keytrail.anomaly", "keytrail.key_state",
	}
	var got []string
	for _, e := range load(t).Events {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestRequired(t *testing.T) {
	event := []string{
		"aws.kms.encryption_context.class", "aws.kms.operation.class",
		"keytrail.call.id", "keytrail.principal", "keytrail.via",
	}
	want := map[string][]string{
		"aws.kms.api_call": event, "aws.kms.service_event": event, "aws.cloudtrail.trail_change": event,
		"keytrail.window": {
			"keytrail.window.anomalies", "keytrail.window.calls", "keytrail.window.denied", "keytrail.window.end",
			"keytrail.window.failed", "keytrail.window.revision", "keytrail.window.scope", "keytrail.window.start",
			"keytrail.window.state",
		},
		"keytrail.anomaly": {
			"keytrail.anomaly.id", "keytrail.anomaly.kind", "keytrail.anomaly.reason",
			"keytrail.anomaly.score", "keytrail.anomaly.severity",
		},
		"keytrail.key_state": nil,
	}
	for _, e := range load(t).Events {
		var got []string
		for _, u := range e.Uses() {
			if u.Level.Kind == Required {
				got = append(got, u.ID)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want[e.Name]) {
			t.Errorf("%s requires %q, want %q", e.Name, got, want[e.Name])
		}
	}
}

// TestCountsCoverSets holds that a window has a count for every member of the
// three closed sets, and no count beside them.
func TestCountsCoverSets(t *testing.T) {
	r := load(t)
	for _, c := range []struct {
		set, counts string
		beside      []string
	}{
		{"aws.kms.operation.class", "keytrail.window.calls", []string{"direct", "service"}},
		{"aws.kms.encryption_context.class", "keytrail.window.context", nil},
		{"keytrail.anomaly.kind", "keytrail.window.anomalies", nil},
	} {
		set := r.Attribute(c.set)
		if set == nil || len(set.Type.Members) == 0 {
			t.Fatalf("%s is no closed set", c.set)
		}
		want := slices.Clone(c.beside)
		for _, m := range set.Type.Members {
			want = append(want, m.Value)
		}
		got := r.Under(c.counts)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("counts under %s:\n%q\nwant those of %s:\n%q", c.counts, got, c.set, want)
		}
	}
}

// upstreamKeys are the names of the conventions, from the package that the
// OpenTelemetry project generates from them. That package leaves out every
// name that was deprecated when it was generated.
var upstreamKeys = []attribute.Key{
	upstream.CloudProviderKey, upstream.CloudAccountIDKey, upstream.CloudRegionKey,
	upstream.LogRecordUIDKey, upstream.RPCMethodKey, upstream.ErrorTypeKey, upstream.ClientAddressKey,
	upstream.UserAgentOriginalKey, upstream.ServerAddressKey, upstream.TLSProtocolNameKey,
	upstream.TLSProtocolVersionKey, upstream.TLSCipherKey, upstream.UserIDKey, upstream.UserNameKey,
	upstream.AWSRequestIDKey,
}

// TestUpstreamNames holds that what is called a name of the conventions is one.
func TestUpstreamNames(t *testing.T) {
	var got, want []string
	for _, k := range upstreamKeys {
		want = append(want, string(k))
	}
	for _, a := range load(t).Attributes {
		if a.Origin == FromOTel {
			got = append(got, a.ID)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("names of origin otel:\n%q\nwant names of package semconv:\n%q", got, want)
	}
}

// schemaFile is an OpenTelemetry schema file, as far as this project uses it.
type schemaFile struct {
	Format   string `yaml:"file_format"`
	URL      string `yaml:"schema_url"`
	Versions map[string]*struct {
		All struct {
			Changes []struct {
				Rename struct {
					Map map[string]string `yaml:"attribute_map"`
				} `yaml:"rename_attributes"`
			} `yaml:"changes"`
		} `yaml:"all"`
	} `yaml:"versions"`
}

// TestSchemaFile holds that the current version has its schema file, and that
// renames lead from names that are gone to names that exist.
func TestSchemaFile(t *testing.T) {
	r := load(t)
	f, err := os.Open("versions/" + otellog.SchemaVersion + ".yaml")
	if err != nil {
		t.Fatalf("version %s has no schema file: %v", otellog.SchemaVersion, err)
	}
	defer f.Close()
	var s schemaFile
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Versions[otellog.SchemaVersion]; !ok || !strings.HasSuffix(s.URL, "/"+otellog.SchemaVersion) {
		t.Errorf("schema file of %s has URL %q and versions %v", otellog.SchemaVersion, s.URL, s.Versions)
	}
	for version, v := range s.Versions {
		if v == nil {
			continue
		}
		for _, change := range v.All.Changes {
			for from, to := range change.Rename.Map {
				if r.Attribute(from) != nil || r.Attribute(to) == nil {
					t.Errorf("version %s renames %q to %q: the first must be gone and the second there", version, from, to)
				}
			}
		}
	}
}

// TestUses holds how a group inherits: the parent's first, in their places, and
// a level given again replaces the parent's.
func TestUses(t *testing.T) {
	r, err := Load(fstest.MapFS{"a.yaml": {Data: []byte(minimal + `
  - id: event.x.y
    type: event
    name: x.y
    extends: event.a.b
    stability: development
    brief: One.
    attributes:
      - ref: cloud.region
      - {ref: a.one, requirement_level: required}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range r.Events[1].Uses() {
		got = append(got, u.ID+" "+string(u.Level.Kind))
	}
	want := []string{"a.one required", "a.two recommended", "cloud.region recommended"}
	if !slices.Equal(got, want) {
		t.Errorf("uses %q, want %q", got, want)
	}
	if !r.Events[1].Extends(r.Events[0]) || r.Events[0].Extends(r.Events[1]) {
		t.Error("the second event extends the first, and not the other way")
	}
}

func TestSpliceNeedsMarkers(t *testing.T) {
	for _, readme := range []string{"", tablesBegin, tablesEnd + tablesBegin} {
		if _, err := splice([]byte(readme), nil); err == nil {
			t.Errorf("splice accepts %q", readme)
		}
	}
	got, err := splice([]byte("a\n"+tablesBegin+"old\n"+tablesEnd+"b\n"), []byte("new\n"))
	if want := "a\n" + tablesBegin + "new\n" + tablesEnd + "b\n"; err != nil || string(got) != want {
		t.Errorf("splice: %q (%v), want %q", got, err, want)
	}
}
