// Package property reads the properties of a Fluent Bit plugin strictly: a
// value that is not understood stops the start with a message that names the
// property, the value and the allowed values.
//
// Limits. Fluent Bit gives a plugin the value of a name it asks for and no list
// of the names that were written. From 5.1.1 it refuses misspelled names itself, by
// the list that Specs makes; with an older one they are ignored, and a Reader's
// Summary, logged at the start, shows what took effect. An empty value
// and an absent property are the same. Names that Fluent Bit's core consumes
// itself never reach a plugin and must not be used: see Reserved.
//
// Source: Fluent Bit 5.1, the property parsers of inputs and outputs.
package property

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"keytrail/processor/setting"
)

// Reader reads properties one by one, collects what is wrong with them and
// notes what took effect. It is not safe for concurrent use.
type Reader struct {
	get   func(name string) string
	errs  []error
	specs []Spec
	shown []string
	// secrets are the values of Secret, and the passwords in URLs.
	secrets []string
}

// NewReader returns a Reader over get, which returns a property's value and ""
// for one that is not set.
func NewReader(get func(name string) string) *Reader { return &Reader{get: get} }

// Err returns everything that was wrong, one message a line, or nil.
func (r *Reader) Err() error { return errors.Join(r.errs...) }

// Summary returns "name=value" of every property read so far, with the values
// that took effect.
func (r *Reader) Summary() string { return strings.Join(r.shown, " ") }

// Names returns the names read so far, in order.
func (r *Reader) Names() []string {
	list := make([]string, len(r.specs))
	for i, s := range r.specs {
		list[i] = s.Name
	}
	return list
}

// Has reports whether a property has a value, without reading it.
func (r *Reader) Has(name string) bool { return r.Value(name) != "" }

// value returns the trimmed value of the property, or its default where there is
// none.
func (r *Reader) value(spec Spec) string {
	r.specs = append(r.specs, spec)
	v := strings.TrimSpace(r.get(spec.Name))
	if v == "" {
		v = spec.Default
	}
	r.shown = append(r.shown, spec.Name+"="+v)
	for _, m := range inURL.FindAllStringSubmatch(v, -1) {
		r.secrets = append(r.secrets, m[1])
	}
	return v
}

// inURL finds the password in a URL such as https://user:password@host/. It ends at the last
// @ before the path, as in url.Parse.
var inURL = regexp.MustCompile(`://[^/@\s:]*:([^/?#\s]+)@`)

// Hide adds the secrets of the properties read so far to s, but those that are shorter than
// setting.LeastSecret.
func (r *Reader) Hide(s *setting.Scrubber) {
	for _, text := range r.secrets {
		if len(text) >= setting.LeastSecret {
			s.Add(text, setting.Redacted)
		}
	}
}

// Value returns a property's value without reading it: "" for one that is not set.
func (r *Reader) Value(name string) string { return strings.TrimSpace(r.get(name)) }

// Refuse notes that value cannot be used for name, and the allowed values.
func (r *Reader) Refuse(name, value, allowed string) {
	r.errs = append(r.errs, fmt.Errorf("cannot use property %q with value %q: want %s", name, value, allowed))
}

// Complain notes a fault of the property name that is not a bad value. text is a whole
// sentence, or begins with "is" and has the property as its subject ("is set, and ...").
func (r *Reader) Complain(name, text string) {
	colon := ":"
	if strings.HasPrefix(text, "is ") {
		colon = ""
	}
	r.Fail(fmt.Errorf("property %q%s %s", name, colon, text))
}

// Misplaced refuses a property that Fluent Bit takes for itself and does not pass on.
// place is where it is written, and instead says what to do.
func (r *Reader) Misplaced(name, place, instead string) {
	r.Fail(fmt.Errorf("property %q in %s has no effect: Fluent Bit keeps it for its own plugins; %s",
		name, place, instead))
}

// Fail notes an error that is about several properties, or about what they name.
func (r *Reader) Fail(err error) { r.errs = append(r.errs, err) }

// Text reads a property that may hold anything.
func (r *Reader) Text(name, def string) string {
	return r.value(Spec{Name: name, Default: def, Allowed: "text"})
}

// Secret reads a property that no log may show. Fluent Bit itself puts environment
// variables into values: ${NAME}.
func (r *Reader) Secret(name string) string {
	v := r.value(Spec{Name: name, Allowed: "text, as ${NAME} from the environment"})
	if v != "" {
		r.shown[len(r.shown)-1] = name + "=" + setting.Redacted
		r.secrets = append(r.secrets, v)
	}
	return v
}

