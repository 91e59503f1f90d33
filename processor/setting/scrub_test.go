package setting

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A secret is hidden wherever a text was cut within it: at the end of the text or of quotes,
// and however it is written there, when leastCut bytes or more are left of it.
func TestCutSecretsAreHidden(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	secret := []byte("eyJhbGciOi")
	for len(secret) < 980 {
		secret = append(secret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+=.-_\"\\<"[rng.IntN(71)])
	}
	var s Scrubber
	s.AddFile("https://login/token", string(secret))
	inJSON, err := json.Marshal(string(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{string(secret), strconv.Quote(string(secret)), string(inJSON), url.QueryEscape(string(secret))} {
		form = strings.Trim(form, `"`)
		for n := leastCut; n < len(form); n++ {
			for _, text := range []string{form[:n], form[:n] + "...", form[:n] + " (cut)", "(" + form[:n] + ") x", strconv.Quote(`{"status":"` + form[:n])} {
				text = "refused: " + text
				if got := s.Clean(text); strings.Contains(got, string(secret[:leastCut])) || !strings.HasPrefix(got, "refused: ") {
					t.Fatalf("%q is shown as %q", text, got)
				}
			}
		}
	}
	if got := s.Clean(fmt.Sprintf("%.200q and %.12q", secret, secret)); got != `"[redacted]" and "`+string(secret[:12])+`"` {
		t.Errorf("shown is %s", got)
	}
}

// Words that begin like a value of the environment, or are parts of a secret, stay.
func TestOrdinaryTextStays(t *testing.T) {
	var s Scrubber
	s.Add("kafka-1.internal.example:9092", "${BROKERS}")
	s.Add("kafka#", Redacted)
	s.Add(`C:\\keytrail\\certificates\\a`, "${CA}")
	s.AddFile("/run/password", "ms")
	for _, text := range []string{"kafka-1.internal.example:9093 is down", `C:\\keytrail\\certificates\\b`, "topic kms.events of kafka", "s3://kafka/x.json"} {
		if got := s.Clean(text); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	if got := s.Clean("the password kafka# of kafka-1.internal.example:9092"); got != "the password [redacted] of ${BROKERS}" {
		t.Errorf("shown is %q", got)
	}
}
