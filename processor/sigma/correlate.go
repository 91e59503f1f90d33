package sigma

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// pending is a correlation whose rules are not resolved yet.
type pending struct {
	*file
	c       *Correlation
	node    *yaml.Node
	refs    []ref
	aliases []alias
	level   bool // the document says a level
}

// ref is an entry of a correlation's rules.
type ref struct {
	name string
	line int
}

// alias gives a field a common name across rules.
type alias struct {
	name   string
	line   int
	fields []pair // by the rules' names
}

// Bounds of a timespan: event times are whole seconds, and counts are kept for two
// timespans.
const (
	minTimespan = time.Second
	maxTimespan = 30 * 24 * time.Hour
)

// correlation reads a correlation; its problems come after the first before ones.
func (d *document) correlation(root *yaml.Node, before int) {
	n := d.keys["correlation"]
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, "write type, rules, timespan and condition", "correlation is %s", what(n))
		return
	}
	p := &pending{file: d.file, c: &Correlation{}, node: root, level: d.keys["level"] != nil}
	if g := d.keys["generate"]; g != nil {
		p.c.Generate = d.flag(g, "generate")
	}
	keys := map[string]*yaml.Node{}
	for _, m := range d.pairs(n) {
		switch m.name {
		case "type", "rules", "group-by", "timespan", "condition", "aliases":
			keys[m.name] = m.value
		case "generate":
			p.c.Generate = d.flag(m.value, "generate")
		default:
			d.problem(m.line, "", "a correlation has no key %s; its keys are type, rules, group-by, timespan, condition, "+
				"aliases, generate", quoted(m.name))
		}
	}
	for _, key := range []string{"type", "rules", "timespan"} {
		if keys[key] == nil {
			d.problem(n.Line, "write it", "the correlation has no %s", key)
		}
	}
	if keys["type"] == nil || keys["rules"] == nil || keys["timespan"] == nil {
		return
	}
	p.kind(keys["type"])
	p.rules(keys["rules"])
	p.timespan(keys["timespan"])
	if g := keys["group-by"]; g != nil {
		p.c.GroupBy = p.paths(g, "group-by", maxGroupBy)
	}
	if a := keys["aliases"]; a != nil {
		p.readAliases(a)
	}
	p.condition(keys["condition"], n.Line)
	if d.loader.wrong > before || !d.admit(p.fields()) {
		return
	}
	p.c.Meta = d.meta
	p.finish()
	d.loader.correlations = append(d.loader.correlations, p)
}

// fields returns all paths that the correlation needs.
func (p *pending) fields() []string {
	list := slices.Concat(p.c.GroupBy, p.c.Field)
	for _, a := range p.aliases {
		for _, f := range a.fields {
			list = append(list, f.value.Value)
		}
	}
	return list
}

// finish computes the fields for counting.
func (p *pending) finish() {
	p.c.panes, p.c.keep = 1, 2
	if p.c.growing() {
		p.c.panes = overlap
	}
	for _, b := range p.c.bounds {
		p.c.keep = max(p.c.keep, int(b.n)+1)
	}
}

func (p *pending) kind(n *yaml.Node) {
	text, ok := p.text(n, "type", maxText)
	i := slices.Index(kindNames, text)
	switch {
	case !ok:
	case i >= 0:
		p.c.Kind = Kind(i)
	case slices.Contains([]string{"value_sum", "value_avg", "value_percentile", "value_median"}, text):
		p.problem(n.Line, "count events or values instead", "the type %s is not supported", text)
	default:
		p.problem(n.Line, "", "the type %s is unknown; Keytrail has %s", quoted(text), strings.Join(kindNames, ", "))
	}
}

func (p *pending) rules(n *yaml.Node) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	if len(nodes) == 0 || len(nodes) > maxCorrelated {
		p.problem(n.Line, "", "rules has %d entries; name 1 to %d", len(nodes), maxCorrelated)
		return
	}
	seen := map[string]bool{}
	for _, x := range nodes {
		text, ok := p.text(x, "an entry of rules", maxText)
		if ok && seen[text] {
			p.problem(x.Line, "name it once", "rules has %s twice", quoted(text))
		}
		seen[text] = true
		p.refs = append(p.refs, ref{text, x.Line})
	}
}

