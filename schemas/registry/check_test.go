package registry

import (
	"strings"
	"testing"
	"testing/fstest"
)

// minimal is a small valid registry.
const minimal = `
groups:
  - id: registry.a
    type: attribute_group
    display_name: A
    brief: All.
    attributes:
      - id: a.one
        type: string
        stability: development
        brief: One.
        examples: ["x"]
        requirement_level: recommended
        annotations: {origin: keytrail, source: one}
      - id: a.two
        type: int
        stability: development
        brief: Two.
        examples: [2]
        requirement_level: recommended
        annotations: {origin: keytrail, source: two}
      - id: cloud.region
        type: string
        stability: development
        brief: Three.
        examples: ["x"]
        requirement_level: recommended
        annotations: {origin: otel, source: three}
  - id: entity.e
    type: entity
    name: e
    stability: development
    brief: Entity.
    attributes:
      - ref: cloud.region
  - id: event.a.b
    type: event
    name: a.b
    stability: development
    brief: Event.
    attributes:
      - ref: a.one
      - ref: a.two
`

func TestLoadMinimal(t *testing.T) {
	r, err := Load(fstest.MapFS{"model/a.yaml": {Data: []byte(minimal)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Attributes) != 3 || len(r.Events) != 1 || r.Resource == nil {
		t.Errorf("%d attributes, %d events, resource %v", len(r.Attributes), len(r.Events), r.Resource)
	}
}

// one is the first attribute of the small registry below its id, and set the
// same with a closed set as its type.
const one = `        type: string
        stability: development
        brief: One.
        examples: ["x"]
        requirement_level: recommended
        annotations: {origin: keytrail, source: one}`

func set(members, examples string) string {
	return strings.NewReplacer("type: string", "type: {members: ["+members+"]}", `["x"]`, examples).Replace(one)
}

// breaks are the ways to break the small registry: what is replaced, by what,
// and what the error must say.
var breaks = []struct{ name, old, new, want string }{
	{"unknown field", "brief: One.", "brief: One.\n        breif: x", "field breif not found"},
	{"unknown field of a set", one, set(`{id: x, value: x, brief: X., stability: development, color: red}`, `["x"]`), "field color not found"},
	{"unknown field of a level", "requirement_level: recommended", "requirement_level: {maybe: x}", "field maybe not found"},
	{"attribute twice", "id: a.two", "id: a.one", `attribute "a.one" is defined twice`},
	{"group twice", "id: event.a.b", "id: entity.e", `group "entity.e" stands twice`},
	{"ref to nothing", "- ref: a.two", "- ref: a.three", `refers to attribute "a.three"`},
	{"ref twice", "- ref: a.two", "- ref: a.two\n      - ref: a.one", `refers to attribute "a.one" twice`},
	{"extends nothing", "name: a.b", "name: a.b\n    extends: x", `extends "x", which is not`},
	{"extends itself", "name: a.b", "name: a.b\n    extends: event.a.b", `"event.a.b" extends itself`},
	{"unused", "- ref: a.two", "", `attribute "a.two" is used by no event`},
	{"no entity", "type: entity", "type: event", "no entity"},
	{"two entities", "type: event", "type: entity", "second entity"},
	{"no event", "type: event", "type: attribute_group", "has no event"},
	{"group type", "type: event", "type: span", `unknown type "span"`},
	{"group id", "name: a.b", "name: a.c", `id must be "event.a.c"`},
	{"group title", "display_name: A", "note: A", "has a display_name"},
	{"attribute id", "a.two", "a.Two", "id is not of the form"},
	{"go name", "a.two", "a_one", "share the Go name AOne"},
	{"namespace", "a.two", "a.one.two", `attribute "a.one" is also the namespace of "a.one.two"`},
	{"deprecated", "a.two", "error.message", "use aws.error.message"},
	{"brief", "brief: One.", "brief: One", "ends with a period"},
	{"group brief", "brief: All.", "brief: All", "ends with a period"},
	{"member brief", one, set(`{id: x, value: x, brief: X, stability: development}`, `["x"]`), "ends with a period"},
	{"member stability", one, set(`{id: x, value: x, brief: X.}`, `["x"]`), "unknown stability"},
	{"member twice", one, set(`{id: x, value: x, brief: X., stability: stable}, {id: y, value: x, brief: X., stability: stable}`, `["x"]`), "differ from the other"},
	{"example outside the set", one, set(`{id: x, value: x, brief: X., stability: development}`, `["y"]`), "is not a member of the set"},
	{"no example", `examples: ["x"]`, "note: x", "examples are missing"},
	{"empty example", `examples: ["x"]`, `examples: [""]`, "is not a non-empty string"},
	{"string example", `examples: ["x"]`, "examples: [1]", "is not a non-empty string"},
	{"int example", "examples: [2]", "examples: [2.5]", "is not a non-empty int"},
	{"int as text", "examples: [2]", `examples: ["2"]`, "is not a non-empty int"},
	{"boolean example", "type: int", "type: boolean", "is not a non-empty boolean"},
	{"double example", "type: int", "type: double", "is not a non-empty double"},
	{"list example", "type: int", "type: string[]", "is not a non-empty string[]"},
	{"any", "type: int", "type: any", `unknown type "any"`},
	{"type", "type: int", "type: long", `unknown type "long"`},
	{"stability", "type: int\n        stability: development", "type: int\n        stability: firm", `unknown stability "firm"`},
	{"own name stable", "type: int\n        stability: development", "type: int\n        stability: stable", "only a name of the semantic conventions"},
	{"origin", "origin: otel", "origin: ecs", `unknown origin "ecs"`},
	{"source", "source: one", `source: ""`, "source is missing"},
	{"level", "requirement_level: recommended", "requirement_level: sometimes", `unknown requirement_level "sometimes"`},
	{"level of a ref", "- ref: a.two", "- {ref: a.two, requirement_level: always}", `unknown requirement_level "always"`},
	{"empty condition", "requirement_level: recommended", `requirement_level: {conditionally_required: ""}`, "needs a condition"},
}

// TestLoadRefuses breaks the small registry in one place and wants to be told.
func TestLoadRefuses(t *testing.T) {
	for _, c := range breaks {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(minimal, c.old) {
				t.Fatalf("the small registry has no %q", c.old)
			}
			broken := strings.ReplaceAll(minimal, c.old, c.new)
			_, err := Load(fstest.MapFS{"model/a.yaml": {Data: []byte(broken)}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestLoadWithoutFiles(t *testing.T) {
	if _, err := Load(fstest.MapFS{"a.json": {}}); err == nil {
		t.Error("an empty registry loads")
	}
	_, err := Load(fstest.MapFS{"model/broken.yaml": {Data: []byte("groups: [")}})
	if err == nil || !strings.Contains(err.Error(), `"model/broken.yaml"`) {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// TestDeprecatedNames holds that the guard knows the names that this project
// came across, and that the registry's own names pass it.
func TestDeprecatedNames(t *testing.T) {
	for _, name := range []string{"event.name", "error.message", "rpc.service", "rpc.system"} {
		if Deprecated()[name] == "" {
			t.Errorf("%s is deprecated, and the guard does not know it", name)
		}
	}
	for _, a := range load(t).Attributes {
		if instead, ok := Deprecated()[a.ID]; ok {
			t.Errorf("%s is deprecated: use %s", a.ID, instead)
		}
	}
}

func TestGoNames(t *testing.T) {
	for id, want := range map[string]string{
		"aws.kms.key.arn": "AWSKMSKeyARN",
		"log.record.uid":  "LogRecordUID",
		"aws.user_identity.session_context.issuer.arn": "AWSUserIdentitySessionContextIssuerARN",
		"aws.cloudtrail.api_version":                   "AWSCloudTrailApiVersion",
		"aws.vpc_endpoint.id":                          "AWSVPCEndpointID",
		"keytrail.call.id":                             "KeytrailCallID",
		"keytrail.window.context.s3_object":            "KeytrailWindowContextS3Object",
		"rpc.method":                                   "RPCMethod",
		"tls.protocol.version":                         "TLSProtocolVersion",
	} {
		if got := GoName(id); got != want {
			t.Errorf("GoName(%q) = %s, want %s", id, got, want)
		}
	}
	for id, want := range map[string]string{
		"aws.kms.api_call":            "EventAWSKMSAPICall",
		"aws.cloudtrail.trail_change": "EventAWSCloudTrailTrailChange",
		"keytrail.key_state":          "EventKeytrailKeyState",
	} {
		if got := EventGoName(id); got != want {
			t.Errorf("EventGoName(%q) = %s, want %s", id, got, want)
		}
	}
}
