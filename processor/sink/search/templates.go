package search

import (
	"fmt"
	"time"

	"keytrail/schemas/registry"
)

// priority is that of our index templates: those that Elasticsearch comes with have up to
// 200.
const priority = 500

// resource is one object that setup keeps at the receiver.
type resource struct {
	what string // for people: "index template"
	name string
	path string
	body object // of the PUT
	// found is the path to the content in the answer to a GET, and content that in the body.
	found   []any
	content string
	// optional says that the receiver may not have this kind of objects at all.
	optional bool
}

// resources returns what the receiver needs, in the order in which it is made. ism says
// which of the two kinds of policies it has.
func resources(c *Settings, ism bool) ([]resource, error) {
	reg, err := registry.Load(registry.Files())
	if err != nil {
		return nil, fmt.Errorf("BUG: cannot load the registry: %w", err)
	}
	fields, err := mapping(reg, c.Body)
	if err != nil {
		return nil, err
	}
	var list []resource
	for _, k := range kinds {
		if keep := c.Keep.of(k); keep > 0 || c.Index.period(k) == Stream {
			list = append(list, policy(&c.Index, k, keep, ism))
		}
	}
	shared := c.Index.Prefix + "-mappings"
	list = append(list, resource{what: "component template", name: shared, path: "/_component_template/" + shared,
		body: object{
			"template": object{"settings": object{"index": object{"codec": "best_compression"}}, "mappings": fields},
			"_meta":    object{"managed_by": "keytrail sinks setup"},
		},
		found: []any{"component_templates", 0, "component_template"}})
	for _, k := range kinds {
		list = append(list, template(c, k, shared, ism))
	}
	return append(list, searches(&c.Index)...), nil
}

// template returns the index template of a kind.
func template(c *Settings, kind, shared string, ism bool) resource {
	name := c.Index.Prefix + "-" + kind
	body := object{
		"index_patterns": []any{name + "-*"}, "priority": priority, "composed_of": []any{shared},
		"_meta": object{"managed_by": "keytrail sinks setup"},
	}
	stream := c.Index.period(kind) == Stream
	if stream {
		body["index_patterns"] = []any{name}
		body["data_stream"] = object{}
	}
	if !ism && (c.Keep.of(kind) > 0 || stream) {
		body["template"] = object{"settings": object{"index": object{"lifecycle": object{"name": name}}}}
	}
	return resource{what: "index template", name: name, path: "/_index_template/" + name, body: body,
		found: []any{"index_templates", 0, "index_template"}}
}

// The bounds of one index of a data stream.
const (
	rollAge  = "7d"
	rollSize = "50gb"
)

// policy returns the policy that deletes indices of a kind after keep, and rolls a data
// stream over. An index is never made read-only: a late revision may still come.
func policy(x *Index, kind string, keep time.Duration, ism bool) resource {
	name := x.Prefix + "-" + kind
	stream := x.period(kind) == Stream
	if ism {
		return resource{what: "ISM policy", name: name, path: "/_plugins/_ism/policies/" + name, optional: true,
			body: object{"policy": ismPolicy(name, keep, stream)}, found: []any{"policy"}, content: "policy"}
	}
	hot := object{}
	if stream {
		hot["rollover"] = object{"max_age": rollAge, "max_primary_shard_size": rollSize}
	}
	phases := object{"hot": object{"actions": hot}}
	if keep > 0 {
		phases["delete"] = object{"min_age": ageOf(keep), "actions": object{"delete": object{}}}
	}
	return resource{what: "ILM policy", name: name, path: "/_ilm/policy/" + name, optional: true,
		body: object{"policy": object{"phases": phases}}, found: []any{name, "policy"}, content: "policy"}
}

func ismPolicy(name string, keep time.Duration, stream bool) object {
	actions, transitions, pattern := []any{}, []any{}, name+"-*"
	if stream {
		roll := object{"min_index_age": rollAge, "min_primary_shard_size": rollSize}
		actions, pattern = []any{object{"rollover": roll}}, name
	}
	states := []any{}
	if keep > 0 {
		transitions = []any{object{"state_name": "delete", "conditions": object{"min_index_age": ageOf(keep)}}}
		states = []any{object{"name": "delete", "actions": []any{object{"delete": object{}}}, "transitions": []any{}}}
	}
	states = append([]any{object{"name": "hot", "actions": actions, "transitions": transitions}}, states...)
	return object{"description": "Written by keytrail sinks setup", "default_state": "hot", "states": states,
		"ism_template": []any{object{"index_patterns": []any{pattern}, "priority": priority}}}
}

// ageOf writes a duration as both kinds of policies read it.
func ageOf(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
