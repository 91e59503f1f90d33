package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"keytrail/processor/setting"
	"keytrail/processor/sink/all"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a configuration file: 1 MiB, a thousand sinks.
const maxFile = 1 << 20

// Load reads the file at path. Its errors are those of Parse, with path as the
// name.
func Load(path string) (*Config, error) { return load(path, &setting.Scrubber{}) }

// load is Load with the Scrubber that gets the secrets.
func load(path string, hidden *setting.Scrubber) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot read configuration %q: %w", path, err)
	}
	return parseInto(hidden, path, data, os.LookupEnv)
}

// Parse reads a configuration, resolves references to the environment, and validates the
// result. Missing keys have their defaults. The error joins one *Error per fault; name is
// the file name in them.
func Parse(name string, data []byte) (*Config, error) {
	return parse(name, data, os.LookupEnv)
}

// parse is Parse with the environment as an argument.
func parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	return parseInto(&setting.Scrubber{}, name, data, lookup)
}

// parseInto is parse with the Scrubber that gets the secrets.
func parseInto(hidden *setting.Scrubber, name string, data []byte,
	lookup func(string) (string, bool)) (*Config, error) {
	d := decoder{faults: faults{file: name, lines: map[string]int{}}, lookup: lookup}
	c := Default()
	d.config = c
	c.written, c.hidden = map[string]interpolated{}, hidden
	if root := d.document(data); root != nil {
		d.value(root, reflect.ValueOf(c).Elem(), "")
	}
	if len(d.found) == 0 {
		d.problems(c.Validate())
	}
	s := c.secrets()
	for _, e := range d.found {
		e.Text = c.hide(s, e.Key, e.Text)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	c.file, c.lines = name, d.lines
	return c, nil
}

// decoder fills Go values from YAML nodes. Unlike the YAML package's decoder, it knows
// each value's key, line and allowed values.
type decoder struct {
	faults
	config *Config // the destination
	lookup func(string) (string, bool)
}

// document returns the root of the only document in data, or nil after a fault or for an
// empty file.
func (d *decoder) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		d.add(0, "", "is larger than 1 MiB")
		return nil
	}
	var doc, more yaml.Node
	y := yaml.NewDecoder(bytes.NewReader(data))
	if err := y.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	switch err := y.Decode(&more); {
	case err == nil:
		d.add(more.Line, "", "a second document begins here; write one document per file")
		return nil
	case !errors.Is(err, io.EOF):
		d.syntax(err)
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" && root.Value == "" {
		return nil // comments only
	}
	return root
}

// value decodes node into v, which is addressable and contains the default.
func (d *decoder) value(node *yaml.Node, v reflect.Value, key string) {
	if _, known := d.lines[key]; !known {
		d.lines[key] = node.Line
	}
	switch {
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		d.add(node.Line, key, "anchors and aliases are not supported; write the value out")
		return
	case node.Style&yaml.TaggedStyle != 0:
		d.add(node.Line, key, "tags such as %q are not supported; remove it", node.Tag)
		return
	}
	if isScalar(v) {
		d.scalar(node, v, key)
		return
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		return // a key whose content is commented out keeps its default
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(node, v, key)
	case reflect.Slice:
		d.sequence(node, v, key)
	case reflect.Map:
		d.mapping(node, v, key)
	default:
		panic("BUG: configuration of type " + v.Type().String())
	}
}

// structure decodes a mapping whose keys are the fields of v.
func (d *decoder) structure(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.MappingNode {
		d.add(node.Line, key, "is %s; want keys: %s", describe(node), strings.Join(names(fields(v)), ", "))
		return
	}
	switch one := v.Addr().Interface().(type) {
	case *Sink:
		if !typed(d, node, one, key, all.Types(), NewSink) {
			return
		}
	case *Source:
		if !typed(d, node, one, key, SourceTypes(), NewSource) {
			return
		}
	}
	known := fields(v)
	for name, content := range d.pairs(node, key) {
		at := join(key, name.Value)
		if field, ok := known.byName(name.Value); ok {
			d.lines[at] = name.Line
			d.value(content, field, at)
			continue
		}
		if instead := gone[at]; instead != "" {
			d.add(name.Line, at, "is not a setting any more: %s", instead)
			continue
		}
		hint := ""
		if meant := nearest(short(name.Value), names(known)); meant != "" {
			hint = fmt.Sprintf("did you mean %q? ", meant)
		}
		d.add(name.Line, join(key, short(name.Value)), "unknown key; %sallowed: %s", hint, strings.Join(names(known), ", "))
	}
}

// gone are removed settings, and what to do about each.
var gone = map[string]string{
	"window.close_after": "the last windows close by themselves after window.idle_after without events; remove it",
}

// typed prepares one, a sink or a source, for the mapping's type, which determines the
// allowed keys. It returns false after a fault.
func typed[T ~string, S any](d *decoder, node *yaml.Node, one *S, key string, types []T, make func(T) (S, bool)) bool {
	var allowed []string
	for _, t := range types {
		allowed = append(allowed, string(t))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != "type" {
			continue
		}
		before, at := len(d.found), join(key, "type")
		var t T
		d.value(node.Content[i+1], reflect.ValueOf(&t).Elem(), at)
		if len(d.found) > before {
			return false
		}
		made, ok := make(t)
		if !ok {
			d.add(node.Content[i+1].Line, at, "%q is not allowed; allowed: %s", t, strings.Join(allowed, ", "))
			return false
		}
		*one = made
		return true
	}
	d.add(node.Line, join(key, "type"), "is missing; allowed: %s", strings.Join(allowed, ", "))
	return false
}

// pairs yields the keys and values of a mapping, and reports keys that are not plain text
// or repeat.
func (d *decoder) pairs(node *yaml.Node, key string) func(func(name, content *yaml.Node) bool) {
	return func(yield func(name, content *yaml.Node) bool) {
		seen := map[string]int{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			name, content := node.Content[i], node.Content[i+1]
			if name.Kind != yaml.ScalarNode || name.Anchor != "" || name.Style&yaml.TaggedStyle != 0 {
				d.add(name.Line, key, "has a key that is not plain text")
				continue
			}
			if first, ok := seen[name.Value]; ok {
				d.add(name.Line, join(key, short(name.Value)), "is set twice; the first is on line %d", first)
				continue
			}
			seen[name.Value] = name.Line
			if !yield(name, content) {
				return
			}
		}
	}
}

// sequence decodes a sequence. It replaces the default.
func (d *decoder) sequence(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.SequenceNode {
		d.add(node.Line, key, "is %s; want a list", describe(node))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, content := range node.Content {
		d.value(content, list.Index(i), fmt.Sprintf("%s[%d]", key, i))
	}
	v.Set(list)
}

// mapping decodes a mapping with free keys. It replaces the default.
func (d *decoder) mapping(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.MappingNode {
		d.add(node.Line, key, "is %s; want a mapping of names to values", describe(node))
		return
	}
	m := reflect.MakeMap(v.Type())
	for name, content := range d.pairs(node, key) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(content, item, join(key, name.Value))
		m.SetMapIndex(reflect.ValueOf(name.Value), item)
	}
	v.Set(m)
}
