package sigma

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is one YAML document during loading.
type document struct {
	*file
	keys map[string]*yaml.Node
	meta Meta
}

// read reads the document at node n. The document is not loaded if it adds problems.
func (d *document) read(n *yaml.Node, before int) {
	d.meta = Meta{File: d.name, Line: n.Line, Level: Medium}
	switch {
	case d.keys["action"] != nil:
		d.problem(d.keys["action"].Line, "write each rule out, and correlations for what they have in common",
			"action belongs to Sigma before version 2 and is not supported")
		return
	case d.keys["filter"] != nil:
		d.problem(d.keys["filter"].Line, "put its selection into the rules", "Sigma filters are not supported")
		return
	case d.keys["correlation"] == nil && d.keys["detection"] == nil:
		d.problem(n.Line, "write detection, or correlation", "the document is not a rule")
		return
	case d.keys["correlation"] != nil && d.keys["detection"] != nil:
		d.problem(d.keys["correlation"].Line, "split it into two documents", "a document has both detection and correlation")
		return
	}
	d.identify()
	if d.skip(n) {
		return
	}
	d.describe()
	if d.keys["correlation"] != nil {
		d.correlation(n, before)
		return
	}
	if d.keys["generate"] != nil {
		d.problem(d.keys["generate"].Line, "write it into the correlation", "generate belongs to correlations")
	}
	c := detection{file: d.file}
	e := c.compile(d.keys["detection"])
	if e == nil || d.loader.wrong > before || !d.admit(e.paths()) {
		return
	}
	r := &Rule{Meta: d.meta, expr: e}
	d.loader.rules = append(d.loader.rules, r)
	if d.loader.nodes == nil {
		d.loader.nodes = map[*Rule]*yaml.Node{}
	}
	d.loader.nodes[r] = n
	d.notes(e)
}

// topFields are the members at the top of CloudTrail's events. Source: CloudTrail user
// guide, "CloudTrail record contents" (event version 1.11) and "Insights events".
var topFields = []string{"eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion",
	"sourceIPAddress", "userAgent", "errorCode",
	"errorMessage", "requestParameters", "responseElements", "additionalEventData", "requestID", "eventID", "eventType", "apiVersion", "managementEvent", "readOnly",
	"resources", "recipientAccountId", "serviceEventDetails", "sharedEventID", "vpcEndpointId", "vpcEndpointAccountId", "eventCategory", "addendum",
	"sessionCredentialFromConsole", "eventContext", "edgeDeviceDetails", "tlsDetails", "insightDetails"}

// notes adds notes about a rule's fields that no event has: a misspelt field would never
// match, silently.
func (d *document) notes(e *expr) {
	told := map[string]bool{"": true}
	e.tests(func(t *test) {
		top, _, _ := strings.Cut(t.path, ".")
		if told[top] || slices.Contains(topFields, top) || len(d.loader.notes) >= MaxProblems {
			return
		}
		told[top] = true
		d.loader.notes = append(d.loader.notes, Problem{d.name, t.line, fmt.Sprintf("CloudTrail's events have no field "+
			"%s at the top; see whether its name is right, case included", quoted(top))})
	})
}

// identify reads the names and ids of a document.
func (d *document) identify() {
	title := d.keys["title"]
	if title == nil {
		d.problem(d.meta.Line, "write a title", "the rule has no title")
	} else if text, ok := d.text(title, "title", maxText); ok {
		d.meta.Title, d.meta.ID = text, text
	}
	if n := d.keys["name"]; n != nil {
		if text, ok := d.text(n, "name", maxText); ok {
			d.meta.Name, d.meta.ID = text, text
		}
	}
	if n := d.keys["id"]; n != nil {
		if text, ok := d.text(n, "id", 128); ok {
			d.meta.ID = text
		}
	}
}

// skip reports whether the document is to be skipped, and records that.
func (d *document) skip(n *yaml.Node) bool {
	reason := ""
	if s := d.keys["status"]; s != nil {
		switch text, _ := d.text(s, "status", maxText); text {
		case "unsupported":
			reason = "its status is unsupported"
		case "stable", "test", "experimental", "deprecated", "":
		default:
			d.problem(s.Line, "write stable, test, experimental, deprecated or unsupported", "status is %s", quoted(text))
		}
	}
	if d.keys["correlation"] == nil && reason == "" {
		reason = d.logsource()
	}
	if reason != "" {
		d.loader.skip(d.meta, reason)
	}
	return reason != ""
}

