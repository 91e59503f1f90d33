package sigma

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The reference implements rules in the plainest way: it parses the rule's YAML and the
// event's JSON for every question, shares no code with the package, and handles only
// rules that Load accepts. Wildcards become regular expressions, and conditions become
// Boolean text that is evaluated from the inside out.

// member is one member of a JSON object; objects keep their order.
type member struct {
	name  string
	value any
}

// decodeJSON decodes text to []member, []any, string, json.Number, bool and nil.
func decodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return decodeValue(d)
}

func decodeValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		list := []member{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, member{name.(string), v})
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

// refValues returns the values at a path; found reports whether the path has any, an
// empty list included.
func refValues(v any, path []string) (list []any, found bool) {
	switch x := v.(type) {
	case []any:
		found = len(path) == 0
		for _, item := range x {
			l, f := refValues(item, path)
			list, found = append(list, l...), found || f
		}
		return list, found
	case []member:
		if len(path) == 0 {
			return []any{x}, true
		}
		for _, m := range x {
			if m.name == path[0] {
				l, f := refValues(m.value, path[1:])
				list, found = append(list, l...), found || f
			}
		}
		return list, found
	}
	if len(path) > 0 {
		return nil, false
	}
	return []any{v}, true
}

// refAll returns every string, number and boolean, for keywords.
func refAll(v any) (list []any) {
	switch x := v.(type) {
	case []any:
		for _, item := range x {
			list = append(list, refAll(item)...)
		}
	case []member:
		for _, m := range x {
			list = append(list, refAll(m.value)...)
		}
	case nil:
	default:
		list = append(list, v)
	}
	return list
}

