package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	saslaws "github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2/clientcredentials"

	"keytrail/processor/setting"
)

// Security sets encryption and authentication; its zero value sets neither. Files are
// read again for every new connection, so certificates, passwords and tokens can be
// rotated while the program runs. It is plain data: safe for concurrent use.
type Security struct {
	TLS  TLS
	SASL SASL
}

// Mechanism is an authentication mechanism, by Kafka's name.
type Mechanism string

// The mechanisms. RFC 4616, RFC 5802 and 7677, RFC 7628, and for the last
// https://github.com/aws/aws-msk-iam-auth.
const (
	MechanismNone   Mechanism = "none"
	MechanismPlain  Mechanism = "PLAIN"
	MechanismSHA256 Mechanism = "SCRAM-SHA-256"
	MechanismSHA512 Mechanism = "SCRAM-SHA-512"
	MechanismOAuth  Mechanism = "OAUTHBEARER"
	MechanismMSKIAM Mechanism = "AWS_MSK_IAM"
)

// Mechanisms returns all mechanisms, including none.
func Mechanisms() []Mechanism {
	return []Mechanism{MechanismNone, MechanismPlain, MechanismSHA256, MechanismSHA512, MechanismOAuth, MechanismMSKIAM}
}

// SASL authenticates the client.
type SASL struct {
	// Mechanism is the authentication mechanism; "" means MechanismNone.
	Mechanism Mechanism `yaml:"mechanism"`
	// Username and Password belong to PLAIN and SCRAM. With TokenURL they are the client
	// id and secret of OAUTHBEARER.
	Username string         `yaml:"username"`
	Password setting.Secret `yaml:"password"`
	// PasswordFile is a file with the password, instead of Password. A final newline is
	// ignored.
	PasswordFile string `yaml:"password_file"`
	// TokenFile is a file with the token of OAUTHBEARER, such as a Kubernetes service
	// account token.
	TokenFile string `yaml:"token_file"`
	// TokenURL issues tokens for OAUTHBEARER by the client credentials grant (RFC 6749,
	// section 4.4), with Scope if set.
	TokenURL string `yaml:"token_url"`
	Scope    string `yaml:"scope"`

	found func(path, secret string) // see OnSecret
}

// OnSecret calls f for every secret read from a file, with the file's path, and for every
// token from TokenURL, with that URL, to keep secrets out of errors and logs. Call it
// before the first connection; any connection may call f.
func (s *SASL) OnSecret(f func(path, secret string)) { s.found = f }

func (s *SASL) mechanism() Mechanism { return cmp.Or(s.Mechanism, MechanismNone) }

// Validate returns setting.Problems that name the unusable settings. It opens no file:
// see Security.Load.
func (s SASL) Validate() error {
	var p setting.Problems
	m := s.mechanism()
	if setting.OneOf(&p, "mechanism", m, Mechanisms()...); p != nil {
		return p // the rules for the others are unknown
	}
	own := s.Password.Reveal() != "" || s.Password.Sourced()
	password := own || s.PasswordFile != ""
	if own && s.PasswordFile != "" {
		p.Add("password_file", "%q is set together with password; remove one of them", s.PasswordFile)
	}
	switch m {
	case MechanismPlain, MechanismSHA256, MechanismSHA512:
		s.want(&p, "username", s.Username != "")
		s.want(&p, "password", password)
	case MechanismOAuth:
		s.oauth(&p, password)
	default:
		s.unused(&p, "username", s.Username)
		s.unused(&p, "password", s.Password.String())
		s.unused(&p, "password_file", s.PasswordFile)
	}
	if m != MechanismOAuth {
		s.unused(&p, "token_file", s.TokenFile)
		s.unused(&p, "token_url", s.TokenURL)
		s.unused(&p, "scope", s.Scope)
	}
	return p.Err()
}

func (s *SASL) oauth(p *setting.Problems, password bool) {
	switch {
	case s.TokenFile != "" && s.TokenURL != "":
		p.Add("token_file", "%q is set together with token_url; remove one of them", s.TokenFile)
	case s.TokenFile != "":
		s.unused(p, "username", s.Username)
		s.unused(p, "password", s.Password.String())
		s.unused(p, "password_file", s.PasswordFile)
		s.unused(p, "scope", s.Scope)
	case s.TokenURL == "":
		p.Add("token_file", "is missing; mechanism %s requires token_file or token_url", s.Mechanism)
	default:
		u, err := url.Parse(s.TokenURL)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			p.Add("token_url", "is not a URL such as https://login.example/token, without a user or password in it")
		}
		s.want(p, "username", s.Username != "")
		s.want(p, "password", password)
	}
}

func (s *SASL) want(p *setting.Problems, key string, there bool) {
	if !there {
		p.Add(key, "is missing; mechanism %s requires it", s.Mechanism)
	}
}

func (s *SASL) unused(p *setting.Problems, key, text string) {
	if text != "" {
		p.Add(key, "is set, but mechanism %s does not use it", s.mechanism())
	}
}

// Validate returns setting.Problems whose keys begin with "tls." or "sasl.".
func (s Security) Validate() error {
	var p setting.Problems
	for _, section := range []struct {
		key string
		err error
	}{{"tls.", s.TLS.Validate()}, {"sasl.", s.SASL.Validate()}} {
		var found setting.Problems
		errors.As(section.err, &found)
		for _, one := range found {
			p.Add(section.key+one.Key, "%s", one.Text)
		}
	}
	if s.SASL.Mechanism == MechanismMSKIAM && !s.TLS.Enabled {
		p.Add("sasl.mechanism", "%s requires TLS: enable it", MechanismMSKIAM)
	}
	return p.Err()
}

