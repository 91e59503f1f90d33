// Package setting holds the types of single settings: sizes, secrets, and what is
// wrong with a setting. It stands below every package that owns a Config, so
// that a Config can use these types without knowing how files are read.
//
// The package reads no environment, and only the files and commands that a Secret
// is read from. Its values are safe for concurrent reading.
package setting

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. Its text form is a number with an optional unit:
// B, KiB, MiB, GiB, TiB (powers of 1,024) or KB, MB, GB, TB (powers of 1,000).
type Size int64

// The units of Size, largest first. The binary ones come first at each step:
// String uses the first that divides.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText reads the text form. A size is a whole number, never negative.
func (s *Size) UnmarshalText(text []byte) error {
	const want = `want a size such as "4MiB", "512KiB" or "1048576"`
	number, unit := string(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return fmt.Errorf("not a size; %s", want)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return fmt.Errorf("too large for a size; the largest is %s", Size(math.MaxInt64))
	}
	*s = Size(n * unit)
	return nil
}

// String returns the text form with the largest unit that divides the size.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(s); n != 0 && n%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText returns String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Redacted is what stands wherever a secret would be printed.
const Redacted = "[redacted]"

// Secret is a text that no printing shows: not by fmt, log/slog, encoding/json
// or a configuration dump. The zero value is the empty secret ("").
//
// The text is kept behind a pointer because fmt prints unexported fields of
// nested structs without asking their methods.
type Secret struct {
	text   *string
	origin string  // the reference to the environment it came from, or ""
	source *source // of a secret that is read while the program runs; see Read
}

// NewSecret returns text as a secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// SecretFrom returns text as a secret that came from origin, a reference to the
// environment such as "${SIEM_TOKEN}". The origin is not secret: it is printed
// instead of the text.
func SecretFrom(text, origin string) Secret {
	s := NewSecret(text)
	if s.text != nil {
		s.origin = origin
	}
	return s
}

// Reveal returns the text, "" of a secret that is only known when it is read: see Read.
// Callers pass it on to the one place that needs it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns what may be printed: the origin, Redacted, or "" for no secret.
func (s Secret) String() string {
	switch {
	case s.text == nil && s.source == nil:
		return ""
	case s.origin != "":
		return s.origin
	}
	return Redacted
}

// Format prints String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// UnmarshalText takes text as the secret.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Problem is one setting that cannot be used.
type Problem struct {
	// Key is the path of the setting below the Config that found the problem, in
	// the words of the file: "batch.records".
	Key  string
	Text string // what is wrong with the value, and what is allowed
}

// Problems collects what is wrong with one Config. The zero value is ready.
type Problems []Problem

// Add notes a problem with the setting key.
func (p *Problems) Add(key, format string, args ...any) {
	*p = append(*p, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

// Nest adds the problems of the section at key; err is what its Validate returned.
func (p *Problems) Nest(key string, err error) {
	var inner Problems
	if errors.As(err, &inner) {
		for _, one := range inner {
			p.Add(key+"."+one.Key, "%s", one.Text)
		}
	} else if err != nil {
		p.Add(key, "%v", err)
	}
}

// Err returns p as an error, or nil when nothing is wrong.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Key + ": " + one.Text
	}
	return strings.Join(lines, "\n")
}

// OneOf notes a problem if v is not one of the allowed values.
func OneOf[T ~string](p *Problems, key string, v T, allowed ...T) {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if v == a {
			return
		}
		names[i] = string(a)
	}
	p.Add(key, "%q is not allowed; allowed: %s", string(v), strings.Join(names, ", "))
}

// Between notes a problem when v is outside [low, high].
func Between[T ~int | ~int64](p *Problems, key string, v, low, high T) {
	if v < low || v > high {
		p.Add(key, "%v is out of range; allowed: %v to %v", v, low, high)
	}
}
