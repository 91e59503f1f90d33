package config

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/all"
	"keytrail/processor/telemetry"
)

// object is a JSON object.
type object = map[string]any

// Schema writes the JSON Schema (draft 2020-12) of the configuration, for editors. It is made
// of the same fields as Print, so it knows every setting, its kind and its default. Its
// numbers have their units and bounds in their descriptions. Rules between settings are
// those of Validate alone.
func Schema(w io.Writer) error {
	root := Default()
	s := described{root}.of("", reflect.ValueOf(root).Elem())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Configuration of keytrail run"
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("cannot print the schema: %w", err)
	}
	return nil
}

// described makes schemas of the settings of a configuration with their bounds. The nil
// *Config knows no bounds.
type described struct{ root *Config }

// of returns the schema of a setting, or of a section, at a path. v has the default.
func (d described) of(path string, v reflect.Value) object {
	if isScalar(v) {
		return d.scalar(path, v)
	}
	switch v.Kind() {
	case reflect.Struct:
		properties := object{}
		for _, f := range fields(v) {
			properties[f.name] = d.of(join(path, f.name), f.value)
		}
		// A section whose content is commented out is null, and keeps its defaults.
		return object{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": itemSchema(v.Type().Elem())}
	case reflect.Map: // of names to texts or secrets
		return object{"type": []string{"object", "null"},
			"additionalProperties": described{}.of("", reflect.New(v.Type().Elem()).Elem())}
	}
	panic("BUG: configuration of type " + v.Type().String())
}

// itemSchema returns the schema of an item of a list. The type of a sink or source determines
// its settings.
func itemSchema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[Sink]():
		return typedSchema(all.Types(), NewSink, "sinks[0]", func(c *Config, s Sink) reflect.Value {
			c.Sinks = []Sink{s}
			return reflect.ValueOf(c.Sinks).Index(0)
		})
	case reflect.TypeFor[Source]():
		return typedSchema(SourceTypes(), NewSource, "sources[0]", func(c *Config, s Source) reflect.Value {
			c.Sources = []Source{s}
			return reflect.ValueOf(c.Sources).Index(0)
		})
	}
	s := described{}.of("", reflect.New(t).Elem())
	delete(s, "default")
	return s
}

// typedSchema returns the schema of a sink or source. put puts one into a configuration, at
// the path, and returns that part.
func typedSchema[T ~string, S any](types []T, make func(T) (S, bool), path string,
	put func(*Config, S) reflect.Value) object {
	var cases []object
	for _, t := range types {
		one, _ := make(t)
		root := Default()
		s := described{root}.of(path, put(root, one))
		s["properties"].(object)["type"] = object{"const": string(t)}
		cases = append(cases, object{"if": object{"properties": object{"type": object{"const": string(t)}}}, "then": s})
	}
	return object{"type": "object", "required": []string{"type"}, "properties": object{"type": object{"enum": types}},
		"allOf": cases}
}

// choices are the allowed texts of the kinds of settings that have few.
var choices = map[reflect.Type]any{
	reflect.TypeFor[Stage]():            Stages(),
	reflect.TypeFor[Body]():             []Body{BodyKeep, BodyNone},
	reflect.TypeFor[Windows]():          []Windows{WindowsNone, WindowsAnomalous, WindowsAll},
	reflect.TypeFor[telemetry.Level]():  telemetry.Levels(),
	reflect.TypeFor[telemetry.Format](): []telemetry.Format{telemetry.FormatText, telemetry.FormatJSON},
}

// fromEnvironment matches a text that refers to the environment, which may stand for any value.
var fromEnvironment = object{"type": "string", "pattern": `\$\{[A-Za-z_][A-Za-z0-9_]*\}`}

// scalar returns the schema of one value at a path: a number with its unit and bounds.
func (d described) scalar(path string, v reflect.Value) object {
	s := scalarSchema(v)
	if d.root == nil {
		return s
	}
	if allowed := bounds(d.root, path, v); allowed != "" {
		unit := "A number"
		switch v.Interface().(type) {
		case setting.Size:
			unit = "A size in bytes, such as 64KiB, 1MB or 4096"
		case time.Duration:
			unit = "A duration, such as 250ms, 15m or 24h"
		}
		s["description"] = fmt.Sprintf("%s: %s.", unit, allowed)
	}
	return s
}

// scalarSchema returns the schema of one value.
func scalarSchema(v reflect.Value) object {
	text := scalarNode(v).Value
	own, standard := object{"type": "string"}, any(text)
	switch v.Interface().(type) {
	case setting.Secret:
		return own // a default would be of no use
	case setting.Size:
		own = object{"description": "A size in bytes, such as 64KiB, 1MB or 4096.", "anyOf": []object{
			{"type": "integer", "minimum": 0}, {"type": "string", "pattern": `^[0-9]+ ?([kKMGT]i?B|B)?$`}}}
	case time.Duration:
		own = object{"description": "A duration, such as 250ms, 15m or 24h; 0 is one as well.", "anyOf": []object{
			{"const": 0}, {"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+$|^0$`}}}
	case sink.Start:
		own = object{"type": "string", "description": "earliest, latest, or a time such as 2026-12-01T00:00:00Z."}
	default:
		own, standard = plainSchema(v, own, standard)
	}
	schema := object{"anyOf": []object{own, fromEnvironment}, "default": standard}
	if own["type"] == "string" {
		own["default"] = standard
		return own
	}
	return schema
}

// plainSchema returns the schema of a value of a plain kind, and its default.
func plainSchema(v reflect.Value, own object, text any) (object, any) {
	if list, ok := choices[v.Type()]; ok {
		return object{"enum": list}, text
	}
	switch v.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}, v.Bool()
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}, v.Int()
	case reflect.Float64:
		return object{"type": "number"}, json.Number(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	}
	return own, text
}
