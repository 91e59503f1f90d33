package search

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"keytrail/schemas/registry"
)

// object is a JSON object, as encoding/json reads and writes it.
type object = map[string]any

// ignoreAbove is how many characters of a keyword are indexed: with four bytes each they
// stay below the 32,766 bytes that Lucene takes. A longer one is stored and not found.
const ignoreAbove = 8191

func keyword() object { return object{"type": "keyword", "ignore_above": ignoreAbove} }

// moment is a time in RFC 3339. Another text is stored and not found.
func moment() object { return object{"type": "date_nanos", "ignore_malformed": true} }

// The fields of a log record in the body json. The original event is searched by its words.
var recordFields = map[string]object{
	"@timestamp":         {"type": "date_nanos"},
	"observed_timestamp": {"type": "date_nanos"},
	"severity_number":    {"type": "long"},
	"severity_text":      keyword(),
	"event_name":         keyword(),
	"body":               {"type": "text", "norms": false},
}

// ecsFields are the fields of ECS that are neither keywords nor of the type of the
// attribute that gives their value.
var ecsFields = map[string]object{
	"@timestamp":       {"type": "date_nanos"},
	"message":          {"type": "text", "norms": false},
	"event.original":   {"type": "keyword", "index": false, "doc_values": false},
	"event.created":    {"type": "date_nanos"},
	"event.start":      moment(),
	"event.end":        moment(),
	"event.duration":   {"type": "long"},
	"event.severity":   {"type": "long"},
	"event.risk_score": {"type": "float"},
	"source.ip":        {"type": "ip", "ignore_malformed": true},
	"related.ip":       {"type": "ip", "ignore_malformed": true},
}

// mapping returns the mapping of documents with a body: every attribute of the registry and
// every field that the body makes. Other members, such as configured attributes of the
// resource, are keywords where they are text. No name comes from the data.
func mapping(r *registry.Registry, body string) (object, error) {
	fields := recordFields
	if body == "ecs" {
		fields = ecsOf(r)
	}
	properties := object{}
	add := func(name string, field object) error {
		at := properties
		parts := strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			inner, _ := at[part].(object)
			if inner == nil {
				inner = object{"properties": object{}}
				at[part] = inner
			}
			below, ok := inner["properties"].(object)
			if !ok {
				return fmt.Errorf("BUG: %q stands below a field with a value", name)
			}
			at = below
		}
		last := parts[len(parts)-1]
		if at[last] != nil {
			return fmt.Errorf("BUG: the field %q stands twice, or has fields below it", name)
		}
		at[last] = field
		return nil
	}
	for name, field := range fields {
		if err := add(name, field); err != nil {
			return nil, err
		}
	}
	for _, a := range r.Attributes {
		if body == "ecs" && !keptByECS(r, a.ID) {
			continue
		}
		if err := add(a.ID, fieldOf(a)); err != nil {
			return nil, err
		}
	}
	texts := object{"match_mapping_type": "string", "mapping": keyword()}
	return object{"dynamic_templates": []any{object{"texts": texts}}, "properties": properties}, nil
}

// fieldOf returns the mapping of an attribute. Bodies write a map as one JSON text, so that
// its names, which are the caller's, become no fields.
func fieldOf(a *registry.Attribute) object {
	switch a.Type.Kind {
	case registry.Boolean:
		return object{"type": "boolean"}
	case registry.Int:
		return object{"type": "long"}
	case registry.Double:
		return object{"type": "double"}
	case registry.String:
		if isTime(a.Examples) {
			return moment()
		}
	}
	return keyword()
}

// isTime reports whether all examples of an attribute are times in RFC 3339.
func isTime(examples []any) bool {
	return len(examples) > 0 && !slices.ContainsFunc(examples, func(e any) bool {
		_, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e))
		return err != nil
	})
}

// ecsTarget returns the registry's correspondence with ECS.
func ecsTarget(r *registry.Registry) *registry.Target {
	for _, t := range r.Targets {
		if t.Name == "ecs" {
			return t
		}
	}
	return &registry.Target{}
}

// ecsOf returns the fields that the body ecs makes of attributes.
func ecsOf(r *registry.Registry) map[string]object {
	fields := map[string]object{}
	for _, row := range ecsTarget(r).Rows {
		field := ecsFields[row.To]
		if field == nil && row.As == "" && len(row.From) > 0 && r.Attribute(row.From[0]) != nil {
			field = fieldOf(r.Attribute(row.From[0]))
		}
		if field == nil {
			field = keyword()
		}
		fields[row.To] = field
	}
	return fields
}

// keptByECS reports whether the body ecs writes an attribute under its own name.
func keptByECS(r *registry.Registry, name string) bool {
	t := ecsTarget(r)
	for _, prefix := range t.Keep {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, row := range t.Rows {
		if slices.Contains(row.From, name) || row.To == name {
			return false
		}
	}
	return true
}
