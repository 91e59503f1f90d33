package kafkatest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"keytrail/processor/internal/certs"
)

// User and Password are the credentials of the SASL listener, for PLAIN and both kinds of
// SCRAM.
const (
	User     = "keytrail"
	Password = "correct horse, \"battery\" staple"
)

// Secured is a real Kafka of one broker with additional listeners.
type Secured struct {
	*Cluster
	// SASL is the address of the listener with TLS and PLAIN, SCRAM-SHA-256,
	// SCRAM-SHA-512 or OAUTHBEARER; it accepts unsigned tokens.
	SASL string
	// Mutual is the address of the listener that requires a client certificate of CA.
	Mutual string
	// CA, OtherCA, Cert and Key are PEM files: the authority of all certificates, an
	// unrelated authority, and a client's certificate with its key.
	CA, OtherCA, Cert, Key string
}

// StartSecured starts a Secured. dir is a directory of the test; the download of Kafka
// writes its messages to log. The caller closes it.
func StartSecured(dir string, log io.Writer) (*Secured, error) {
	s := &Secured{CA: filepath.Join(dir, "ca.pem"), OtherCA: filepath.Join(dir, "other.pem"),
		Cert: filepath.Join(dir, "client.pem"), Key: filepath.Join(dir, "client.key")}
	if err := s.certificates(dir); err != nil {
		return nil, fmt.Errorf("cannot make certificates: %w", err)
	}
	var err error
	s.Cluster, err = startCluster(dir, 1, log, func(layout string) error { return s.listeners(dir, layout) })
	if err != nil {
		return nil, err
	}
	if err := s.users(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// certificates makes two authorities, and from the first a broker's and a client's
// certificate.
func (s *Secured) certificates(dir string) error {
	ca, err := certs.New("kafkatest", s.CA)
	if err != nil {
		return err
	}
	if _, err := certs.New("another", s.OtherCA); err != nil {
		return err
	}
	// Kafka expects the key before the certificates in a PEM file.
	if err := ca.Sign("broker", filepath.Join(dir, "broker.pem"), filepath.Join(dir, "broker.pem"), nil); err != nil {
		return err
	}
	return ca.Sign(User, s.Cert, s.Key, nil)
}

// listeners adds the listeners to the prepared configuration.
func (s *Secured) listeners(dir, layout string) error {
	var err error
	if s.SASL, err = freeAddress(); err != nil {
		return err
	}
	if s.Mutual, err = freeAddress(); err != nil {
		return err
	}
	path := filepath.Join(layout, "1", "server.properties")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	more := ",SASL://" + s.SASL + ",MUTUAL://" + s.Mutual
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "listeners=") || strings.HasPrefix(line, "advertised.listeners=") {
			lines[i] += more
		}
	}
	// Quotation marks inside the option are escaped twice, for JAAS and for the file.
	password := strings.ReplaceAll(Password, `"`, `\\"`)
	const security, at = "org.apache.kafka.common.security.", "listener.name.sasl."
	lines = append(lines,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL",
		"ssl.keystore.type=PEM", "ssl.keystore.location="+filepath.Join(dir, "broker.pem"),
		"ssl.truststore.type=PEM", "ssl.truststore.location="+s.CA,
		"listener.name.mutual.ssl.client.auth=required",
		at+"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		at+`plain.sasl.jaas.config=`+security+`plain.PlainLoginModule required user_`+User+`="`+password+`";`,
		at+`scram-sha-256.sasl.jaas.config=`+security+`scram.ScramLoginModule required;`,
		at+`scram-sha-512.sasl.jaas.config=`+security+`scram.ScramLoginModule required;`,
		at+`oauthbearer.sasl.jaas.config=`+security+
			`oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
		at+`oauthbearer.sasl.server.callback.handler.class=`+security+
			`oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler`,
		// Resources without an access list are open to all, and the plaintext listener
		// may do everything: tests deny one thing at a time.
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS", "allow.everyone.if.no.acl.found=true",
		// Sessions expire soon, so that the tests see clients authenticate again.
		at+"oauthbearer.connections.max.reauth.ms=3000", at+"plain.connections.max.reauth.ms=3000",
	)
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// users creates the SCRAM credentials in the cluster.
func (s *Secured) users() error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // a request may name a user once only
		made, err := kadm.NewClient(cl).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: User, Mechanism: m,
			Iterations: 4096, Password: Password}})
		if err == nil {
			err = made.Error()
		}
		if err != nil {
			return fmt.Errorf("cannot make the credentials of %v: %w", m, err)
		}
	}
	return nil
}

// Deny makes the brokers refuse one operation to User on resources whose names begin with
// name, and allow all others; undo removes both rules.
func (s *Secured) Deny(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) (undo func() error, err error) {
	on := func(b *kadm.ACLBuilder) *kadm.ACLBuilder {
		b = b.ResourcePatternType(kadm.ACLPatternPrefixed)
		switch kind {
		case kmsg.ACLResourceTypeTopic:
			if op == kmsg.ACLOperationCreate {
				b = b.Clusters() // creating any topic is a right on the cluster
			}
			return b.Topics(name)
		case kmsg.ACLResourceTypeGroup:
			return b.Groups(name)
		}
		return b.TransactionalIDs(name)
	}
	who := "User:" + User
	lists := []*kadm.ACLBuilder{
		on(kadm.NewACLs().Allow(who).AllowHosts("*").Operations(kmsg.ACLOperationAll)),
		on(kadm.NewACLs().Deny(who).DenyHosts("*").Operations(op)),
	}
	return func() error {
			return s.each(lists, func(ctx context.Context, adm *kadm.Client, b *kadm.ACLBuilder) error {
				_, err := adm.DeleteACLs(ctx, b)
				return err
			})
		}, s.each(lists, func(ctx context.Context, adm *kadm.Client, b *kadm.ACLBuilder) error {
			made, err := adm.CreateACLs(ctx, b)
			for _, m := range made {
				err = errors.Join(err, m.Err)
			}
			return err
		})
}

// each runs an action per access list, as the administrator.
func (s *Secured) each(lists []*kadm.ACLBuilder, f func(context.Context, *kadm.Client, *kadm.ACLBuilder) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range lists {
		err = errors.Join(err, f(ctx, kadm.NewClient(cl), b))
	}
	return err
}

// Token returns an unsigned token (RFC 7519, section 6) for a subject, valid from now
// until it expires.
func Token(subject string, expires time.Time) string {
	part := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, time.Now().Add(-time.Minute).Unix(), expires.Unix())
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + "."
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
