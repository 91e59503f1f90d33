// Package client makes the AWS configuration of the other packages: credentials from the
// SDK's default chain (environment, shared files, web identity, container, instance), a
// role to assume, region, and an endpoint for AWS-compatible services. It holds no
// secret.
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

// Config selects how to call AWS. The zero value leaves everything to the environment.
type Config struct {
	Region  string // such as eu-central-1; "" means the environment's
	Profile string // of the shared configuration files; "" means the environment's
	// Endpoint is the URL of all services of an AWS-compatible provider; "" means AWS
	// itself, in the partition (aws, aws-cn, aws-us-gov) of the region.
	Endpoint string
	// RoleARN is a role to assume with the chain's credentials; "" for none. ExternalID
	// satisfies its trust policy.
	RoleARN, ExternalID string
}

// sessionName identifies the collector's calls in CloudTrail when it assumes a role.
const sessionName = "keytrail"

// Attempts is the maximum number of attempts per request: with the SDK's exponential
// backoff of up to 20 s, about half a minute. The caller retries after that.
const Attempts = 5

// RequestTimeout bounds one call with all its attempts, but neither the reading of an
// object's body nor long polling.
const RequestTimeout = 2 * time.Minute

var (
	regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)
	profile    = regexp.MustCompile(`^[^\s\[\]]+$`)
)

// ValidRegion reports whether name has the form of an AWS region.
func ValidRegion(name string) bool { return len(name) <= 40 && regionName.MatchString(name) }

// Problem is an unusable field, and its allowed values.
type Problem struct{ Field, Value, Allowed string }

// Problems returns the unusable fields of c.
func (c *Config) Problems() (list []Problem) {
	if c.Region != "" && !ValidRegion(c.Region) {
		list = append(list, Problem{"region", c.Region, "the name of a region such as eu-central-1"})
	}
	if c.Profile != "" && !profile.MatchString(c.Profile) {
		list = append(list, Problem{"profile", c.Profile, "the name of a profile, without spaces and brackets"})
	}
	u, err := url.Parse(c.Endpoint)
	if c.Endpoint != "" && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" ||
		u.User != nil || u.RawQuery != "") {
		shown := c.Endpoint
		if err == nil && u.User != nil {
			shown = u.Redacted()
		}
		list = append(list, Problem{"endpoint", shown, "a URL such as http://127.0.0.1:9000, without a user and a query"})
	}
	role, err := arn.Parse(c.RoleARN)
	if c.RoleARN != "" && (err != nil || role.Service != "iam" || !strings.HasPrefix(role.Resource, "role/")) {
		list = append(list, Problem{
			"role_arn", c.RoleARN, "the ARN of a role such as arn:aws:iam::111122223333:role/keytrail"})
	}
	if c.ExternalID != "" && c.RoleARN == "" {
		list = append(list, Problem{"external_id", "(set)", "nothing without role_arn"})
	}
	return list
}

// Load returns the SDK's configuration. It makes no call except to find the region of an
// instance, and fails without a region.
func Load(ctx context.Context, c Config) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), Attempts) }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 32 // as many as concurrent listings and readers
			t.ResponseHeaderTimeout = time.Minute
		})),
		config.WithAppID("keytrail"),
		config.WithLogger(logging.Nop{}), // its warnings would go to standard error, past Fluent Bit's log
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
		return cfg, errors.New("cannot call AWS: set a region here, in AWS_REGION or in the profile")
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

// Caller asks STS for the caller's ARN: a user, the root of an account, or the session of
// a role.
func Caller(ctx context.Context, cfg aws.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("cannot get the caller's identity from STS: %w", Short(err))
	}
	return aws.ToString(out.Arn), nil
}

// Short returns an error of the SDK as one clause that a person can act on: the service's
// code and message if present, without request ids and URLs.
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

// Forbidden reports whether a service refused a call until someone corrects a permission,
// a credential or a KMS key.
func Forbidden(err error) bool {
	var response interface{ HTTPStatusCode() int }
	if errors.As(err, &response) && (response.HTTPStatusCode() == http.StatusUnauthorized ||
		response.HTTPStatusCode() == http.StatusForbidden) {
		return true
	}
	code := Code(err)
	return refused[code] || strings.HasPrefix(code, "KMS.") // S3's, about the key of an encrypted object
}

// refused are such codes with the status 400.
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