// timespan reads a number and a letter.
func (p *pending) timespan(n *yaml.Node) {
	text, ok := p.text(n, "timespan", 32)
	if !ok {
		return
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	unit := units[text[len(text)-1]]
	number, err := strconv.ParseUint(text[:len(text)-1], 10, 31)
	if err != nil || unit == 0 {
		p.problem(n.Line, "", "timespan is %s; write a number and s, m, h or d, such as 90m", quoted(text))
		return
	}
	if number < uint64(minTimespan/unit) || number == 0 || number > uint64(maxTimespan/unit) {
		p.problem(n.Line, "", "timespan is %s; write 1s to 30d", quoted(text))
		return
	}
	p.c.Timespan = int64(unit) * int64(number)
}

// paths reads a list of fields.
func (p *pending) paths(n *yaml.Node, key string, limit int) []string {
	list := p.texts(n, key, limit)
	for i, path := range list {
		if err := checkPath(path); err != nil {
			p.problem(n.Line, "", "%s: %v", key, err)
		}
		if slices.Contains(list[:i], path) {
			p.problem(n.Line, "name it once", "%s has %s twice", key, quoted(path))
		}
	}
	return list
}

func (p *pending) readAliases(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.problem(n.Line, "write names, and below each the rules with their fields", "aliases is %s", what(n))
		return
	}
	for _, m := range p.pairs(n) {
		if m.value.Kind != yaml.MappingNode {
			p.problem(m.value.Line, "write the rules with their fields below it", "the alias %s is %s",
				quoted(m.name), what(m.value))
			continue
		}
		a := alias{name: m.name, line: m.line, fields: p.pairs(m.value)}
		for _, f := range a.fields {
			if text, ok := p.text(f.value, "a field", maxPathBytes); ok {
				if err := checkPath(text); err != nil {
					p.problem(f.value.Line, "", "the alias %s: %v", quoted(m.name), err)
				}
			}
		}
		p.aliases = append(p.aliases, a)
	}
}

// condition reads the bounds and the field.
func (p *pending) condition(n *yaml.Node, line int) {
	if n == nil {
		if p.c.Kind == EventCount || p.c.Kind == ValueCount {
			p.problem(line, "write one such as gte: 10", "a correlation of type %s has no condition", p.c.Kind)
		}
		return
	}
	switch {
	case n.Kind != yaml.MappingNode:
		p.problem(n.Line, "write a map such as gte: 10", "condition is %s", what(n))
		return
	case p.c.Kind == TemporalOrdered:
		p.problem(n.Line, "take it away: all rules have to match, one after another", "a correlation of type "+
			"temporal_ordered has a condition, which is not supported")
		return
	}
	before := p.loader.wrong
	for _, m := range p.pairs(n) {
		switch {
		case m.name == "field" && p.c.Kind == ValueCount:
			p.c.Field = p.paths(m.value, "field", maxGroupBy)
		case m.name == "field":
			p.problem(m.line, "take it away", "field belongs to correlations of type value_count")
		case slices.Contains([]string{"gt", "gte", "lt", "lte", "eq", "neq"}, m.name):
			p.bound(m)
		default:
			p.problem(m.line, "", "a condition has no key %s; its keys are gt, gte, lt, lte, eq, neq, field", quoted(m.name))
		}
	}
	if len(p.c.bounds) == 0 && p.loader.wrong == before {
		p.problem(n.Line, "write one such as gte: 10", "the condition has no number that holds")
	}
	if p.c.Kind == ValueCount && p.c.Field == nil {
		p.problem(n.Line, "name the field whose values are counted", "the condition has no field")
	}
}

