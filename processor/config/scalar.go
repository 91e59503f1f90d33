package config

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"keytrail/processor/setting"
)

var (
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[setting.Secret]()
)

// isScalar reports whether a setting of v's type is a single YAML value.
func isScalar(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	}
	return reflect.PointerTo(v.Type()).Implements(textType)
}

// scalar decodes a single value into v. Errors show the file's text, not that of the
// environment, which may be secret.
func (d *decoder) scalar(node *yaml.Node, v reflect.Value, key string) {
	if node.Kind != yaml.ScalarNode {
		d.add(node.Line, key, "is %s; want a single value", describe(node))
		return
	}
	if node.ShortTag() == "!!null" {
		d.add(node.Line, key, `has no value; write "" for an empty text, or remove the key`)
		return
	}
	if v.Type() == secretType && strings.HasPrefix(key, "sinks[") && len(sources(node.Value)) > 0 {
		d.sourced(node, v, key)
		return
	}
	text, parts, err := d.expand(node.Value)
	if err != nil {
		d.add(node.Line, key, "%v", err)
		return
	}
	d.noteSetting(key, node.Value, text, parts, v)
	if v.Type() == secretType {
		v.Set(reflect.ValueOf(setting.SecretFrom(text, printable(node.Value))))
		return
	}
	if err := set(v, text); err != nil {
		d.add(node.Line, key, "%q is %v", short(node.Value), err)
	}
}

// set parses text into v. Its error completes a sentence after "is".
func set(v reflect.Value, text string) error {
	if v.Type() == durationType {
		duration, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf(`not a duration; want one such as "250ms", "30s" or "1h30m"`)
		}
		v.SetInt(int64(duration))
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("not allowed; allowed: true, false")
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("not a whole number")
		}
		v.SetInt(n)
	default: // Float64, by isScalar
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("not a number")
		}
		v.SetFloat(f)
	}
	return nil
}

// variable matches a reference to the environment, with POSIX characters for names.
var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces the references to the environment in text, and also returns them.
func (d *decoder) expand(text string) (_ string, parts []reference, err error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			return out.String() + text, parts, nil
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString(before[:len(before)-1] + "${")
			text = rest
			continue
		}
		m := variable.FindStringSubmatch("${" + rest)
		if m == nil && sourced.MatchString("${"+rest) {
			return "", nil, fmt.Errorf(`refers to a file or a command, which only the secrets of sinks can; use "${NAME}"`)
		}
		if m == nil {
			return "", nil, fmt.Errorf(
				`has a "${" without a reference such as "${NAME}"; write "$${" for the characters themselves`)
		}
		content, ok := d.lookup(m[1])
		switch {
		case !ok:
			return "", nil, fmt.Errorf("refers to the environment variable %s, which is not set", m[1])
		case !utf8.ValidString(content) || strings.ContainsRune(content, 0):
			return "", nil, fmt.Errorf("refers to the environment variable %s, whose value is not UTF-8 text", m[1])
		}
		out.WriteString(before + content)
		parts = append(parts, reference{m[1], content})
		text = rest[len(m[0])-len("${"):]
	}
}

// sourced finds references to a file or a command in a secret of a sink.
var sourced = regexp.MustCompile(`\$\{(file|command):([^}]*)\}`)

// sources returns the places of such references in text, as regexp does. "$${" begins none.
func sources(text string) (list [][]int) {
	for at := 0; ; {
		m := sourced.FindStringSubmatchIndex(text[at:])
		if m == nil {
			return list
		}
		for i := range m {
			m[i] += at
		}
		if at = m[0] + len("${"); m[0] == 0 || text[m[0]-1] != '$' {
			list, at = append(list, m), m[1]
		}
	}
}

// sourced decodes a secret that is read while the program runs: each reference to a file or
// a command is a part of it, and so is the text between them.
func (d *decoder) sourced(node *yaml.Node, v reflect.Value, key string) {
	var parts []setting.Part
	var read []reference
	text := func(raw string) bool {
		expanded, more, err := d.expand(raw)
		if err != nil {
			d.add(node.Line, key, "%v", err)
			return false
		}
		read = append(read, more...)
		if expanded != "" {
			parts = append(parts, setting.Part{Text: expanded})
		}
		if len(more) == 0 && printable(strings.TrimSpace(raw)+" ${X}") == "" && strings.TrimSpace(raw) != "" {
			d.config.literals = append(d.config.literals, strings.TrimSpace(raw))
		}
		return true
	}
	last := 0
	for _, m := range sources(node.Value) {
		kind, what := node.Value[m[2]:m[3]], node.Value[m[4]:m[5]]
		if !text(node.Value[last:m[0]]) {
			return
		}
		last = m[1]
		switch words := strings.Fields(what); {
		case len(words) == 0:
			d.add(node.Line, key, `has "${%s:}" without a name; write one such as "${file:/run/secrets/token}"`, kind)
			return
		case kind == "file":
			parts = append(parts, setting.Part{File: what})
		default:
			parts = append(parts, setting.Part{Command: words})
		}
	}
	if !text(node.Value[last:]) {
		return
	}
	if len(read) > 0 {
		d.noteSetting(key, node.Value, "", read, v)
	}
	v.Set(reflect.ValueOf(setting.SecretOf(parts, cmp.Or(printable(node.Value), setting.Redacted), d.config.hidden)))
}

// origin matches a value whose secret part comes from the environment, a file or a command
// alone.
var origin = regexp.MustCompile(`^((Bearer|Basic|Splunk|ApiKey|Token) )?` +
	`\$\{([A-Za-z_][A-Za-z0-9_]*|(file|command):[^}]*)\}$`)

// printable returns raw, the text of a secret in the file, unless it contains the secret
// itself; then "".
func printable(raw string) string {
	if origin.MatchString(raw) {
		return raw
	}
	return ""
}

// describe names the kind of an unexpected node.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// short cuts text to 64 bytes for an error.
func short(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

// join appends name to the path of a key.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}
