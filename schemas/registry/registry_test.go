package registry

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.opentelemetry.io/otel/attribute"
	upstream "go.opentelemetry.io/otel/semconv/v1.43.0"
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
	bodies := 0
	for _, target := range r.Targets {
		if target.IsBody() {
			bodies++
		}
	}
	if bodies == 0 || len(files) != 4+bodies+len(r.Events) {
		t.Fatalf("%d generated files, want the constants, the README, the attributes of bodies, the correspondence, "+
			"one mapping for each of %d bodies and one schema for each of %d events", len(files), bodies, len(r.Events))
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join("..", path))
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
		"keytrail.window", "keytrail.anomaly", "keytrail.incident", "keytrail.key_state",
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
		"keytrail.call.id", "keytrail.context.class", "keytrail.operation.class", "keytrail.principal.id",
		"keytrail.via",
	}
	want := map[string][]string{
		"aws.kms.api_call": event, "aws.kms.service_event": event, "aws.cloudtrail.trail_change": event,
		"keytrail.window": {
			"keytrail.window.anomalies.total", "keytrail.window.calls.total", "keytrail.window.denied", "keytrail.window.end",
			"keytrail.window.failed", "keytrail.window.revision", "keytrail.window.scope", "keytrail.window.start",
			"keytrail.window.state", "log.record.uid",
		},
		"keytrail.anomaly": {
			"keytrail.anomaly.began", "keytrail.anomaly.id", "keytrail.anomaly.kind", "keytrail.anomaly.reason",
			"keytrail.anomaly.revision", "keytrail.anomaly.score", "keytrail.anomaly.severity", "keytrail.anomaly.state",
			"log.record.uid",
		},
		"keytrail.incident": {
			"keytrail.incident.began", "keytrail.incident.count.anomalies", "keytrail.incident.count.keys",
			"keytrail.incident.count.principals", "keytrail.incident.detectors", "keytrail.incident.id",
			"keytrail.incident.kinds", "keytrail.incident.last", "keytrail.incident.parts", "keytrail.incident.reason",
			"keytrail.incident.revision", "keytrail.incident.risk", "keytrail.incident.severity", "keytrail.incident.state",
			"log.record.uid",
		},
		"keytrail.key_state": {
			"aws.kms.key.arn", "keytrail.key.first_seen", "keytrail.key.grants.closed", "keytrail.key.grants.open",
			"keytrail.key.last_seen", "keytrail.key.state", "log.record.uid",
		},
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
		{"keytrail.operation.class", "keytrail.window.calls", []string{"total", "direct", "service"}},
		{"keytrail.context.class", "keytrail.window.context", nil},
		{"keytrail.anomaly.kind", "keytrail.window.anomalies", []string{"total"}},
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
	upstream.UserAgentOriginalKey, upstream.ServerAddressKey, upstream.ServerPortKey, upstream.TLSProtocolNameKey,
	upstream.TLSProtocolVersionKey, upstream.TLSCipherKey, upstream.TLSCurveKey, upstream.UserIDKey, upstream.UserNameKey, upstream.UserRolesKey,
	upstream.SecurityRuleNameKey, upstream.SecurityRuleUUIDKey, upstream.SecurityRuleCategoryKey, upstream.SecurityRuleRulesetNameKey,
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

// TestUses holds how a group inherits: the parent's first, in their places, and
// a level given again replaces the parent's.
func TestUses(t *testing.T) {
	r, err := Load(fstest.MapFS{"model/a.yaml": {Data: []byte(minimal + `
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

func TestSpliceNeedsComments(t *testing.T) {
	p := part{"x", []byte("new\n")}
	begin, end := string(p.begin()), string(p.end())
	for _, readme := range []string{"", begin, end + begin, "<!-- y -->\n" + end} {
		if _, err := p.splice([]byte(readme)); err == nil || !strings.Contains(err.Error(), "end of x") {
			t.Errorf("splice into %q: error %v, want one that says what is missing", readme, err)
		}
	}
	got, err := p.splice([]byte("a\n" + begin + "old\n" + end + "b\n"))
	if want := "a\n" + begin + "new\n" + end + "b\n"; err != nil || string(got) != want {
		t.Errorf("splice: %q (%v), want %q", got, err, want)
	}
}
