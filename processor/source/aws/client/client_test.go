package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
)

func TestProblems(t *testing.T) {
	f := func(c client.Config, fields ...string) {
		t.Helper()
		var got []string
		for _, p := range c.Problems() {
			got = append(got, p.Field)
			if p.Allowed == "" || strings.Contains(p.Value, "hunter2") {
				t.Errorf("%+v shows a secret, or does not say what is allowed", p)
			}
		}
		if strings.Join(got, " ") != strings.Join(fields, " ") {
			t.Errorf("%+v: problems with %v, want %v", c, got, fields)
		}
	}
	f(client.Config{})
	for _, region := range []string{"eu-central-1", "us-gov-east-1", "cn-northwest-1", "us-iso-west-1", "ap-southeast-7"} {
		f(client.Config{Region: region})
	}
	f(client.Config{Region: "eu-central-1.evil.example"}, "region")
	f(client.Config{Region: "EU"}, "region")
	f(client.Config{Profile: "a]b"}, "profile")
	f(client.Config{Endpoint: "http://127.0.0.1:9000"})
	f(client.Config{Endpoint: "127.0.0.1:9000"}, "endpoint")
	f(client.Config{Endpoint: "http://user:hunter2@127.0.0.1"}, "endpoint")
	f(client.Config{RoleARN: "arn:aws-us-gov:iam::1:role/path/keytrail", ExternalID: "x"})
	f(client.Config{RoleARN: "arn:aws:iam::1:user/keytrail"}, "role_arn")
	f(client.Config{ExternalID: "hunter2"}, "external_id")
}

// environment sets only the variables that moto's clients need.
func environment(t *testing.T) {
	t.Helper()
	for name, value := range awstest.Environment {
		t.Setenv(name, value)
		if value == "" {
			os.Unsetenv(name)
		}
	}
}

func TestLoadWithoutRegion(t *testing.T) {
	environment(t)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, err := client.Load(t.Context(), client.Config{}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("without a region: %v", err)
	}
	t.Setenv("AWS_REGION", "us-east-1")
	if cfg, err := client.Load(t.Context(), client.Config{}); err != nil || cfg.Region != "us-east-1" {
		t.Errorf("with AWS_REGION: %q, %v", cfg.Region, err)
	}
}

func TestShort(t *testing.T) {
	err := fmt.Errorf("operation error S3: GetObject, https response error StatusCode: 403, RequestID: x: %w",
		&smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed"})
	short := client.Short(err)
	if short.Error() != "AccessDenied: not allowed" || !errors.Is(short, err) || client.Code(short) != "AccessDenied" {
		t.Errorf("shortened to %v, of code %q", short, client.Code(short))
	}
	if plain := errors.New("dial tcp: refused"); client.Short(plain) != plain || client.Code(plain) != "" || client.Short(nil) != nil {
		t.Error("an error of the network is not left as it is")
	}
}

// TestRole assumes a role, and STS returns its session.
func TestRole(t *testing.T) {
	endpoint := awstest.Start(t)
	environment(t)
	at := client.Config{Region: awstest.Region, Endpoint: endpoint}
	who := func(c client.Config) string {
		cfg, err := client.Load(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		arn, err := client.Caller(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return arn
	}
	if arn := who(at); !strings.Contains(arn, ":user/") {
		t.Errorf("without a role: %s", arn)
	}
	at.RoleARN = "arn:aws:iam::123456789012:role/reader"
	if arn := who(at); arn != "arn:aws:sts::123456789012:assumed-role/reader/keytrail" {
		t.Errorf("with a role: %s", arn)
	}
}

// An unreachable server is retried, and then named in the error.
func TestNobodyAnswers(t *testing.T) {
	environment(t)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), client.RequestTimeout)
	defer cancel()
	if _, err := sqs.NewFromConfig(cfg).ListQueues(ctx, nil); err == nil || !strings.Contains(client.Short(err).Error(), "127.0.0.1:1") {
		t.Errorf("nobody answers, and the error is %v", err)
	}
}

func TestForbidden(t *testing.T) {
	f := func(want bool, err error) {
		t.Helper()
		if client.Forbidden(err) != want || client.Forbidden(fmt.Errorf("cannot read: %w", client.Short(err))) != want {
			t.Errorf("%v is forbidden: %v, want %v", err, !want, want)
		}
	}
	status := func(code int, err error) error {
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: code}}, Err: err}
	}
	api := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "m"} }
	f(true, status(403, api("AccessDenied")))
	f(true, status(401, errors.New("no body")))
	f(true, status(400, api("KMS.DisabledException")))
	f(true, status(400, api("ExpiredToken")))
	f(true, api("AccessDeniedException"))
	f(false, status(404, api("NoSuchKey")))
	f(false, status(503, api("SlowDown")))
	f(false, status(400, api("ThrottlingException")))
	f(false, errors.New("i/o timeout"))
}
