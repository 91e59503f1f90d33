package sigma

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file collects the problems of one file.
type file struct {
	name   string
	lines  int // the last line; YAML places missing parts after it
	loader *Loader
}

// problem adds a problem at a line, with advice unless the text contains it.
func (f *file) problem(line int, do, what string, args ...any) {
	text := fmt.Sprintf(what, args...)
	if do != "" {
		text += "; " + do
	}
	f.loader.problem(Problem{File: f.name, Line: min(line, f.lines), Text: text})
}

// quoted returns a text of a file for a message, cut to 64 characters.
func quoted(text string) string {
	if r := []rune(text); len(r) > 64 {
		return strconv.Quote(string(r[:64])) + "..."
	}
	return strconv.Quote(text)
}

// pair is one member of a mapping.
type pair struct {
	name  string
	line  int // of the name
	value *yaml.Node
}

// pairs returns the members of a mapping with distinct text names; other members are
// problems.
func (f *file) pairs(n *yaml.Node) (list []pair) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" {
			f.problem(name.Line, "write the members out", "a name here is not plain text")
			continue
		}
		if first, had := seen[name.Value]; had {
			f.problem(name.Line, "keep one of them", "%s stands here twice, first on line %d", quoted(name.Value), first)
			continue
		}
		seen[name.Value] = name.Line
		list = append(list, pair{name: name.Value, line: name.Line, value: value})
	}
	return list
}

// what describes a node for a message.
func what(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.ShortTag() == "!!null" {
		return "nothing"
	}
	return quoted(n.Value)
}

// text returns the text of a scalar, or adds a problem.
func (f *file) text(n *yaml.Node, key string, limit int) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null":
		f.problem(n.Line, "write a text", "%s is %s", key, what(n))
	case len(n.Value) > limit:
		f.problem(n.Line, fmt.Sprintf("write at most %d", limit), "%s has %d characters", key, len(n.Value))
	case strings.TrimSpace(n.Value) == "":
		f.problem(n.Line, "write a text", "%s is empty", key)
	default:
		return n.Value, true
	}
	return "", false
}

// texts returns the texts of a list of scalars, or of one scalar.
func (f *file) texts(n *yaml.Node, key string, limit int) (list []string) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if len(nodes) == 0 {
		f.problem(n.Line, "name at least one", "%s is an empty list", key)
	}
	if len(nodes) > limit {
		f.problem(n.Line, fmt.Sprintf("name at most %d", limit), "%s has %d entries", key, len(nodes))
		return nil
	}
	for _, x := range nodes {
		if text, ok := f.text(x, "an entry of "+key, maxText); ok {
			list = append(list, text)
		}
	}
	return list
}

// flag returns the value of a true or false.
func (f *file) flag(n *yaml.Node, key string) bool {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		b, err := strconv.ParseBool(strings.ToLower(n.Value))
		if err == nil {
			return b
		}
	}
	f.problem(n.Line, "write true or false", "%s is %s", key, what(n))
	return false
}

// maxText bounds names, titles and fields in bytes; the specification gives titles
// and names 256 characters.
const maxText = 1024
