package kafka_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"keytrail/processor/kafka"
	"keytrail/processor/setting"
)

// fake starts kfake brokers with options.
func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refused runs failing starts. They mostly wait, so all run concurrently.
type refused struct {
	*testing.T
	wg sync.WaitGroup
}

// newRefused returns an empty refused. The test waits for wg before it ends.
func newRefused(t *testing.T) *refused { return &refused{T: t} }

// start starts with an unusable configuration, and checks that the error is one line that
// contains each of want, and that nothing is logged.
func (r *refused) start(name string, cfg kafka.Config, want ...string) {
	r.wg.Go(func() {
		var log bytes.Buffer
		cfg.ClientID, cfg.Log = "test", slog.New(slog.NewTextHandler(&log, nil))
		_, err := kafka.EnsureTopics(context.Background(), cfg, 0, []kafka.Topic{{Name: "kms.events", Partitions: 2, Access: kafka.Read | kafka.Write}})
		if err == nil {
			err = kafka.CheckAccess(context.Background(), cfg, []string{"keytrail-count"}, []string{"keytrail-count-"})
		}
		if err == nil {
			r.Errorf("%s: it starts", name)
			return
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				r.Errorf("%s: got %v\nwant it to say %q", name, err, text)
			}
		}
		if strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), `topic ""`) {
			r.Errorf("%s: got %q, want one line without secrets and empty names", name, err)
		}
		if log.Len() > 0 {
			r.Errorf("%s: the log has more lines:\n%s", name, &log)
		}
	})
}

func sasl(mechanism kafka.Mechanism, user, password string) kafka.Security {
	return kafka.Security{SASL: kafka.SASL{Mechanism: mechanism, Username: user, Password: setting.NewSecret(password)}}
}

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve accepts connections and passes them to f.
func serve(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
	return l.Addr().String()
}

// certificate makes a self-signed certificate for a name, and returns it with its PEM file.
func certificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

// TestStartIsRefused checks that every obstacle between Keytrail and its brokers ends
// startup with one line that says what, where, and what to do.
func TestStartIsRefused(t *testing.T) {
	r := newRefused(t)
	defer r.wg.Wait()
	at := func(addresses ...string) kafka.Config { return kafka.Config{Brokers: addresses} }
	with := func(c *kfake.Cluster, s kafka.Security) kafka.Config {
		return kafka.Config{Brokers: c.ListenAddrs(), Security: s}
	}

	// nobody there
	nobody := closedPort(t)
	r.start("nobody listens", at(nobody), nobody, "refused", "check that Kafka runs there")
	r.start("two of nobody", at(nobody, "127.0.0.1:1"), nobody, "127.0.0.1:1")
	r.start("no name", at("kafka.invalid:9092"), `"kafka.invalid:9092"`, "name cannot be resolved", "check kafka.brokers")
	r.start("silent", at(serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })), "accepts connections but does not answer")
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	r.start("a web server", at(strings.TrimPrefix(web.URL, "http://")), strings.TrimPrefix(web.URL, "http://"))
	r.start("hangs up", at(serve(t, func(c net.Conn) { bufio.NewReader(c).ReadByte(); c.Close() })), "closes the connection without an answer")

	// SASL
	secured := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "keytrail", "right"), kfake.Superuser("SCRAM-SHA-256", "keytrail", "right"))
	r.start("wrong password", with(secured, sasl(kafka.MechanismPlain, "keytrail", "hunter2")), `refuse SASL PLAIN for user "keytrail"`, "check the user and the password")
	r.start("wrong user", with(secured, sasl(kafka.MechanismSHA256, "nobody", "hunter2")), `for user "nobody"`)
	r.start("wrong mechanism", with(secured, kafka.Security{TLS: kafka.TLS{}, SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenFile: writeFile(t, "token")}}), "does not offer SASL OAUTHBEARER")
	r.start("no SASL", with(secured, kafka.Security{}), "set kafka.sasl.mechanism")

	silent := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	token := kafka.Security{SASL: kafka.SASL{Mechanism: kafka.MechanismOAuth, TokenURL: "http://" + silent + "/token", Username: "me", Password: setting.NewSecret("hunter2")}}
	bearer := fake(t) // which does not support the mechanism
	bearer.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		bearer.KeepControl()
		return req.(*kmsg.SASLHandshakeRequest).ResponseKind(), nil, true
	})
	r.start("a token server that is silent", with(bearer, token), "cannot get a token", silent+"/token", `as client "me"`)

	// TLS
	cert, ca := certificate(t, "127.0.0.1")
	foreign, foreignCA := certificate(t, "kafka.example")
	over := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	named := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{foreign}}))
	plain := fake(t)
	r.start("unknown authority", with(over, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: foreignCA}}), "no authority in ca_file", foreignCA)
	r.start("another name", with(named, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: foreignCA}}), "does not have the name", "server_name")
	r.start("plain to TLS", with(over, kafka.Security{}), "TLS", "set kafka.tls.enabled")
	r.start("TLS to plain", with(plain, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: ca}}), "TLS", "do not enable")
	hushed := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	r.start("silent to TLS", kafka.Config{Brokers: []string{hushed}, Security: kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: ca}}}, hushed, "no TLS handshake")
	r.start("no such file", with(over, kafka.Security{TLS: kafka.TLS{Enabled: true, CAFile: ca + "x"}}), "ca_file", "no such file")

	// too old
	r.start("Kafka 2.4", with(fake(t, kfake.MaxVersions(kversion.V2_4_0())), kafka.Security{}), "too old", "Kafka 2.5 or newer")
	r.start("Kafka 0.11", with(fake(t, kfake.MaxVersions(kversion.V0_11_0())), kafka.Security{}), "too old", "Kafka 2.5 or newer")

	// brokers that advertise an unusable address
	lost := fake(t)
	lost.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		lost.KeepControl()
		m := req.(*kmsg.MetadataRequest).ResponseKind().(*kmsg.MetadataResponse)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 0, "internal.invalid", 9092
		m.Brokers = append(m.Brokers, b)
		return m, nil, true
	})
	r.start("advertised listeners", with(lost, kafka.Security{}), "internal.invalid:9092", "advertised.listeners")
}

