package body_test

import (
	"strings"
	"testing"

	"keytrail/schemas/body/bodytest"
	"keytrail/schemas/otellog"
)

// The values that syslog-ng was seen to write, and a header of ArcSight's guide.
func TestCEFEscapes(t *testing.T) {
	f := func(detector, reason, want string) {
		t.Helper()
		r := &otellog.Record{EventName: "keytrail.anomaly"}
		r.String("keytrail.anomaly.detector", detector)
		r.String("keytrail.anomaly.reason", reason)
		if line := string(encode(t, encoder(t, "cef"), r)); !strings.Contains(line, want) {
			t.Errorf("%q, want %q in it", line, want)
		}
	}
	f("d", `x=y|z\w`, ` msg=x\=y|z\\w`)
	f("d", "line1\nline2\r.", ` msg=line1\nline2\r.`)
	f("d", "tab\tand \u00e9", " msg=tab and \u00e9")
	f("d", "next\u0085line\u2028and\u2029.", " msg=next line and .")
	f("d", `[br] "q"`, ` msg=[br] "q"`)
	f(`a | b\c`, "r", `|a \| b\\c|KMS anomaly: a \| b\\c|`)
	f("a\nb", "r", `|a b|`)
}

func FuzzCEF(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	e := encoder(f, "cef")
	f.Fuzz(func(t *testing.T, s string) {
		r := &otellog.Record{Time: 1e9, EventName: "keytrail.anomaly", Severity: 9}
		r.String("keytrail.anomaly.detector", s)
		r.String("keytrail.anomaly.reason", s)
		r.String("keytrail.principal.id", s)
		r.String("aws.kms.key.arn", s)
		header, ext := bodytest.ParseCEF(t, string(encode(t, e, r)))
		oneLine := strings.Trim(strings.NewReplacer("\n", " ", "\r", " ").Replace(bodytest.Clean(s, 1<<20)), " ")
		if header[4] != oneLine {
			t.Errorf("header %q, want %q", header[4], oneLine)
		}
		for key, max := range map[string]int{"msg": 1023, "cs1": 4000, "cs2": 4000} {
			if want := bodytest.Clean(cutValid(s, max), 1<<20); ext[key] != want {
				t.Errorf("%s is %q, want %q", key, ext[key], want)
			}
		}
	})
}

// cutValid is the first max bytes of s, without a part of a character at the end.
func cutValid(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && s[max]>>6 == 2 {
		max--
	}
	return s[:max]
}

func FuzzLEEF(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	e := encoder(f, "leef")
	f.Fuzz(func(t *testing.T, s string) {
		r := &otellog.Record{Time: 1e9, EventName: "keytrail.anomaly"}
		r.String("keytrail.anomaly.detector", s)
		r.String("keytrail.anomaly.reason", s)
		header, attrs := bodytest.ParseLEEF(t, string(encode(t, e, r)))
		want := strings.Trim(strings.NewReplacer("\n", " ", "\r", " ").Replace(bodytest.Clean(s, 1<<20)), " ")
		if attrs["msg"] != want || header[4] != strings.ReplaceAll(want, "|", "/") {
			t.Errorf("%q and %q, want %q", attrs["msg"], header[4], want)
		}
	})
}
