package sigma

import (
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// field is the left side of a line: the path and its modifiers. Source: Sigma modifiers
// appendix 2.1.
type field struct {
	path   string // "" for a keyword
	match  string // contains, startswith, endswith, re, cidr, exists, gt, gte, lt, lte; "" for the whole value
	ref    bool   // fieldref
	all    bool
	cased  bool
	negate bool   // neq
	flags  string // of re: some of i, m, s
}

// Bounds of a path.
const (
	maxPathBytes = 512
	maxPathDepth = 16
)

// notSupported maps unsupported modifiers of the specification to the reason.
var notSupported = map[string]string{
	"base64": "", "base64offset": "", "wide": "", "utf16": "", "utf16le": "", "utf16be": "",
	"windash": "it is for command lines of Windows",
	"expand":  "write what the placeholder stands for",
	"minute":  "", "hour": "", "day": "", "week": "", "month": "", "year": "",
}

// parseField reads "path|modifier|modifier".
func parseField(text string) (field, error) {
	list := strings.Split(text, "|")
	f := field{path: list[0]}
	if f.path == "" && len(list) == 1 {
		return f, fmt.Errorf("a field has no name; write a path such as userIdentity.arn")
	}
	if err := checkPath(f.path); f.path != "" && err != nil {
		return f, err
	}
	for _, name := range list[1:] {
		if err := f.modify(name); err != nil {
			return f, fmt.Errorf("the field %s: %w", quoted(text), err)
		}
	}
	return f, f.check(text)
}

// checkPath returns an error if the path of a field is invalid.
func checkPath(path string) error {
	parts := strings.Split(path, ".")
	switch {
	case len(path) > maxPathBytes || len(parts) > maxPathDepth:
		return fmt.Errorf("the field %s is too long; paths have at most %d characters and %d parts", quoted(path),
			maxPathBytes, maxPathDepth)
	case slices.Contains(parts, ""):
		return fmt.Errorf("the field %s has an empty part; write a path such as userIdentity.arn", quoted(path))
	case strings.ContainsAny(path, "*?[]{} \t\n"):
		return fmt.Errorf("the field %s is not a path; write names with dots between them, such as resources.ARN, where "+
			"lists need no sign", quoted(path))
	}
	return nil
}

// modify applies one modifier.
func (f *field) modify(name string) error {
	switch name {
	case "contains", "startswith", "endswith", "re", "cidr", "exists", "gt", "gte", "lt", "lte":
		if f.match != "" {
			return fmt.Errorf("the modifiers %s and %s exclude each other; keep one", f.match, name)
		}
		f.match = name
	case "i", "m", "s":
		if f.match != "re" {
			return fmt.Errorf("the modifier %s stands only behind re; write re|%s", name, name)
		}
		f.flags += name
	case "fieldref":
		f.ref = true
	case "all":
		f.all = true
	case "cased":
		f.cased = true
	case "neq":
		f.negate = true
	default:
		return unknownModifier(name)
	}
	return nil
}

func unknownModifier(name string) error {
	why, known := notSupported[name]
	switch {
	case !known:
		return fmt.Errorf("the modifier %s is unknown; Keytrail has contains, startswith, endswith, all, cased, neq, "+
			"re, cidr, exists, fieldref, gt, gte, lt, lte", quoted(name))
	case why == "":
		why = "write the values out"
	}
	return fmt.Errorf("the modifier %s is not supported; %s", name, why)
}

// check returns an error if the modifiers exclude each other.
func (f *field) check(text string) error {
	text = quoted(text)
	ordered := f.match == "gt" || f.match == "gte" || f.match == "lt" || f.match == "lte"
	switch {
	case f.path == "" && (f.ref || f.negate || ordered || f.match == "cidr" || f.match == "exists"):
		return fmt.Errorf("the keyword %s has a modifier that needs a field; write its path in front", text)
	case f.path == "" && (f.match == "startswith" || f.match == "endswith"):
		return fmt.Errorf("the keyword %s: keywords are looked for anywhere; write contains or re", text)
	case f.ref && f.match != "" && f.match != "contains" && f.match != "startswith" && f.match != "endswith":
		return fmt.Errorf("the field %s: fieldref does not go with %s; it goes with contains, startswith and endswith",
			text, f.match)
	case f.cased && (ordered || f.match == "re" || f.match == "cidr" || f.match == "exists"):
		return fmt.Errorf("the field %s: cased does not go with %s, which has no letters to fold or, as re, heeds case "+
			"anyway; take it away", text, f.match)
	case f.negate && (ordered || f.match == "exists"):
		return fmt.Errorf("the field %s: neq does not go with %s; write what is meant without it", text, f.match)
	case f.all && f.match == "exists":
		return fmt.Errorf("the field %s: all does not go with exists; take it away", text)
	}
	return nil
}

// test compiles one value; listed means that it is one of several.
func (f *field) test(n *yaml.Node, listed bool) (*test, error) {
	t := &test{path: f.path, cased: f.cased, line: n.Line}
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("a value is %s; write a text, a number, true, false or null", what(n))
	}
	if len(n.Value) > maxValueBytes {
		return nil, fmt.Errorf("a value has %d characters; the limit is %d", len(n.Value), maxValueBytes)
	}
	switch tag := n.ShortTag(); {
	case f.match == "exists":
		return f.exists(t, n)
	case tag == "!!null" && (listed || f.match != "" || f.ref || f.cased || f.path == ""):
		return nil, fmt.Errorf("null stands in a list or behind a modifier; give it its own selection")
	case tag == "!!null":
		t.kind = testNull
		return t, nil
	case tag == "!!int" || tag == "!!float":
		return f.numeric(t, n)
	case tag == "!!bool":
		// As text in JSON's spelling: some events have "true" instead of true.
		return f.text(t, strings.ToLower(n.Value))
	case tag != "!!str" && tag != "!!timestamp":
		return nil, fmt.Errorf("a value has the type %s; write a text in quotes", tag)
	}
	return f.text(t, n.Value)
}

