package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled returns the schema of the configuration.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var text bytes.Buffer
	if err := Schema(&text); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(&text)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("keytrail.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("keytrail.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// problem returns what the schema says about a configuration.
func problem(t *testing.T, s *jsonschema.Schema, config []byte) error {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(config, &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if doc == nil {
		return nil // an empty file
	}
	return s.Validate(doc)
}

// TestSchema: the schema admits every configuration that Parse admits, here and as printed
// with all defaults, and those of the documents.
func TestSchema(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("testdata/good/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v (%v)", files, err)
	}
	for _, name := range append(files, "../../deploy/keytrail.yaml") {
		config, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := problem(t, s, config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	documented(t, func(name, config string) {
		if err := problem(t, s, []byte(config)); err != nil {
			t.Errorf("%s shows a configuration that the schema refuses: %v\n%s", name, err, config)
		}
	})
}

// TestSchemaRefuses: the schema refuses misspelt settings and values of another kind, with
// their place.
func TestSchemaRefuses(t *testing.T) {
	s := compiled(t)
	for config, want := range map[string]string{
		"kafak: {}":                                   "kafak",
		"window: {size: 5}":                           "/window/size",
		"stages: [conut]":                             "/stages/0",
		"kafka: {replication: many}":                  "/kafka/replication",
		"sinks: [{name: a}]":                          "type",
		"sinks: [{type: fiel}]":                       "/sinks/0",
		"sinks: [{type: file, endpoint: http://x}]":   "endpoint",
		"sources: [{type: s3, path: /x}]":             "path",
		"telemetry: {log: {level: loud}}":             "/telemetry/log/level",
		"detect: {allow: [{kind: rate, until: [1]}]}": "/detect/allow/0/until",
		"decode: {record_bytes: much}":                "/decode/record_bytes",
		"resource: {service.name: {a: b}}":            "/resource/service.name",
	} {
		if err := problem(t, s, []byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a problem with %s", config, err, want)
		}
	}
}
