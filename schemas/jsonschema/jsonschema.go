// Package jsonschema offers the JSON Schema (draft 2020-12) of each kind of log
// record that Keytrail writes, in its OTLP/JSON form: one LogsData object, as
// on one line of the machine output.
//
// The schemas are generated from schemas/registry and part of the binary. They
// are strict: they allow only the event's own attributes, each with its type, and
// require those that every such record has. They are not
// a schema of OTLP in general. The package itself validates nothing; any validator
// of draft 2020-12 reads the schemas.
package jsonschema

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.json
var files embed.FS

// suffix ends the name of a schema's file; the rest is the event's name.
const suffix = ".json"

// EventNames returns the event names that have a schema, sorted. The slice is
// the caller's.
func EventNames() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic("jsonschema: the embedded directory cannot be read: " + err.Error())
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), suffix)
	}
	return names
}

// Schema returns the JSON Schema of the log records whose event name is
// eventName. The bytes are the caller's. An unknown name is an error that lists
// the known ones.
func Schema(eventName string) ([]byte, error) {
	for _, name := range EventNames() {
		if name == eventName {
			return files.ReadFile(name + suffix)
		}
	}
	return nil, fmt.Errorf("cannot find the JSON Schema of event %q: known are %s",
		eventName, strings.Join(EventNames(), ", "))
}
