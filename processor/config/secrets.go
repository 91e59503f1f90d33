package config

import (
	"reflect"
	"strings"

	"keytrail/processor/setting"
)

// This file knows which settings came from the environment. Such a setting prints as it is
// written in the file, with its references, and its value is kept out of errors and logs:
// nobody can tell from a setting whether what is interpolated into it is secret. A token
// may be part of an endpoint's path as well as of a password.

// interpolated is a setting with references to the environment.
type interpolated struct {
	raw   string // as the file has it
	text  string // with the values instead of the references
	parts []reference
	close bool // the value of a secret or of a URL: see least
}

// reference is one "${NAME}" with its value.
type reference struct{ name, text string }

func (r reference) String() string { return "${" + r.name + "}" }

// A value is looked for alone, outside its setting, when it is at least so long: in
// settings that hold secrets, and in others, which hold words such as "count". Shorter ones
// would make garbage of all output, and hide nothing that cannot be guessed; they are
// hidden where the whole setting stands, and in errors about the setting itself.
const (
	leastSecret = setting.LeastSecret
	least       = 8
)

// noteSetting takes a setting that was decoded; v is what it is decoded into.
func (d *decoder) noteSetting(key, raw, text string, parts []reference, v reflect.Value) {
	secret := v.Type() == secretType
	switch {
	case len(parts) > 0:
		d.config.written[key] = interpolated{raw: raw, text: text, parts: parts, close: secret || strings.Contains(raw, "://")}
	case secret && text != "":
		d.config.literals = append(d.config.literals, text)
	}
}

// secrets returns what hides the values of c: those of the environment behind their
// references, and secrets that the file itself has behind setting.Redacted.
func (c *Config) secrets() *setting.Scrubber {
	s := &setting.Scrubber{}
	for _, one := range c.written {
		shown := one.raw
		if one.close && origin.FindString(one.raw) == "" && !strings.Contains(one.raw, "://") {
			shown = setting.Redacted // a secret whose other part stands in the file
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

// Secrets returns what keeps the values of the environment, and the secrets of the file,
// out of a text: the same at each call. More may be added to it.
func (c *Config) Secrets() *setting.Scrubber { return c.hidden }

// hide returns the text of a problem with a setting without secrets: in quotes even those
// that are too short to be looked for elsewhere.
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
	for i := 1; i < len(pieces); i += 2 { // what stands in quotes
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
