package config

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
)

// Print writes the effective configuration as YAML that Parse reads back to the same
// configuration in the same environment: a setting with references is written with them,
// as in the file. Secrets in the file itself are the exception: they become
// setting.Redacted.
func (c *Config) Print(w io.Writer) error {
	y := yaml.NewEncoder(w)
	y.SetIndent(2)
	if err := y.Encode(c.node(reflect.ValueOf(c).Elem(), "")); err != nil {
		return fmt.Errorf("cannot print configuration: %w", err)
	}
	if err := y.Close(); err != nil {
		return fmt.Errorf("cannot print configuration: %w", err)
	}
	return nil
}

// node is the inverse of decoder.value.
func (c *Config) node(v reflect.Value, key string) *yaml.Node {
	if isScalar(v) {
		if one, ok := c.written[key]; ok && v.Type() != secretType {
			return stringNode(one.raw)
		}
		return scalarNode(v)
	}
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range fields(v) {
			n.Content = append(n.Content, stringNode(f.name), c.node(f.value, join(key, f.name)))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, c.node(v.Index(i), fmt.Sprintf("%s[%d]", key, i)))
		}
		if v.Len() == 0 || isScalar(v.Index(0)) {
			n.Style = yaml.FlowStyle
		}
		return n
	case reflect.Map: // of names to texts or secrets
		n := &yaml.Node{Kind: yaml.MappingNode}
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			n.Content = append(n.Content, stringNode(name.String()), c.node(v.MapIndex(name), join(key, name.String())))
		}
		if len(names) == 0 {
			n.Style = yaml.FlowStyle
		}
		return n
	}
	panic("BUG: configuration of type " + v.Type().String())
}

// scalarNode writes one value. It escapes what only looks like a reference to the
// environment, except in secrets, whose references are real.
func scalarNode(v reflect.Value) *yaml.Node {
	plain := func(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }
	switch x := v.Interface().(type) {
	case setting.Secret:
		return stringNode(x.String())
	case setting.Size:
		return plain(x.String())
	case time.Duration:
		return plain(setting.Duration(x))
	case sink.Start:
		text, err := x.MarshalText()
		if err != nil {
			panic("BUG: " + err.Error())
		}
		return plain(string(text))
	}
	switch v.Kind() {
	case reflect.Bool:
		return plain(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int64:
		return plain(strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		return plain(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	}
	return stringNode(strings.ReplaceAll(v.String(), "${", "$${"))
}

func stringNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// field is one setting of a section.
type field struct {
	name  string
	value reflect.Value
}

type fieldList []field

// fields returns the settings of a section in the order of its type, with those of inline
// structures and of an inline Config in their place.
func fields(v reflect.Value) fieldList {
	var list fieldList
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		switch {
		case !v.Type().Field(i).IsExported(): // provenance of the settings
		case tag == ",inline" && v.Field(i).Kind() == reflect.Struct:
			list = append(list, fields(v.Field(i))...)
		case tag == ",inline" && v.Field(i).IsNil():
		case tag == ",inline": // an interface that holds a pointer
			list = append(list, fields(v.Field(i).Elem().Elem())...)
		case tag == "":
			panic("BUG: no yaml tag: " + v.Type().String() + "." + v.Type().Field(i).Name)
		default:
			list = append(list, field{tag, v.Field(i)})
		}
	}
	return list
}

func (l fieldList) byName(name string) (reflect.Value, bool) {
	for _, f := range l {
		if f.name == name {
			return f.value, true
		}
	}
	return reflect.Value{}, false
}

func names(l fieldList) []string {
	list := make([]string, len(l))
	for i, f := range l {
		list[i] = f.name
	}
	return list
}