// refText is a value as text.
func refText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case []member:
		var parts []string
		for _, m := range x {
			parts = append(parts, `"`+m.name+`":`+refInside(m.value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

// refInside is a value as text inside another.
func refInside(v any) string {
	switch x := v.(type) {
	case string:
		return `"` + x + `"`
	case []any:
		var parts []string
		for _, item := range x {
			parts = append(parts, refInside(item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return refText(v)
}

// refGlob returns a pattern as a regular expression.
func refGlob(p string, front, back bool) *regexp.Regexp {
	out := "(?s)^"
	if front {
		out += ".*"
	}
	for p != "" {
		switch {
		case strings.HasPrefix(p, `\*`), strings.HasPrefix(p, `\?`), strings.HasPrefix(p, `\\`):
			out, p = out+regexp.QuoteMeta(p[1:2]), p[2:]
		case p[0] == '*':
			out, p = out+".*", p[1:]
		case p[0] == '?':
			out, p = out+".", p[1:]
		default:
			r := []rune(p)
			out, p = out+regexp.QuoteMeta(string(r[:1])), string(r[1:])
		}
	}
	if back {
		out += ".*"
	}
	return regexp.MustCompile(out + "$")
}

// refOrder compares two JSON numbers: 64-bit integers exactly, others as floating point.
func refOrder(a, b string) (int, bool) {
	for _, text := range []string{a, b} {
		if !regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`).MatchString(text) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(a, 10, 64)
	m, merr := strconv.ParseInt(b, 10, 64)
	if err == nil && merr == nil {
		return cmp.Compare(n, m), true
	}
	f, err := strconv.ParseFloat(a, 64)
	g, gerr := strconv.ParseFloat(b, 64)
	return cmp.Compare(f, g), err == nil && gerr == nil
}

// refOne reports whether one value matches one value of a rule.
func refOne(mods []string, n *yaml.Node, v any, event any) bool {
	if v == nil {
		return false
	}
	fold := strings.ToLower
	if slices.Contains(mods, "cased") {
		fold = func(s string) string { return s }
	}
	is := func(name string) bool { return slices.Contains(mods, name) }
	text, want := refText(v), n.Value
	if n.ShortTag() == "!!bool" {
		want = strings.ToLower(want)
	}
	order := func() (int, bool) {
		if _, ok := v.(bool); ok {
			return 0, false
		}
		return refOrder(text, want) // the text of an object is not a number
	}
	front, back := is("contains") || is("endswith"), is("contains") || is("startswith")
	c, ok := 0, false
	for i, name := range []string{"lt", "lte", "gt", "gte"} {
		if is(name) {
			c, ok = order()
			return ok && []bool{c < 0, c <= 0, c > 0, c >= 0}[i]
		}
	}
	switch {
	case is("fieldref"):
		refs, _ := refValues(event, strings.Split(want, "."))
		return slices.ContainsFunc(refs, func(other any) bool {
			a, b := fold(text), fold(refText(other))
			return other != nil && (a == b || front && back && strings.Contains(a, b) || front && strings.HasSuffix(a, b) || back && strings.HasPrefix(a, b))
		})
	case is("re"):
		flags := ""
		for _, m := range mods {
			if len(m) == 1 {
				flags += m
			}
		}
		if flags != "" {
			flags = "(?" + flags + ")"
		}
		return regexp.MustCompile(flags + want).MatchString(text)
	case is("cidr"):
		if !strings.Contains(want, "/") {
			addr := netip.MustParseAddr(want).Unmap()
			want = fmt.Sprintf("%s/%d", addr, addr.BitLen())
		}
		s, isText := v.(string)
		addr, err := netip.ParseAddr(s)
		return isText && err == nil && netip.MustParsePrefix(want).Contains(addr.Unmap().WithZone(""))
	case (n.ShortTag() == "!!int" || n.ShortTag() == "!!float") && !front && !back && !is("keyword"):
		c, ok = order()
		return ok && c == 0
	}
	return refGlob(fold(want), front || is("keyword"), back || is("keyword")).MatchString(fold(text))
}

// refItem evaluates one field, or keywords if the path is empty.
func refItem(key string, n *yaml.Node, event any) bool {
	mods := strings.Split(key, "|")
	path := mods[0]
	mods = mods[1:]
	list, found := refValues(event, strings.Split(path, "."))
	if path == "" {
		list, mods = refAll(event), append(mods, "keyword")
	}
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	every, some := true, false
	for _, x := range nodes {
		fits := false
		switch {
		case slices.Contains(mods, "exists"):
			fits = found == strings.EqualFold(x.Value, "true")
		case x.ShortTag() == "!!null":
			fits = len(list) == 0 || slices.Contains(list, any(nil)) // a null matches a missing value
		default:
			fits = slices.ContainsFunc(list, func(v any) bool { return refOne(mods, x, v, event) })
		}
		every, some = every && fits, some || fits
	}
	result := some
	if slices.Contains(mods, "all") {
		result = every
	}
	return result != slices.Contains(mods, "neq")
}

func refSelection(n *yaml.Node, event any) bool {
	switch n.Kind {
	case yaml.SequenceNode:
		return slices.ContainsFunc(n.Content, func(x *yaml.Node) bool { return refSelection(x, event) })
	case yaml.ScalarNode:
		return refItem("", n, event)
	}
	for i := 0; i < len(n.Content); i += 2 {
		if !refItem(n.Content[i].Value, n.Content[i+1], event) {
			return false
		}
	}
	return true
}

// refCondition evaluates a condition by replacement: first selections and sets of them by
// 1 and 0, then innermost parentheses, then not, and, or.
func refCondition(text string, selections map[string]bool) bool {
	text = " " + strings.NewReplacer("(", " ( ", ")", " ) ").Replace(text) + " "
	bit := map[bool]string{true: "<1>", false: "<0>"}
	words := strings.Fields(text)
	for i, w := range words {
		if l := strings.ToLower(w); slices.Contains([]string{"and", "or", "not"}, l) && (w == l || w == strings.ToUpper(w)) {
			words[i] = l
		}
	}
	for i := 0; i < len(words); i++ {
		if i+2 < len(words) && strings.EqualFold(words[i+1], "of") {
			every, some := true, false
			for name, v := range selections {
				if !strings.HasPrefix(name, "_") && (words[i+2] == "them" || refGlob(words[i+2], false, false).MatchString(name)) {
					every, some = every && v, some || v
				}
			}
			words = slices.Replace(words, i, i+3, bit[some && !strings.EqualFold(words[i], "all") || every && strings.EqualFold(words[i], "all")])
		} else if !slices.Contains([]string{"and", "or", "not", "(", ")"}, words[i]) {
			words[i] = bit[selections[words[i]]]
		}
	}
	text = strings.Join(words, " ")
	reduce := func(text string) string {
		for _, step := range [][]string{{"not <1>", "<0>", "not <0>", "<1>"}, {"<1> and <1>", "<1>", "<0> and <0>", "<0>", "<1> and <0>", "<0>", "<0> and <1>", "<0>"},
			{"<1> or <1>", "<1>", "<0> or <0>", "<0>", "<1> or <0>", "<1>", "<0> or <1>", "<1>"}} {
			for {
				before := text
				for i := 0; i < len(step); i += 2 {
					text = strings.Replace(text, step[i], step[i+1], 1)
				}
				if text == before {
					break
				}
			}
		}
		return text
	}
	inner := regexp.MustCompile(`\( ([^()]*) \)`)
	for {
		m := inner.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		text = text[:m[0]] + reduce(text[m[2]:m[3]]) + text[m[1]:]
	}
	return reduce(text) == "<1>"
}

// refRule reports whether the rule of a YAML document matches an event.
func refRule(document *yaml.Node, event any) bool {
	selections, conditions := map[string]bool{}, []string{}
	for i := 0; i < len(document.Content); i += 2 {
		if document.Content[i].Value != "detection" {
			continue
		}
		detection := document.Content[i+1].Content
		for j := 0; j < len(detection); j += 2 {
			switch n := detection[j+1]; {
			case detection[j].Value != "condition":
				selections[detection[j].Value] = refSelection(n, event)
			case n.Kind == yaml.ScalarNode:
				conditions = append(conditions, n.Value)
			default:
				for _, x := range n.Content {
					conditions = append(conditions, x.Value)
				}
			}
		}
	}
	return slices.ContainsFunc(conditions, func(c string) bool { return refCondition(c, selections) })
}
