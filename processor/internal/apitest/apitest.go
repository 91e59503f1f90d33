// Package apitest holds the answers of an API to its OpenAPI document: tests alone import it.
package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Contract is a document: the schema of each answer, by path, status and media type.
type Contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	used     map[string]bool // properties that an answer had, such as "Stage.lag"
}

// Read reads a document.
func Read(t *testing.T, document []byte) *Contract {
	t.Helper()
	c := &Contract{compiler: jsonschema.NewCompiler(), used: map[string]bool{}}
	var doc map[string]any
	if err := yaml.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc) // the types of encoding/json
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &c.doc); err != nil {
		t.Fatal(err)
	}
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("openapi.json", c.doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// at returns the value at a JSON pointer of the document, with references resolved, and the
// pointer to it.
func (c *Contract) at(t *testing.T, pointer string) (any, string) {
	t.Helper()
	var v any = c.doc
	for _, name := range strings.Split(pointer, "/")[1:] {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		m, ok := v.(map[string]any)
		if !ok || m[name] == nil {
			return nil, pointer
		}
		v = m[name]
	}
	if m, ok := v.(map[string]any); ok && m["$ref"] != nil {
		return c.at(t, strings.TrimPrefix(m["$ref"].(string), "#"))
	}
	return v, pointer
}

// Check validates an answer to a request for a path of the document.
func (c *Contract) Check(t *testing.T, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	base := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/get/responses/"
	v, pointer := c.at(t, base+fmt.Sprint(w.Code))
	if v == nil {
		v, pointer = c.at(t, base+"default")
		if w.Code < 400 || v == nil {
			t.Errorf("%s: the document has no answer %d", path, w.Code)
			return
		}
	}
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, _ := c.at(t, pointer+"/content")
	if content == nil {
		if kind != "" || w.Body.Len() > 0 {
			t.Errorf("%s: answer %d has a body of %s, which the document does not have", path, w.Code, kind)
		}
		return
	}
	schema, at := c.at(t, pointer+"/content/"+strings.ReplaceAll(kind, "/", "~1")+"/schema")
	if schema == nil {
		t.Errorf("%s: answer %d has the type %q, which the document does not have", path, w.Code, kind)
		return
	}
	var body any = w.Body.String()
	if strings.HasSuffix(kind, "json") {
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v in %s", path, err, w.Body)
		}
	}
	s, err := c.compiler.Compile("openapi.json#" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(body); err != nil {
		t.Errorf("%s: answer %d: %v\n%s", path, w.Code, err, w.Body)
	}
	c.use(t, schema, at, body)
}

// use notes the properties of a value that its schema names.
func (c *Contract) use(t *testing.T, schema any, at string, value any) {
	t.Helper()
	m, _ := schema.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		next, pointer := c.at(t, strings.TrimPrefix(ref, "#"))
		c.use(t, next, pointer, value)
		return
	}
	for _, part := range list(m["allOf"]) {
		c.use(t, part, at, value)
	}
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			c.use(t, m["items"], at, one)
		}
	case map[string]any:
		for name, below := range object(m["properties"]) {
			if one, has := v[name]; has {
				c.used[at+"/properties/"+name] = true
				c.use(t, below, at+"/properties/"+name, one)
			}
		}
	}
}

// Paths are the paths of the document, in order.
func (c *Contract) Paths() []string { return slices.Sorted(maps.Keys(object(c.doc["paths"]))) }

// Unused returns the properties of the document's schemas, except of Problem, that no answer
// had.
func (c *Contract) Unused() (unused []string) {
	for name, schema := range object(object(c.doc["components"])["schemas"]) {
		for property := range object(object(schema)["properties"]) {
			if at := "/components/schemas/" + name + "/properties/" + property; !c.used[at] && name != "Problem" {
				unused = append(unused, at)
			}
		}
	}
	slices.Sort(unused)
	return unused
}

func list(v any) []any            { l, _ := v.([]any); return l }
func object(v any) map[string]any { m, _ := v.(map[string]any); return m }