// acls grants a user every operation on a single-topic installation but one.
func acls(without kmsg.ACLOperation, kind kmsg.ACLResourceType) (list []kfake.ACL) {
	for _, one := range []struct {
		kind kmsg.ACLResourceType
		name string
		ops  []kmsg.ACLOperation
	}{
		{kmsg.ACLResourceTypeTopic, "kms.", []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs}},
		{kmsg.ACLResourceTypeGroup, "keytrail-", []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationDescribe}},
		{kmsg.ACLResourceTypeTransactionalId, "keytrail-", []kmsg.ACLOperation{kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe}},
	} {
		for _, op := range one.ops {
			if one.kind == kind && (op == without || without == kmsg.ACLOperationDescribe && op != kmsg.ACLOperationCreate) {
				continue
			}
			list = append(list, kfake.ACL{Resource: one.kind, Name: one.name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true})
		}
	}
	return list
}

// Startup names each operation missing in the brokers' access lists, with the command
// that grants it.
func TestAccessIsRefused(t *testing.T) {
	r := newRefused(t)
	defer r.wg.Wait()
	f := func(without kmsg.ACLOperation, kind kmsg.ACLResourceType, want ...string) {
		t.Helper()
		c := fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "admin", "admin"), kfake.EnableACLs(), kfake.User("PLAIN", "keytrail", "right", acls(without, kind)...))
		if without != kmsg.ACLOperationCreate {
			fakeTopic(t, c)
		}
		cfg := kafka.Config{Brokers: c.ListenAddrs(), Security: sasl(kafka.MechanismPlain, "keytrail", "right")}
		r.start(fmt.Sprint(kind, " without ", without), cfg, append(want, `for user "keytrail"`, "kafka-acls.sh", "--allow-principal User:keytrail")...)
	}
	f(kmsg.ACLOperationRead, kmsg.ACLResourceTypeTopic, `do not allow Read on topic "kms.events"`, "--operation Read --topic kms.events")
	f(kmsg.ACLOperationWrite, kmsg.ACLResourceTypeTopic, `do not allow Write on topic "kms.events"`, "--operation Write --topic kms.events")
	f(kmsg.ACLOperationDescribe, kmsg.ACLResourceTypeTopic, `do not allow Describe on topic "kms.events"`)
	f(kmsg.ACLOperationCreate, kmsg.ACLResourceTypeTopic, `topic "kms.events" does not exist`, "--operation Create --topic kms.events")
	f(kmsg.ACLOperationRead, kmsg.ACLResourceTypeGroup, `do not allow Read on group "keytrail-count"`, "--group keytrail-count")
	f(kmsg.ACLOperationDescribe, kmsg.ACLResourceTypeGroup, `on group "keytrail-count"`)
	f(kmsg.ACLOperationWrite, kmsg.ACLResourceTypeTransactionalId, `do not allow Write on transactional id "keytrail-count-"`, "--transactional-id keytrail-count- --resource-pattern-type prefixed")
	f(kmsg.ACLOperationDescribe, kmsg.ACLResourceTypeTransactionalId, `on transactional id "keytrail-count-"`)

	// Optional operations do not prevent the start.
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "admin", "admin"), kfake.EnableACLs(), kfake.User("PLAIN", "keytrail", "right", acls(kmsg.ACLOperationDescribeConfigs, kmsg.ACLResourceTypeTopic)...))
	fakeTopic(t, c)
	var log bytes.Buffer
	cfg := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "test", Security: sasl(kafka.MechanismPlain, "keytrail", "right"), Log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := kafka.EnsureTopics(t.Context(), cfg, 0, []kafka.Topic{{Name: "kms.events", Partitions: 2}}); err != nil || !strings.Contains(log.String(), "DescribeConfigs") {
		t.Errorf("without DescribeConfigs: %v, and the log says %s", err, &log)
	}
	if err := kafka.CheckAccess(t.Context(), cfg, []string{"keytrail-count"}, []string{"keytrail-count-"}); err != nil {
		t.Error(err)
	}
}

// fakeTopic creates kms.events as a superuser.
func fakeTopic(t *testing.T, c *kfake.Cluster) {
	t.Helper()
	root := kafka.Config{Brokers: c.ListenAddrs(), ClientID: "root", Security: sasl(kafka.MechanismSHA256, "admin", "admin")}
	if _, err := kafka.EnsureTopics(t.Context(), root, 1, []kafka.Topic{{Name: "kms.events", Partitions: 2}}); err != nil {
		t.Fatalf("as a superuser: %v", err)
	}
}
