package output

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
	"keytrail/processor/setting"
)

// A token endpoint and a broker echo what they were sent, and the token that was given before.
func TestTokenEndpointThatEchoes(t *testing.T) {
	var refuse atomic.Bool
	const token = "eyJhbGciOiJub25lIn0.the-first-token"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !refuse.Load() {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, token)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "refused %s %s %s", body, r.Header.Get("Authorization"), token)
	}))
	t.Cleanup(srv.Close)
	const password = "client/secret+1"
	b := newBench(t, func(c *Config) {
		c.FlushTimeout = 2 * time.Second
		c.Security.SASL = kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenURL: srv.URL, Username: "me", Password: setting.NewSecret(password)}
	}, seeded())
	b.kafka.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.SupportedMechanisms = []string{string(kafka.MechanismOAuth)}
		return resp, nil, true
	})
	b.kafka.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		echo := fmt.Sprintf("the broker refuses %q", req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		resp.ErrorCode, resp.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &echo
		return resp, nil, true
	})
	b.o.log.Secrets().Add(password, "${SECRET}") // as main does
	for i, want := range []string{"the broker refuses", "cannot get a token"} {
		refuse.Store(i == 1)
		for range 10 { // the client pauses between two connections: a flush may show the last failure again
			if got := b.o.Flush(flat(event(0)), "t"); got != Retry {
				t.Fatalf("the flush returned %d", got)
			}
			b.o.lastWarn.Store(int64(-warnEvery))
			if strings.Contains(b.logged(), want) {
				break
			}
		}
	}
	log := b.logged()
	if !strings.Contains(log, "the broker refuses") || !strings.Contains(log, "cannot get a token") || !strings.Contains(log, "${SECRET}") {
		t.Errorf("the log does not say why: %s", log)
	}
	for _, secret := range []string{token, password, "client%2Fsecret%2B1"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q: %s", secret, log)
		}
	}
}