// Required reads a property that must be set; what says what it should hold.
func (r *Reader) Required(name, what string) string {
	v := r.value(Spec{Name: name, Required: true, Allowed: what})
	if v == "" {
		r.errs = append(r.errs, fmt.Errorf("property %q is missing: set it to %s", name, what))
	}
	return v
}

// Choice reads a property that must be one of the allowed words, in any case.
func (r *Reader) Choice(name, def string, allowed ...string) string {
	v := r.value(Spec{Name: name, Default: def, Allowed: strings.Join(allowed, " or "), Choices: allowed})
	for _, a := range allowed {
		if strings.EqualFold(v, a) {
			return a
		}
	}
	r.Refuse(name, v, strings.Join(allowed, " or "))
	return def
}

// Bool reads a property that is on or off, in the words that Fluent Bit knows.
func (r *Reader) Bool(name string, def bool) bool {
	word := "off"
	if def {
		word = "on"
	}
	v := r.value(Spec{Name: name, Default: word, Allowed: "on or off"})
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1":
		return true
	case "off", "false", "no", "0":
		return false
	}
	r.Refuse(name, v, "on or off")
	return def
}

// Duration reads a time span between low and high: a number of seconds, or a
// number with a unit as Go writes it (250ms, 10s, 5m, 1h30m).
func (r *Reader) Duration(name string, def, low, high time.Duration) time.Duration {
	allowed := fmt.Sprintf("a time such as 10s, from %v to %v", low, high)
	v := r.value(Spec{Name: name, Default: def.String(), Allowed: allowed})
	d, err := time.ParseDuration(v)
	if sec, serr := strconv.ParseUint(v, 10, 31); serr == nil {
		d, err = time.Duration(sec)*time.Second, nil
	}
	if err != nil || d < low || d > high {
		r.Refuse(name, v, allowed)
		return def
	}
	return d
}

// Int reads a whole number between low and high.
func (r *Reader) Int(name string, def, low, high int) int {
	allowed := fmt.Sprintf("a whole number from %d to %d", low, high)
	v := r.value(Spec{Name: name, Default: strconv.Itoa(def), Allowed: allowed})
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		r.Refuse(name, v, allowed)
		return def
	}
	return n
}

// units are the suffixes of Bytes. Fluent Bit counts its K, M and G in
// thousands in some places and in 1,024 in others; here they are powers of
// 1,024 throughout, with or without iB or B.
var units = []struct {
	suffix string
	factor int
}{{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}}

// Bytes reads a number of bytes between low and high: 1048576, 1024K, 1M, 1MiB.
func (r *Reader) Bytes(name string, def, low, high int) int {
	allowed := fmt.Sprintf("a size such as 16M, from %s to %s", formatBytes(low), formatBytes(high))
	v := r.value(Spec{Name: name, Default: formatBytes(def), Allowed: allowed})
	digits := strings.TrimRight(strings.ToUpper(v), "BIKMG ")
	unit := strings.TrimSpace(strings.ToUpper(v)[len(digits):])
	n, err := strconv.Atoi(digits)
	factor := 0
	for _, u := range units {
		if unit == u.suffix || unit == u.suffix+"B" || (u.suffix != "" && unit == u.suffix+"IB") {
			factor = u.factor
		}
	}
	if err != nil || factor == 0 || n < 0 || n > high/factor || n*factor < low {
		r.Refuse(name, v, allowed)
		return def
	}
	return n * factor
}

func formatBytes(n int) string {
	for i := len(units) - 1; i > 0; i-- {
		if u := units[i]; n >= u.factor && n%u.factor == 0 {
			return strconv.Itoa(n/u.factor) + u.suffix
		}
	}
	return strconv.Itoa(n)
}

// Reserved reports whether Fluent Bit's core consumes a property of that name,
// of inputs or of outputs, so that no plugin ever sees it.
func Reserved(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"tls.", "net.", "oauth2", "thread.", "rate_gate", "storage."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "name", "match", "match_regex", "alias", "host", "port", "ipv6", "log_level", "log_suppress_interval",
		"retry_limit", "workers", "tls", "tag", "routable", "listen", "mem_buf_limit", "threaded", "rate_window":
		return true
	}
	return false
}
