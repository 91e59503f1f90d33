package charttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are the OpenAPI schemas of a version of Kubernetes, from the folder of
// kubectl-validate's module.
type schemas struct {
	dir      string
	compiler *jsonschema.Compiler
	loaded   map[string]bool
}

func newSchemas(t *testing.T) *schemas {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kubectl-validate").Output()
	if err != nil {
		t.Fatal(err)
	}
	return &schemas{dir: filepath.Join(strings.TrimSpace(string(dir)), "pkg", "openapiclient", "builtins", "1.30"),
		compiler: jsonschema.NewCompiler(), loaded: map[string]bool{}}
}

// check checks a manifest; a field that its schema does not have is an error.
func (s *schemas) check(o object) error {
	version, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	path := filepath.Join(s.dir, "apis", version+".json")
	group, _, _ := strings.Cut(version, "/")
	if version == "v1" {
		path, group = filepath.Join(s.dir, "api", "v1.json"), "core"
	}
	if !s.loaded[version] {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var doc object
		if err := json.Unmarshal(text, &doc); err != nil {
			return err
		}
		for _, one := range at(doc, "components", "schemas").(object) {
			if schema := one.(object); schema["properties"] != nil && schema["additionalProperties"] == nil {
				schema["additionalProperties"] = false
			}
		}
		if err := s.compiler.AddResource("kubernetes/"+version, doc); err != nil {
			return err
		}
		s.loaded[version] = true
	}
	group, _, _ = strings.Cut(group, ".")
	number := version[strings.LastIndexByte(version, '/')+1:]
	schema, err := s.compiler.Compile(fmt.Sprintf("kubernetes/%s#/components/schemas/io.k8s.api.%s.%s.%s", version, group, number, kind))
	if err != nil {
		return err
	}
	return schema.Validate(o)
}

// TestSchemasRefuse: the schemas see what a person gets wrong.
func TestSchemasRefuse(t *testing.T) {
	s := newSchemas(t)
	for text, want := range map[string]string{
		"{apiVersion: v1, kind: Service, spec: {clusterip: None}}":                                      "clusterip",
		"{apiVersion: v1, kind: Service, spec: {ports: [{port: metrics}]}}":                             "port",
		"{apiVersion: apps/v1, kind: StatefulSet, spec: {serviceName: a, selector: {}}}":                "template",
		"{apiVersion: policy/v1, kind: PodDisruptionBudget, spec: {selector: {matchLabels: {a: [b]}}}}": "matchLabels",
		"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, spec: {podSelector: {}, ingress: {}}}": "ingress",
	} {
		if err := s.check(values(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s fits, or its refusal does not name %q: %v", text, want, err)
		}
	}
}
