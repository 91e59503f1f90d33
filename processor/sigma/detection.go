package sigma

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a detection.
const (
	maxSelections = 200
	maxTests      = 20_000 // of one rule: a long list of known bad values
	maxValueBytes = 16 << 10
)

// detection compiles a rule's detection section. An invalid part is a problem and a nil
// expr.
type detection struct {
	*file
	cond  condition
	tests int
}

// compile returns the detection as one expr, or nil.
func (d *detection) compile(n *yaml.Node) *expr {
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, "write selections and a condition", "detection is %s", what(n))
		return nil
	}
	d.cond = condition{exprs: map[string]*expr{}, used: map[string]bool{}}
	var conditionNode *yaml.Node
	lines := map[string]int{}
	for _, p := range d.pairs(n) {
		switch {
		case p.name == "condition":
			conditionNode = p.value
		case p.name == "timeframe":
			d.problem(p.line, "write a rule with a correlation section, and timespan in it", "timeframe belongs to "+
				"conditions that count, which Sigma gave up")
		case p.name == "" || reserved(p.name) || strings.ContainsAny(p.name, "()|* \t\n"):
			d.problem(
				p.line, "choose letters, digits, _ and -", "the selection %s has a name that a condition cannot refer to",
				quoted(p.name))
		default:
			d.cond.names, lines[p.name] = append(d.cond.names, p.name), p.line
			d.cond.exprs[p.name] = d.selection(p.value, p.name, p.line)
		}
	}
	switch {
	case conditionNode == nil:
		d.problem(n.Line, "say how the selections go together, such as condition: selection", "detection has no condition")
		return nil
	case len(d.cond.names) > maxSelections:
		d.problem(n.Line, "split the rule", "detection has %d selections, more than %d", len(d.cond.names), maxSelections)
		return nil
	}
	e := d.conditions(conditionNode)
	for _, name := range d.cond.names {
		if !d.cond.used[name] && e != nil {
			d.problem(lines[name], "use it, or take it out", "the condition does not use the selection %s", quoted(name))
		}
	}
	return e
}

// conditions compiles the condition; those of a list are alternatives.
func (d *detection) conditions(n *yaml.Node) *expr {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode && len(n.Content) > 0 {
		nodes = n.Content
	}
	var list []*expr
	for _, x := range nodes {
		text, ok := d.text(x, "the condition", 16<<10)
		if !ok {
			continue
		}
		e, err := d.cond.parse(text)
		if err != nil {
			d.problem(x.Line, "", "%v", err)
		} else if e != nil {
			list = append(list, e)
		}
	}
	if len(list) < len(nodes) {
		return nil
	}
	return join(opOr, list)
}

// selection compiles one selection: a map, a list of maps, or keywords.
func (d *detection) selection(n *yaml.Node, name string, line int) *expr {
	switch {
	case n.Kind == yaml.MappingNode:
		return d.fields(n, name)
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null":
		return d.item(field{}, n)
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0:
		d.problem(max(line, n.Line), "write fields with values, or a list of keywords",
			"the selection %s is %s", quoted(name), what(n))
		return nil
	}
	var list []*expr
	for _, x := range n.Content {
		switch {
		case x.Kind == yaml.MappingNode:
			list = append(list, d.fields(x, name))
		case x.Kind == yaml.ScalarNode && x.ShortTag() != "!!null":
			list = append(list, d.item(field{}, x))
		default:
			d.problem(x.Line, "write a map of fields, or a keyword", "an entry of the selection %s is %s", quoted(name), what(x))
		}
	}
	return join(opOr, list)
}

// fields compiles a map of fields, all of which must match.
func (d *detection) fields(n *yaml.Node, name string) *expr {
	if len(n.Content) == 0 {
		d.problem(n.Line, "write fields with values", "the selection %s is an empty map", quoted(name))
	}
	var list []*expr
	for _, p := range d.pairs(n) {
		f, err := parseField(p.name)
		if err != nil {
			d.problem(p.line, "", "%v", err)
			continue
		}
		list = append(list, d.item(f, p.value))
	}
	if len(list) == 0 {
		return nil
	}
	return join(opAnd, list)
}

// item compiles a field, or a keyword if the path is empty, with its value or values.
func (d *detection) item(f field, n *yaml.Node) *expr {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if d.tests += len(nodes); d.tests > maxTests {
		d.problem(n.Line, "split the rule", "the rule has more than %d values", maxTests)
		return nil
	}
	var list []*expr
	texts := map[string]struct{}{} // exact values, which become one test
	for _, x := range nodes {
		t, err := f.test(x, len(nodes) > 1)
		switch {
		case err != nil:
			d.problem(x.Line, "", "%s: %v", f.show(), err)
		case t.kind == testSet && !f.all:
			texts[t.one] = struct{}{}
		default:
			list = append(list, single(t))
		}
	}
	if len(texts) > 0 {
		t := setOf(f, texts)
		t.line = n.Line
		list = append([]*expr{single(t)}, list...)
	}
	if len(list) == 0 {
		if len(nodes) == 0 {
			d.problem(n.Line, "write at least one value", "%s has an empty list", f.show())
		}
		return nil
	}
	o := opOr
	if f.all {
		o = opAnd
	}
	e := join(o, list)
	if f.negate {
		return not(e)
	}
	return e
}

// setOf makes one test of many texts.
func setOf(f field, texts map[string]struct{}) *test {
	t := &test{kind: testSet, path: f.path, cased: f.cased}
	if t.set = texts; len(texts) == 1 {
		for t.one = range texts {
		}
		t.set = nil
	}
	return t
}

// show names the field for a message.
func (f *field) show() string {
	if f.path == "" {
		return "a keyword"
	}
	return fmt.Sprintf("the field %s", quoted(f.path))
}