// Load reads every file of s once, so that a mistake shows at startup and not at the
// first connection.
func (s *Security) Load() error {
	var errs []error
	if s.TLS.Enabled {
		_, err := s.TLS.config("")
		errs = append(errs, err)
	}
	if s.SASL.PasswordFile != "" {
		_, err := s.SASL.password(context.Background())
		errs = append(errs, err)
	}
	if s.SASL.TokenFile != "" {
		_, err := secretFile("token_file", s.SASL.TokenFile)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Options returns the client options for s.
func (s *Security) Options() []kgo.Opt {
	var opts []kgo.Opt
	if s.TLS.Enabled {
		opts = append(opts, kgo.Dialer(s.TLS.dial))
	}
	if m := s.SASL.client(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts
}

// client returns the client's form of the mechanism, nil for none.
func (s SASL) client() sasl.Mechanism {
	switch s.Mechanism {
	case MechanismPlain:
		return plain.Plain(func(ctx context.Context) (plain.Auth, error) {
			password, err := s.password(ctx)
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	case MechanismSHA256:
		return scram.Sha256(s.scram)
	case MechanismSHA512:
		return scram.Sha512(s.scram)
	case MechanismOAuth:
		return bearer{oauth.Oauth(s.token)}
	case MechanismMSKIAM:
		return saslaws.ManagedStreamingIAM((&awsChain{}).retrieve)
	}
	return nil
}

func (s *SASL) scram(ctx context.Context) (scram.Auth, error) {
	password, err := s.password(ctx)
	return scram.Auth{User: s.Username, Pass: password}, err
}

func (s *SASL) password(ctx context.Context) (string, error) {
	if s.PasswordFile == "" {
		return s.Password.Read(ctx)
	}
	return s.secretFile("password_file", s.PasswordFile)
}

// token returns the token for a new connection.
func (s *SASL) token(ctx context.Context) (oauth.Auth, error) {
	if s.TokenFile != "" {
		token, err := s.secretFile("token_file", s.TokenFile)
		return oauth.Auth{Token: token}, err
	}
	password, err := s.password(ctx)
	if err != nil {
		return oauth.Auth{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c := clientcredentials.Config{ClientID: s.Username, ClientSecret: password, TokenURL: s.TokenURL}
	if s.Scope != "" {
		c.Scopes = strings.Fields(s.Scope)
	}
	t, err := c.Token(ctx)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("cannot get a token for SASL %s from token_url %s as client %q: %w", MechanismOAuth,
			s.TokenURL, s.Username, err)
	}
	if s.found != nil {
		s.found(s.TokenURL, t.AccessToken)
	}
	return oauth.Auth{Token: t.AccessToken}, nil
}

// proof obtains once the token or credentials that a new connection would use, and
// returns an error if that fails.
func (s *SASL) proof(ctx context.Context) error {
	var err error
	switch s.Mechanism {
	case MechanismOAuth:
		_, err = s.token(ctx)
	case MechanismMSKIAM:
		_, err = (&awsChain{}).retrieve(ctx)
	}
	return err
}

// bearer is OAUTHBEARER that distinguishes a refused token from a broken answer: brokers
// explain a refusal in a challenge (RFC 7628, section 3.2.2).
type bearer struct{ sasl.Mechanism }

func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := b.Mechanism.Authenticate(ctx, host)
	return bearerSession{session}, first, err
}

type bearerSession struct{ sasl.Session }

func (b bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	if len(answer) > 0 {
		return false, nil, fmt.Errorf("%w: %.200q", kerr.SaslAuthenticationFailed, answer)
	}
	return b.Session.Challenge(answer)
}

// awsChain is the default credential chain of AWS's SDK: the environment, the shared
// files, web identity, and the roles of ECS, EKS and EC2. It caches credentials and
// renews them before they expire.
type awsChain struct {
	mu     sync.Mutex // guards chain
	chain  aws.CredentialsProvider
	loaded bool
}

func (c *awsChain) retrieve(ctx context.Context) (saslaws.Auth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.loaded {
		cfg, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return saslaws.Auth{}, fmt.Errorf("cannot read AWS's configuration for SASL %s: %w", MechanismMSKIAM, err)
		}
		c.chain, c.loaded = cfg.Credentials, true
	}
	v, err := c.chain.Retrieve(ctx)
	if err != nil {
		return saslaws.Auth{}, fmt.Errorf("cannot find AWS credentials for SASL %s (environment, shared files, web "+
			"identity, role): %w", MechanismMSKIAM, err)
	}
	return saslaws.Auth{AccessKey: v.AccessKeyID, SecretKey: v.SecretAccessKey, SessionToken: v.SessionToken,
		UserAgent: "keytrail"}, nil
}

// maxSecretFile bounds a file with a password, a token, a key or certificates: a system's
// whole CA bundle is about 250 KiB.
const maxSecretFile = 1 << 20

// secretFile reads a secret file and reports its contents to found.
func (s *SASL) secretFile(setting, path string) (string, error) {
	text, err := secretFile(setting, path)
	if err == nil && s.found != nil {
		s.found(path, text)
	}
	return text, err
}

// secretFile reads the secret in the file at path; setting names the file in errors.
func secretFile(setting, path string) (string, error) {
	b, err := readFile(setting, path)
	if err != nil {
		return "", err
	}
	if b = bytes.TrimRight(b, "\r\n"); len(b) == 0 {
		return "", fmt.Errorf("cannot use %s %q: it is empty", setting, path)
	}
	return string(b), nil
}

func readFile(setting, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", setting, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot use %s %q: %w", setting, path, err)
	}
	if len(b) > maxSecretFile {
		return nil, fmt.Errorf("cannot use %s %q: it is larger than 1 MiB", setting, path)
	}
	return b, nil
}