func (f *field) exists(t *test, n *yaml.Node) (*test, error) {
	if n.ShortTag() != "!!bool" {
		return nil, fmt.Errorf("exists is %s; write true or false without quotes", what(n))
	}
	t.kind = testExists
	if strings.EqualFold(n.Value, "true") {
		t.number.n = 1
	}
	return t, nil
}

// numeric compiles a number. It refuses one that YAML and JSON read differently: an
// account id with a leading zero is an octal number in YAML.
func (f *field) numeric(t *test, n *yaml.Node) (*test, error) {
	number, ok := parseNumber(n.Value)
	if !ok {
		return nil, fmt.Errorf("%s is a number for YAML, and not as it stands here; write it in quotes, or as a plain "+
			"decimal number", quoted(n.Value))
	}
	if f.match != "" && !f.ordered(t) || f.path == "" || f.ref {
		return f.text(t, n.Value)
	}
	if f.match == "" {
		t.kind = testEqual
	}
	t.number = number
	return t, nil
}

// ordered sets the kind of a comparison.
func (f *field) ordered(t *test) bool {
	switch f.match {
	case "gt":
		t.kind = testGreater
	case "gte":
		t.kind = testGreaterEqual
	case "lt":
		t.kind = testLess
	case "lte":
		t.kind = testLessEqual
	default:
		return false
	}
	return true
}

// text compiles a text with the field's modifiers.
func (f *field) text(t *test, value string) (*test, error) {
	switch {
	case f.ordered(t):
		return nil, fmt.Errorf("%s is compared with %s, which is not a number; write a number without quotes",
			f.match, quoted(value))
	case f.ref:
		if err := checkPath(value); err != nil {
			return nil, err
		}
		t.kind, t.ref = testField, value
		t.front = f.match == "contains" || f.match == "endswith"
		t.back = f.match == "contains" || f.match == "startswith"
		return t, nil
	case f.match == "re":
		re, err := compileRegexp(value, f.flags)
		t.kind, t.re = testRegexp, re
		return t, err
	case f.match == "cidr":
		prefix, err := parseCIDR(value)
		t.kind, t.prefix = testCIDR, prefix
		return t, err
	}
	p := parsePattern(value, f.cased)
	front := f.match == "contains" || f.match == "endswith" || f.path == ""
	back := f.match == "contains" || f.match == "startswith" || f.path == ""
	if text, ok := p.plain(); ok && !front && !back {
		t.kind, t.one = testSet, text
		return t, nil
	}
	t.kind, t.pattern = testPattern, p.open(front, back)
	return t, nil
}

// maxRegexp bounds an expression: RE2's memory is proportional to it, and its time to it
// and the value.
const maxRegexp = 4096

// compileRegexp compiles an expression of re. PCRE constructs that RE2 lacks, because
// they can take exponential time, are errors: look-around, backreferences, possessive and
// atomic groups, conditions.
func compileRegexp(text, flags string) (*regexp.Regexp, error) {
	if len(text) > maxRegexp {
		return nil, fmt.Errorf("a regular expression has %d characters; the limit is %d", len(text), maxRegexp)
	}
	whole := text
	if flags != "" {
		whole = "(?" + flags + ":" + text + ")"
	}
	// Alone first: unbalanced parentheses must not match the surrounding ones.
	if _, err := syntax.Parse(text, syntax.Perl); err != nil {
		return nil, fmt.Errorf("the regular expression %s cannot be used: %w; write it in the syntax of RE2, which has "+
			"no look-around and no references back", quoted(text), err)
	}
	re, err := regexp.Compile(whole)
	if err != nil {
		return nil, fmt.Errorf("the regular expression %s cannot be used: %w; write it in the syntax of RE2",
			quoted(text), err)
	}
	return re, nil
}

// parseCIDR parses a network, or an address as a network of one.
func parseCIDR(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%s is not a network; write one such as 10.0.0.0/8 or 2001:db8::/32", quoted(text))
	}
	return prefix.Masked(), nil
}
