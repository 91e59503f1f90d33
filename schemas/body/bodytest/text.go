package bodytest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"keytrail/schemas/otellog"
)

// extensionKey finds the keys of a CEF extension: a word before an equals sign that no
// backslash escapes, at the beginning or after a blank.
var extensionKey = regexp.MustCompile(`(^| )([A-Za-z0-9_]+)=`)

// ParseCEF reads a line by the rules of the format, without the code that wrote it.
func ParseCEF(t testing.TB, line string) (header []string, extension map[string]string) {
	t.Helper()
	if strings.ContainsAny(line, "\n\r") {
		t.Fatalf("more than one line: %q", line)
	}
	var field strings.Builder
	for i := 0; i < len(line) && len(header) < 7; i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && strings.ContainsRune(`\|`, rune(line[i+1])):
			i++
			field.WriteByte(line[i])
		case c == '|':
			header = append(header, field.String())
			field.Reset()
			if len(header) == 7 {
				line = line[i+1:]
			}
		default:
			field.WriteByte(c)
		}
	}
	if len(header) != 7 || header[0] != "CEF:0" {
		t.Fatalf("header %q in %q", header, line)
	}
	extension = map[string]string{}
	keys := extensionKey.FindAllStringSubmatchIndex(line, -1)
	unescape := strings.NewReplacer(`\\`, `\`, `\=`, `=`, `\n`, "\n", `\r`, "\r")
	for i, k := range keys {
		end := len(line)
		if i+1 < len(keys) {
			end = keys[i+1][0]
		}
		key, value := line[k[4]:k[5]], line[k[1]:end]
		if _, twice := extension[key]; twice {
			t.Fatalf("%s stands twice in %q", key, line)
		}
		extension[key] = unescape.Replace(value)
	}
	return header, extension
}

// Clean is what a value is after CEF: controls other than line breaks are blanks, and
// there are no blanks around it.
func Clean(s string, max int) string {
	s = valid(s)
	for len(s) > max {
		r := []rune(s)
		s = string(r[:len(r)-1])
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
	return strings.Trim(s, " \n\r")
}

// checkCEF holds what a reader of the line relies on.
func checkCEF(t testing.TB, r *otellog.Record, line string) {
	t.Helper()
	header, ext := ParseCEF(t, line)
	if header[1] != "Keytrail" || header[4] == "" || header[5] == "" || len(header[6]) > 2 ||
		ext["cat"] != r.EventName || ext["rt"] != fmt.Sprint(r.Time/1e6) {
		t.Errorf("%q: header %q, extension %v", line, header, ext)
	}
	for key := range ext {
		if label := strings.TrimSuffix(key, "Label"); ext[label] == "" || len(ext[key]) > 4000 {
			t.Errorf("%s=%s in %q", key, ext[key], line)
		}
		if custom := regexp.MustCompile(`^(cs|cn|cfp|c6a)\d$`); custom.MatchString(key) && ext[key+"Label"] == "" {
			t.Errorf("%s has no label in %q", key, line)
		}
	}
	for key, name := range map[string]string{"cs1": "aws.kms.key.arn", "cs2": "keytrail.principal.id"} {
		if want := Clean(r.Str(name), 4000); ext[key] != want {
			t.Errorf("%s is %q, want %q", key, ext[key], want)
		}
	}
}

// ParseLEEF reads a line of LEEF 2.0 with a tab between its attributes.
func ParseLEEF(t testing.TB, line string) (header []string, attrs map[string]string) {
	t.Helper()
	parts := strings.SplitN(line, "|", 7)
	if len(parts) != 7 || parts[0] != "LEEF:2.0" || parts[5] != "x09" || strings.ContainsAny(line, "\n\r") {
		t.Fatalf("not a line of LEEF 2.0: %q", line)
	}
	attrs = map[string]string{}
	for pair := range strings.SplitSeq(parts[6], "\t") {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := attrs[key]; !ok || twice || key == "" || value == "" {
			t.Fatalf("attribute %q in %q", pair, line)
		}
		attrs[key] = value
	}
	return parts[:6], attrs
}

// checkLEEF holds what a reader of the line relies on.
func checkLEEF(t testing.TB, r *otellog.Record, line string) {
	t.Helper()
	header, attrs := ParseLEEF(t, line)
	if header[4] == "" || attrs["cat"] != r.EventName || attrs["devTime"] != fmt.Sprint(r.Time/1e6) ||
		attrs["sev"] == "" || attrs["resource"] != r.Str("aws.kms.key.arn") {
		t.Errorf("header %q, attributes %v", header, attrs)
	}
}
