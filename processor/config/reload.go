package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"keytrail/processor/setting"
)

// reloadable are the settings that change while Keytrail runs, with all below them.
var reloadable = []string{"rules", "detect.allow", "sinks", "telemetry.log.level"}

// Reread reads the file of c again. The result shares the Scrubber of c, so whatever hides
// the secrets of c hides those of both.
func (c *Config) Reread() (*Config, error) { return load(c.file, c.hidden) }

// Reload returns an error unless a running process can change from c to next: it joins
// one *Error per changed setting that needs a restart, with its line in the file of next.
func (c *Config) Reload(next *Config) error {
	f := faults{file: next.file, lines: next.lines}
	differences(&f, c, next, reflect.ValueOf(c).Elem(), reflect.ValueOf(next).Elem(), "")
	return f.err()
}

// differences adds the settings at and below key that differ and need a restart.
func differences(f *faults, c, next *Config, was, is reflect.Value, key string) {
	if slices.Contains(reloadable, key) || key != "" && same(was, is) {
		return
	}
	if was.Kind() == reflect.Struct && !isScalar(was) {
		then, now := fields(was), fields(is)
		for i := range now {
			differences(f, c, next, then[i].value, now[i].value, join(key, now[i].name))
		}
		return
	}
	f.add(f.line(key), key, "changed from %s to %s, which needs a restart; set it back, or restart Keytrail",
		shown(c, was, key), shown(next, is, key))
}

// shown returns a value on one line, without secrets.
func shown(c *Config, v reflect.Value, key string) string {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return fmt.Sprintf("a list of %d", v.Len())
	}
	return cmp.Or(short(c.node(v, key).Value), `""`)
}

// At returns err as a fault of the setting key, with its line in the file of c.
func (c *Config) At(key string, err error) error {
	f := faults{lines: c.lines}
	return &Error{File: c.file, Line: f.line(key), Key: key, Text: err.Error()}
}

// Same reports whether two sinks have the same settings. It ignores the values that a running
// sink has read for its secrets.
func (s *Sink) Same(other *Sink) bool {
	return same(reflect.ValueOf(s).Elem(), reflect.ValueOf(other).Elem())
}

// same reports whether two values of one type, with all settings below them, are equal.
func same(was, is reflect.Value) bool {
	if secret, ok := was.Interface().(setting.Secret); ok {
		return secret.Same(is.Interface().(setting.Secret))
	}
	switch {
	case isScalar(was):
		return reflect.DeepEqual(was.Interface(), is.Interface())
	case was.Kind() == reflect.Struct:
		return slices.EqualFunc(fields(was), fields(is), func(a, b field) bool {
			return a.name == b.name && same(a.value, b.value)
		})
	case was.Len() != is.Len():
		return false
	case was.Kind() == reflect.Map:
		for _, key := range was.MapKeys() {
			if other := is.MapIndex(key); !other.IsValid() || !same(was.MapIndex(key), other) {
				return false
			}
		}
		return true
	}
	for i := range was.Len() {
		if !same(was.Index(i), is.Index(i)) {
			return false
		}
	}
	return true
}
