// Package awssink holds what the sinks into services of AWS share: their settings, the
// meaning of errors by code, and the messages of SNS and SQS with their batches.
//
// The invariant is that of package httpsink: only an answer about a record sends it to the
// dead letter. An answer about the sender, the receiver or the request pauses the sink or
// repeats the request. Codes decide, because many statuses of AWS mean several things. A
// code that Verdict does not know pauses the sink.
//
// No setting holds a secret: credentials come from the SDK's default chain. The Chain
// retries; the SDK does not.
package awssink

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"keytrail/processor/setting"
	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/source/aws/client"
)

// Settings are those that all sinks into AWS share. A sink's Config embeds them with the tag
// `yaml:",inline"`.
type Settings struct {
	// Region is such as eu-central-1; "" means the environment's.
	Region string `yaml:"region"`
	// Profile is one of the shared configuration files; "" means the environment's.
	Profile string `yaml:"profile"`
	// Endpoint is the URL of an AWS-compatible service, or of a VPC endpoint; "" means AWS.
	Endpoint string `yaml:"endpoint"`
	// RoleARN is a role to assume, and ExternalID satisfies its trust policy; "" for none.
	RoleARN    string `yaml:"role_arn"`
	ExternalID string `yaml:"external_id"`
	// Timeout bounds one request, from dialing to the last byte of the answer.
	Timeout time.Duration `yaml:"timeout"`
	TLS     sink.TLS      `yaml:"tls"`
	// Insecure allows an http URL that leads beyond this machine.
	Insecure bool `yaml:"insecure"`
}

// DefaultSettings returns Settings that work if the environment names a Region.
func DefaultSettings(timeout time.Duration) Settings { return Settings{Timeout: timeout} }

// Output returns "": a sink into AWS writes no local file.
func (*Settings) Output() string { return "" }

func (s *Settings) config() client.Config {
	return client.Config{Region: s.Region, Profile: s.Profile, Endpoint: s.Endpoint, RoleARN: s.RoleARN,
		ExternalID: s.ExternalID}
}

// Check adds the settings that cannot be used to p.
func (s *Settings) Check(p *setting.Problems) {
	c := s.config()
	for _, one := range c.Problems() {
		p.Add(one.Field, "%q is not allowed; allowed: %s", one.Value, one.Allowed)
	}
	setting.Between(p, "timeout", s.Timeout, time.Millisecond, 10*time.Minute)
	u, err := url.Parse(s.Endpoint)
	p.Nest("tls", s.TLS.Validate(err != nil || u.Scheme != "http"))
	switch {
	case err == nil && u.Scheme == "http":
		sink.CheckPlain(p, "endpoint", u.Hostname(), s.Insecure)
	case s.Insecure:
		p.Add("insecure", "true applies only to an http endpoint; leave it out")
	}
}

// loading bounds Load: an instance answers where it runs within a second.
const loading = 10 * time.Second

// Load returns the SDK's configuration. It asks nobody, except an instance for its Region if
// no setting names one.
func (s *Settings) Load() (aws.Config, error) {
	secured, err := s.TLS.Config()
	if err != nil {
		return aws.Config{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), loading)
	defer cancel()
	cfg, err := client.Load(ctx, s.config())
	if err != nil {
		return cfg, err
	}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	cfg.Credentials = chain{cfg.Credentials}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		transport := b.GetTransport()
		if s.TLS != (sink.TLS{}) { // else the SDK's settings hold, AWS_CA_BUNDLE among them
			transport.TLSClientConfig = secured
		}
		transport.MaxIdleConnsPerHost = sink.MaxInFlight
		cfg.HTTPClient = &http.Client{
			Transport: bounded{transport}, Timeout: s.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return cfg, nil
}

// bounded bounds the answers that the SDK reads.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		a.Body = &answer{ReadCloser: a.Body, left: httpsink.MaxAnswer}
	}
	return a, err
}

// answer is the body of an answer.
type answer struct {
	io.ReadCloser
	left int
}

// Read marks errors, so that a broken answer differs from one that cannot be understood.
func (a *answer) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, &brokenAnswer{fmt.Errorf("it has more than %d bytes", httpsink.MaxAnswer)}
	}
	n, err := a.ReadCloser.Read(p[:min(len(p), a.left)])
	if a.left -= n; err != nil && err != io.EOF {
		err = &brokenAnswer{err}
	}
	return n, err
}

// brokenAnswer means that an answer was not read to its end.
type brokenAnswer struct{ err error }

func (e *brokenAnswer) Error() string { return fmt.Sprintf("the answer broke off: %v", e.err) }
func (e *brokenAnswer) Unwrap() error { return e.err }

// chain marks the errors of a chain of credentials.
type chain struct{ aws.CredentialsProvider }

func (c chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return found, &noCredentials{err}
	}
	return found, nil
}

// noCredentials is an error of the chain: no request was sent.
type noCredentials struct{ err error }

func (e *noCredentials) Error() string { return fmt.Sprintf("cannot find credentials: %v", e.err) }
func (e *noCredentials) Unwrap() error { return e.err }