// bound reads one line of a condition.
func (p *pending) bound(m pair) {
	limit := int64(maxCount)
	if p.c.Kind != EventCount {
		limit = maxValues
	}
	n, err := strconv.ParseInt(m.value.Value, 10, 64)
	if m.value.Kind != yaml.ScalarNode || m.value.ShortTag() != "!!int" || err != nil || n < 0 || n > limit {
		p.problem(m.value.Line, "", "%s is %s; write a whole number from 0 to %d", m.name, what(m.value), limit)
		return
	}
	p.c.bounds = append(p.c.bounds, bound{m.name, n})
}

// resolve finds the rules of a correlation; it returns false if the correlation is unusable.
func (p *pending) resolve(l *Loader, byName, byID map[string]*Rule, nodes map[*Rule]*yaml.Node) bool {
	before, missing := l.wrong, ""
	docs := []*yaml.Node{p.node}
	for _, r := range p.refs {
		rule := byName[r.name]
		if rule == nil {
			rule = byID[r.name]
		}
		switch {
		case rule != nil && slices.Contains(p.c.Rules, rule):
			p.problem(r.line, "name it once", "rules has %s twice, by its name and by its id", quoted(rule.Title))
		case rule != nil:
			p.c.Rules = append(p.c.Rules, rule)
			docs = append(docs, nodes[rule])
		case l.isCorrelation(r.name):
			p.problem(r.line, "name the rules that it counts", "%s is a correlation, and correlations of correlations are "+
				"not supported", quoted(r.name))
		case l.left[r.name]:
			missing = r.name
		case l.broken[r.name]:
			p.problem(r.line, "correct it first", "the rule %s is wrong itself", quoted(r.name))
		default:
			p.problem(r.line, "write the name or the id of a rule that is here",
				"no rule has the name or the id %s", quoted(r.name))
		}
	}
	if l.wrong == before && missing != "" {
		l.skip(p.c.Meta, fmt.Sprintf("its rule %s was left out", quoted(missing)))
		return false
	}
	if l.wrong == before {
		p.bind()
	}
	p.c.Fingerprint = fingerprint(docs...)
	if !p.level {
		p.c.Level = Informational
		for _, r := range p.c.Rules {
			p.c.Level = max(p.c.Level, r.Level)
		}
	}
	return l.wrong == before
}

func (l *Loader) isCorrelation(name string) bool {
	return slices.ContainsFunc(l.correlations, func(p *pending) bool { return p.c.ID == name || p.c.Name == name })
}

// bind assigns each rule the fields that the correlation needs of its matches; slots
// follow when all fields are known.
func (p *pending) bind() {
	c := p.c
	used := map[string]bool{}
	for position, r := range c.Rules {
		u := use{c: c, position: position}
		for _, name := range c.GroupBy {
			u.groupPaths = append(u.groupPaths, p.field(name, r, used))
		}
		for _, name := range c.Field {
			u.valuePaths = append(u.valuePaths, p.field(name, r, used))
		}
		r.uses = append(r.uses, u)
	}
	for _, a := range p.aliases {
		if !used[a.name] {
			p.problem(a.line, "name it in group-by, or take it away", "the alias %s is not used", quoted(a.name))
		}
		for _, f := range a.fields {
			if !slices.ContainsFunc(c.Rules, func(r *Rule) bool { return f.name == r.Name || f.name == r.ID }) {
				p.problem(f.line, "write the name of one", "the alias %s is for %s, which is not one of the correlation's rules",
					quoted(a.name), quoted(f.name))
			}
		}
	}
}

// field returns the path that name refers to in a rule's events.
func (p *pending) field(name string, r *Rule, used map[string]bool) string {
	i := slices.IndexFunc(p.aliases, func(a alias) bool { return a.name == name })
	if i < 0 {
		return name
	}
	used[name] = true
	for _, f := range p.aliases[i].fields {
		if f.name == r.Name || f.name == r.ID {
			return f.value.Value
		}
	}
	p.problem(p.aliases[i].line, "write its field", "the alias %s says nothing of the rule %s",
		quoted(name), quoted(r.Title))
	return name
}
