package kafka

import (
	"strings"
	"testing"

	"keytrail/processor/setting"
)

// A broker that echoes a long token in its challenge does not leak any part of it into a
// log, although the error shows only the beginning of the challenge.
func TestRefusedTokenIsNotShown(t *testing.T) {
	token := "eyJhbGciOiJub25lIn0." + strings.Repeat("c0ffee", 160)
	var s setting.Scrubber
	s.AddFile("https://login/token", token)
	_, _, err := bearerSession{}.Challenge([]byte(`{"status":"invalid ` + token + `"}`))
	if err == nil {
		t.Fatal("a challenge is not a refusal")
	}
	if got := s.Clean(err.Error()); strings.Contains(got, "c0ffee") || !strings.Contains(got, `"{\"status\":\"invalid [redacted]"`) {
		t.Errorf("shown is %s", got)
	}
}
