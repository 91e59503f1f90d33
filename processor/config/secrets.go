package config

import (
	"reflect"
	"strings"

	"keytrail/processor/setting"
)

// This file tracks the settings that came from the environment. Such a setting prints as
// in the file, with its references, and its value stays out of errors and logs: a token
// may be part of an endpoint's path as well as a password, and no program can tell which
// interpolated values are secret.

// interpolated is a setting with references to the environment.
type interpolated struct {
	raw   string // as in the file
	text  string // with the references replaced
	parts []reference
	close bool // a secret or a URL: see least
}

// reference is one "${NAME}" with its value.
type reference struct{ name, text string }

func (r reference) String() string { return "${" + r.name + "}" }

// The minimum length at which a value is also hidden outside its setting: in settings
// that hold secrets, and in others, which hold words such as "count". Hiding shorter
// values would garble all output and protect only guessable ones. They are hidden in the
// setting as a whole, and in errors about it.
const (
	leastSecret = setting.LeastSecret
	least       = 8
)

// noteSetting takes a decoded setting; v is its destination.
func (d *decoder) noteSetting(key, raw, text string, parts []reference, v reflect.Value) {
	secret := v.Type() == secretType
	switch {
	case len(parts) > 0:
		d.config.written[key] = interpolated{raw: raw, text: text, parts: parts, close: secret || strings.Contains(raw, "://")}
	case secret && text != "":
		d.config.literals = append(d.config.literals, text)
	}
}

// secrets adds the values of the environment, to be replaced by their references, and
// secrets in the file itself, to be replaced by setting.Redacted, to the scrubber of c.
func (c *Config) secrets() *setting.Scrubber {
	s := c.hidden
	for _, one := range c.written {
		shown := one.raw
		if one.close && origin.FindString(one.raw) == "" && !strings.Contains(one.raw, "://") {
			shown = setting.Redacted // a secret that is partly in the file
		}
		if len(one.text) >= leastSecret && (len(one.text) >= least || one.close) {
			s.Add(one.text, shown)
		}
		for _, r := range one.parts {
			if len(r.text) >= least || one.close && len(r.text) >= leastSecret {
				s.Add(r.text, r.String())
			}
		}
	}
	for _, text := range c.literals {
		for _, part := range append(strings.Fields(text), text) { // "Bearer TOKEN"
			if len(part) >= least || part == text && len(part) >= leastSecret {
				s.Add(part, setting.Redacted)
			}
		}
	}
	return s
}

// Secrets returns the scrubber that removes values of the environment and secrets of the
// file from a text: the same at each call. The caller may add more secrets.
func (c *Config) Secrets() *setting.Scrubber { return c.hidden }

// hide returns the text of a problem with a setting without secrets: within quotes also
// those too short to be hidden elsewhere.
func (c *Config) hide(s *setting.Scrubber, key, text string) string {
	one, ok := c.written[key]
	if ok && one.text != "" {
		text = strings.ReplaceAll(text, one.text, one.raw)
	}
	text = s.Clean(text)
	if !ok {
		return text
	}
	pieces := strings.Split(text, `"`)
	for i := 1; i < len(pieces); i += 2 { // the parts in quotes
		if pieces[i] == one.raw {
			continue
		}
		for _, r := range one.parts {
			if r.text != "" && !strings.Contains(pieces[i], r.String()) {
				pieces[i] = strings.ReplaceAll(pieces[i], r.text, r.String())
			}
		}
	}
	return strings.Join(pieces, `"`)
}