// skip records a skipped document.
func (l *Loader) skip(m Meta, reason string) {
	l.skipped = append(l.skipped, Skipped{File: m.File, Line: m.Line, Title: m.Title, Reason: reason})
	if l.left == nil {
		l.left = map[string]bool{}
	}
	l.left[m.ID], l.left[m.Name] = true, true
}

// logsource returns why a rule is not about CloudTrail, or "". Each of category, product
// and service narrows the rule's events.
func (d *document) logsource() string {
	n := d.keys["logsource"]
	if n == nil || n.Kind != yaml.MappingNode {
		d.problem(d.meta.Line, "write product: aws and service: cloudtrail below logsource", "the rule has no logsource")
		return ""
	}
	ours, known := true, false
	var list []string
	for _, p := range d.pairs(n) {
		want := ""
		switch p.name {
		case "product":
			want = "aws"
		case "service":
			want = "cloudtrail"
		case "category":
		default:
			continue // definition, and what others need
		}
		text, ok := d.text(p.value, p.name, maxText)
		if !ok {
			return ""
		}
		known = true
		ours = ours && strings.EqualFold(text, want)
		list = append(list, p.name+" "+text)
	}
	if !known {
		d.problem(n.Line, "write product: aws and service: cloudtrail", "logsource has no product, service or category")
	}
	if !known || ours {
		return ""
	}
	return "its logsource is " + strings.Join(list, ", ") + ", not product aws, service cloudtrail"
}

// describe reads a document's description of its findings.
func (d *document) describe() {
	if n := d.keys["taxonomy"]; n != nil && n.Value != "sigma" {
		d.problem(n.Line, "write the rule with the names that CloudTrail gives its fields, and take taxonomy away",
			"taxonomy is %s, and only sigma is supported", what(n))
	}
	if n := d.keys["level"]; n != nil {
		text, ok := d.text(n, "level", maxText)
		i := slices.Index(levelNames, text)
		if ok && i < 0 {
			d.problem(n.Line, "write one of "+strings.Join(levelNames, ", "), "level is %s", quoted(text))
		}
		d.meta.Level = Level(max(i, 0))
	}
	if n := d.keys["tags"]; n != nil && !empty(n) {
		d.meta.Tags = d.texts(n, "tags", 200)
		d.meta.Techniques = techniques(d.meta.Tags)
	}
}

// admit reports whether the document, which needs the values at paths, fits into the set:
// its id and name are unique, and there are not too many.
func (d *document) admit(paths []string) bool {
	l := d.loader
	if l.ids == nil {
		l.ids, l.names = map[string]*Meta{}, map[string]*Meta{}
	}
	m := d.meta
	if other := l.ids[m.ID]; other != nil {
		d.problem(m.Line, "give each its own id", "%s is known by %s, as is %s:%d", quoted(m.Title), quoted(m.ID),
			other.File, other.Line)
		return false
	}
	if other := l.names[m.Name]; m.Name != "" && other != nil {
		d.problem(m.Line, "give each its own name", "the name %s belongs to %s:%d as well", quoted(m.Name),
			other.File, other.Line)
		return false
	}
	if !d.room(paths) {
		return false
	}
	if len(l.rules)+len(l.correlations) == MaxRules {
		if !l.full {
			d.problem(m.Line, "take rules away", "this is one more than %d rules and correlations; those that follow are "+
				"not told", MaxRules)
		}
		l.full = true
		return false
	}
	l.ids[m.ID] = &m
	if m.Name != "" {
		l.names[m.Name] = &m
	}
	return true
}

// maxPaths bounds the distinct fields of all rules. The largest public collection for AWS
// has about 60.
const maxPaths = 5000

// room reports whether there is room for the fields.
func (d *document) room(paths []string) bool {
	l := d.loader
	if l.paths == nil {
		l.paths = map[string]bool{}
	}
	for _, path := range paths {
		if !l.paths[path] && len(l.paths) >= maxPaths {
			d.problem(d.meta.Line, "take rules away", "all rules together name more than %d fields", maxPaths)
			return false
		}
		l.paths[path] = true
	}
	return true
}
