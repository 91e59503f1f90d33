package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/kafka"
	"keytrail/processor/kafka/kafkatest"
	"keytrail/processor/setting"
)

// secured starts a real Kafka with TLS and SASL listeners.
func secured(t *testing.T) *kafkatest.Secured {
	t.Helper()
	if os.Getenv(kafkatest.Variable) != "real" {
		fmt.Fprintf(os.Stderr, "SKIPPED %s: TLS and SASL are NOT tested: they need a real Kafka, make integration\n", t.Name())
		t.Skip("needs a real Kafka: make integration")
	}
	s, err := kafkatest.StartSecured(t.TempDir(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// reach creates a topic, writes to it and reads it back, with clients of cfg.
func reach(t *testing.T, cfg kafka.Config, topic string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := kafka.EnsureTopics(ctx, cfg, 1, []kafka.Topic{{Name: topic, Partitions: 1}}); err != nil {
		return err
	}
	cl, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
		return err
	}
	n := 0
	err = kafka.ReadLog(ctx, cfg, topic, []int32{0}, func(*kgo.Record) error { n++; return nil })
	if err == nil && n != 1 {
		return fmt.Errorf("read %d records, want 1", n)
	}
	return err
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecurity(t *testing.T) {
	s := secured(t)
	over := kafka.TLS{Enabled: true, CAFile: s.CA}
	password := setting.NewSecret(kafkatest.Password)
	tokens := tokenServer(t)
	hour := time.Now().Add(time.Hour)
	for name, sec := range map[string]kafka.Security{
		"plain":       {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismPlain, Username: kafkatest.User, Password: password}},
		"plain-file":  {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismPlain, Username: kafkatest.User, PasswordFile: writeFile(t, kafkatest.Password+"\n")}},
		"scram-256":   {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismSHA256, Username: kafkatest.User, Password: password}},
		"scram-512":   {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismSHA512, Username: kafkatest.User, Password: password}},
		"oauth-file":  {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenFile: writeFile(t, kafkatest.Token("me", hour)+"\n")}},
		"oauth-url":   {TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenURL: tokens, Username: "me", Password: password, Scope: "kafka more"}},
		"server-name": {TLS: kafka.TLS{Enabled: true, CAFile: s.CA, ServerName: "127.0.0.1"}, SASL: kafka.SASL{Mechanism: kafka.MechanismPlain, Username: kafkatest.User, Password: password}},
	} {
		if err := sec.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := reach(t, kafka.Config{Brokers: []string{s.SASL}, Security: sec}, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	mutual := kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: s.CA, CertFile: s.Cert, KeyFile: s.Key}}
	if err := reach(t, kafka.Config{Brokers: []string{s.Mutual}, Security: mutual}, "mutual"); err != nil {
		t.Errorf("mutual TLS: %v", err)
	}
	refusals(t, s)
	accessLists(t, s)
	renewed(t, s)
}

// accessLists denies one operation at a time with a real authorizer: startup names each,
// and succeeds if none is denied.
func accessLists(t *testing.T, s *kafkatest.Secured) {
	cfg := kafka.Config{Brokers: []string{s.SASL}, ClientID: "test", Security: kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: s.CA},
		SASL: kafka.SASL{Mechanism: kafka.MechanismSHA512, Username: kafkatest.User, Password: setting.NewSecret(kafkatest.Password)}}}
	begin := func(topic string) error {
		if _, err := kafka.EnsureTopics(t.Context(), cfg, 0, []kafka.Topic{{Name: topic, Partitions: 1, Access: kafka.Read | kafka.Write}}); err != nil {
			return err
		}
		return kafka.CheckAccess(t.Context(), cfg, []string{"acl-group"}, []string{"acl-"})
	}
	if err := begin("acl"); err != nil {
		t.Errorf("with nothing denied: %v", err)
	}
	f := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation, topic, want string) {
		t.Helper()
		undo, err := s.Deny(kind, name, op)
		if err != nil {
			t.Fatal(err)
		}
		// Brokers apply the list a moment later. A topic created until then exists.
		for i, deadline := 0, time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			if i++; op == kmsg.ACLOperationCreate {
				topic = fmt.Sprint(name, i)
			}
			if err = begin(topic); err != nil && strings.Contains(err.Error(), want) || time.Now().After(deadline) {
				break
			}
		}
		t.Logf("without %v on %v %s: %v", op, kind, name, err)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "kafka-acls.sh") || strings.Contains(err.Error(), "\n") {
			t.Errorf("without %v on %v %s: %v, want one line with %q", op, kind, name, err, want)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
	f(kmsg.ACLResourceTypeTopic, "acl", kmsg.ACLOperationRead, "acl", `do not allow Read on topic "acl"`)
	f(kmsg.ACLResourceTypeTopic, "acl", kmsg.ACLOperationWrite, "acl", `do not allow Write on topic "acl"`)
	f(kmsg.ACLResourceTypeTopic, "acl", kmsg.ACLOperationDescribe, "acl", `do not allow Describe on topic "acl"`)
	f(kmsg.ACLResourceTypeTopic, "acl-new", kmsg.ACLOperationCreate, "", `" does not exist: `)
	f(kmsg.ACLResourceTypeGroup, "acl-group", kmsg.ACLOperationRead, "acl", `do not allow Read on group "acl-group"`)
	f(kmsg.ACLResourceTypeTransactionalId, "acl-check", kmsg.ACLOperationWrite, "acl", `do not allow Write on transactional id "acl-"`)
}

