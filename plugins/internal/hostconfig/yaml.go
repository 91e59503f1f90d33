package hostconfig

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// yaml reads the YAML format: pipeline.inputs and pipeline.outputs are lists of
// sections, includes a list of files, and env sets variables. A service may stand beside.
func (r *reader) yaml(path string, data []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return // Fluent Bit refuses it
	}
	root := doc.Content[0]
	r.variables(member(root, "env"))
	pipeline := member(root, "pipeline")
	for _, section := range items(member(pipeline, string(r.kind)+"s")) {
		r.section(path, section)
	}
	for _, file := range items(member(root, "includes")) {
		r.include(path, file.Value)
	}
}

// section takes the properties of a section, if it is one of the plugin's.
func (r *reader) section(path string, section *yaml.Node) {
	if section.Kind != yaml.MappingNode {
		return
	}
	ours := false
	for i := 0; i+1 < len(section.Content); i += 2 {
		key, value := section.Content[i].Value, section.Content[i+1].Value
		ours = ours || strings.EqualFold(key, "name") && strings.EqualFold(value, r.plugin)
	}
	r.begin(ours)
	for i := 0; ours && i+1 < len(section.Content); i += 2 {
		r.add(section.Content[i].Value, section.Content[i+1].Value, path)
	}
}

// variables takes what env sets: a mapping, or a list of names and values.
func (r *reader) variables(env *yaml.Node) {
	for i := 0; env != nil && env.Kind == yaml.MappingNode && i+1 < len(env.Content); i += 2 {
		r.set(env.Content[i].Value, env.Content[i+1].Value)
	}
	for _, one := range items(env) {
		if name, value := member(one, "name"), member(one, "value"); name != nil && value != nil {
			r.set(name.Value, value.Value)
		}
	}
}

// member returns the value of a mapping's member, or nil.
func member(node *yaml.Node, name string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}

// items returns the items of a list, or nothing.
func items(node *yaml.Node) []*yaml.Node {
	if node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}
