// Package client makes the configuration with which the other packages call
// AWS: credentials by the SDK's default chain (environment, shared files, web
// identity, container, instance), a role to assume, region, and an endpoint for
// AWS-compatible services. It holds no secret.
//
// Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers"
// and "Retry behavior".
package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// Config says how AWS is called. The zero value leaves everything to the
// environment.
type Config struct {
	Region  string // such as eu-central-1; "" takes that of the environment
	Profile string // of the shared configuration files; "" takes the environment's
	// Endpoint is the URL of all services, for what is compatible with AWS; "" is
	// AWS itself, in the partition (aws, aws-cn, aws-us-gov) of the region.
	Endpoint string
	// RoleARN is a role to assume with the credentials of the chain; "" for none.
	// ExternalID is what its trust policy may ask for.
	RoleARN, ExternalID string
}

// sessionName is how the collector's calls appear in CloudTrail when it assumes
// a role.
const sessionName = "keytrail"

// Attempts is how often one request is sent at most: with the SDK's
// exponential pauses of at most 20 s that is about half a minute. The caller
// retries after that.
const Attempts = 5

// RequestTimeout bounds one call with all its attempts, except for the reading of
// an object's body and a call that waits on purpose.
const RequestTimeout = 2 * time.Minute

var (
	regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	profile    = regexp.MustCompile(`^[^\s\[\]]+$`)
)

// ValidRegion reports whether a region of AWS can have this name.
func ValidRegion(name string) bool { return len(name) <= 40 && regionName.MatchString(name) }

// Problem is a field that cannot be used and what is allowed there.
type Problem struct{ Field, Value, Allowed string }

// Problems returns what of c cannot be used.
func (c *Config) Problems() (list []Problem) {
	if c.Region != "" && !ValidRegion(c.Region) {
		list = append(list, Problem{"region", c.Region, "the name of a region such as eu-central-1"})
	}
	if c.Profile != "" && !profile.MatchString(c.Profile) {
		list = append(list, Problem{"profile", c.Profile, "the name of a profile, without spaces and brackets"})
	}
	u, err := url.Parse(c.Endpoint)
	if c.Endpoint != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "") {
		shown := c.Endpoint
		if err == nil && u.User != nil {
			shown = u.Redacted()
		}
		list = append(list, Problem{"endpoint", shown, "a URL such as http://127.0.0.1:9000, without a user and a query"})
	}
	role, err := arn.Parse(c.RoleARN)
	if c.RoleARN != "" && (err != nil || role.Service != "iam" || !strings.HasPrefix(role.Resource, "role/")) {
		list = append(list, Problem{"role_arn", c.RoleARN, "the ARN of a role such as arn:aws:iam::111122223333:role/keytrail"})
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		list = append(list, Problem{"external_id", "(set)", "nothing where role_arn is not set"})
	}
	return list
}

// Load returns the SDK's configuration. It makes no call but to find the region
// of an instance, and fails when there is no region.
func Load(ctx context.Context, c Config) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), Attempts) }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 32 // as many as listings and readers run side by side
			t.ResponseHeaderTimeout = time.Minute
		})),
		config.WithAppID("keytrail"),
		config.WithLogger(logging.Nop{}), // its warnings go to standard error, past Fluent Bit's log
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	if c.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, fmt.Errorf("cannot load the configuration of AWS: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("cannot call AWS: no region is set here, in AWS_REGION or in the profile")
	}
	if c.Endpoint != "" {
		cfg.BaseEndpoint = aws.String(c.Endpoint)
	}
	if c.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), c.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = sessionName
			if c.ExternalID != "" {
				o.ExternalID = aws.String(c.ExternalID)
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(role)
	}
	return cfg, nil
}

// Caller asks STS who the caller is: the ARN of a user, of the root of an account, or
// of the session of a role.
func Caller(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("cannot ask STS who this is: %w", Short(err))
	}
	return aws.ToString(out.Arn), nil
}

// Short returns an error of the SDK as one clause that a person can act on: the
// service's code and message where there is one, without request ids and URLs.
func Short(err error) error {
	var api smithy.APIError
	if err == nil || !errors.As(err, &api) {
		return err
	}
	message := api.ErrorMessage()
	if message == "" {
		message = "no message"
	}
	return &shortError{fmt.Sprintf("%s: %s", api.ErrorCode(), message), err}
}

type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }

// Forbidden reports whether a service refused a call: a permission, a credential or a KMS
// key has to be mended before the same call succeeds.
func Forbidden(err error) bool {
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) && (response.HTTPStatusCode() == http.StatusUnauthorized || response.HTTPStatusCode() == http.StatusForbidden) {
		return true
	}
	code := Code(err)
	return refused[code] || strings.HasPrefix(code, "KMS.") // S3's, about the key of an encrypted object
}

// refused are codes that services send with the status 400.
var refused = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "UnrecognizedClientException": true, "InvalidClientTokenId": true,
	"ExpiredToken": true, "ExpiredTokenException": true, "InvalidToken": true, "MissingAuthenticationToken": true,
	"OptInRequired": true, "InvalidSignatureException": true, "SignatureDoesNotMatch": true, "AuthFailure": true,
}

// Code returns the code of the service's error in err, such as NoSuchKey, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
