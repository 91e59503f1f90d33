// Package bodytest checks bodies against the rules of their formats, without the code that
// writes them: the published names, types and requirements of ECS and OCSF, and readers of
// CEF and LEEF. It is for tests only.
package bodytest

import (
	"bytes"
	"testing"

	"keytrail/schemas/otellog"
)

// Check reports an error unless text is the body name of r, one of Keytrail's records.
func Check(t testing.TB, name string, r *otellog.Record, text []byte) {
	t.Helper()
	switch name {
	case "otlp":
		if !bytes.Equal(text, otellog.AppendRequest(nil, r)) {
			t.Errorf("the body otlp is not the stored record")
		}
	case "otlp_json":
		Object(t, text)
	case "json":
		checkFlat(t, r, Object(t, text), 0)
	case "cim":
		checkCIM(t, r, Object(t, text))
	case "ecs":
		checkECS(t, r, Object(t, text))
	case "ocsf":
		checkOCSF(t, r, Object(t, text))
	case "cef":
		checkCEF(t, r, string(text))
	case "leef":
		checkLEEF(t, r, string(text))
	default:
		t.Errorf("no check for the body %q", name)
	}
}