// tokenServer is an OAuth server with the client "me".
func tokenServer(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		if id != "me" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka more" {
			http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
			return
		}
		if secret == "" || secret == "wrong" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":3600}`, kafkatest.Token(id, time.Now().Add(time.Hour)))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// refusals checks that each authentication error names the cause and the remedy.
func refusals(t *testing.T, s *kafkatest.Secured) {
	over := kafka.TLS{Enabled: true, CAFile: s.CA}
	wrong, password := setting.NewSecret("hunter2"), setting.NewSecret(kafkatest.Password)
	f := func(what, broker string, sec kafka.Security, want ...string) {
		t.Helper()
		err := reach(t, kafka.Config{Brokers: []string{broker}, Security: sec}, "refused")
		t.Logf("%s: %v", what, err)
		if err == nil {
			t.Errorf("%s: it worked", what)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error is %q, want one with %q", what, err, w)
			}
		}
		if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "hunter2") || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: the error has more than one line, or holds the secret, or came too late: %q", what, err)
		}
	}
	for _, m := range []kafka.Mechanism{kafka.MechanismPlain, kafka.MechanismSHA256, kafka.MechanismSHA512} {
		f("a wrong password", s.SASL, kafka.Security{TLS: over, SASL: kafka.SASL{Mechanism: m, Username: kafkatest.User, Password: wrong}},
			"cannot list topics at ["+s.SASL+"]", "the brokers refuse SASL "+string(m)+` for user "keytrail"; check the user and the password`)
	}
	f("an old token", s.SASL, kafka.Security{TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenFile: writeFile(t, kafkatest.Token("me", time.Now().Add(-time.Hour)))}},
		"the brokers refuse SASL OAUTHBEARER; check that the token has not expired")
	f("a token server that refuses", s.SASL, kafka.Security{TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenURL: tokenServer(t), Scope: "kafka more", Username: "me", Password: setting.NewSecret("wrong")}},
		"cannot get a token for SASL OAUTHBEARER from token_url", `as client "me"`, "invalid_client")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	t.Setenv("AWS_REGION", "eu-west-1")
	f("a mechanism that is not offered", s.SASL, kafka.Security{TLS: over, SASL: kafka.SASL{Mechanism: kafka.MechanismMSKIAM}}, "this listener of the brokers does not offer SASL AWS_MSK_IAM")
	plain := kafka.SASL{Mechanism: kafka.MechanismPlain, Username: kafkatest.User, Password: password}
	f("a wrong authority", s.SASL, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: s.OtherCA}, SASL: plain}, fmt.Sprintf("no authority in ca_file %q signed the broker's certificate", s.OtherCA))
	f("the system's authorities", s.SASL, kafka.Security{TLS: kafka.TLS{Enabled: true}, SASL: plain}, "no authority in ca_file (the system's, because none is set) signed")
	f("a wrong name", s.SASL, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: s.CA, ServerName: "kafka.example"}, SASL: plain}, "set server_name")
	f("no certificate", s.Mutual, kafka.Security{TLS: over}, "the brokers require a client certificate; set cert_file and key_file")
	f("a file that is not there", s.SASL, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: "/nowhere/ca.pem"}}, "cannot use ca_file", "/nowhere/ca.pem")
	f("TLS where there is none", s.Brokers()[0], kafka.Security{TLS: over}, "no TLS handshake", "do not enable kafka.tls")
	f("no TLS where there is one", s.SASL, kafka.Security{SASL: plain}, "speaks TLS; set kafka.tls.enabled")
	f("no SASL where there is one", s.SASL, kafka.Security{TLS: over}, "set kafka.sasl.mechanism", "is SASL missing?")
}

// renewed lets sessions of three seconds end while the token is replaced: the client
// authenticates again with the new one and loses no record.
func renewed(t *testing.T, s *kafkatest.Secured) {
	path := writeFile(t, kafkatest.Token("me", time.Now().Add(4*time.Second)))
	cfg := kafka.Config{Brokers: []string{s.SASL}, Security: kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: s.CA}, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenFile: path}}}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := kafka.EnsureTopics(ctx, cfg, 1, []kafka.Topic{{Name: "renewed", Partitions: 1}}); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := os.WriteFile(path, []byte(kafkatest.Token("me", time.Now().Add(time.Hour))), 0o600); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 7*time.Second; time.Sleep(100 * time.Millisecond) {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "renewed", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
	}
}
