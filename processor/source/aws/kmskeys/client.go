// Package kmskeys asks AWS KMS what it knows of a KMS key: DescribeKey and GetKeyLastUsage.
// It speaks KMS's JSON protocol itself, because these two calls do not justify the SDK's
// package for KMS.
//
// Source: AWS KMS API reference, "DescribeKey", "GetKeyLastUsage" and "Making requests".
package kmskeys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"keytrail/processor/source/aws/client"
)

// Client asks KMS, in the Region of each key. It is not safe for concurrent use.
type Client struct {
	cfg    aws.Config
	signer *v4.Signer
	// Wait waits between two attempts. It is time.After in all but tests.
	Wait func(time.Duration) <-chan time.Time
}

// New returns a Client with the credentials and the endpoint of cfg.
func New(cfg aws.Config) *Client { return &Client{cfg, v4.NewSigner(), time.After} }

// Description is what DescribeKey tells of a key.
type Description struct {
	ARN          string   `json:"Arn"`
	State        string   `json:"KeyState"` // such as "Enabled"
	Spec         string   `json:"KeySpec"`
	Usage        string   `json:"KeyUsage"`
	Origin       string   `json:"Origin"`
	Manager      string   `json:"KeyManager"` // "AWS" or "CUSTOMER"
	MultiRegion  bool     `json:"MultiRegion"`
	CreationDate *seconds `json:"CreationDate"`
	DeletionDate *seconds `json:"DeletionDate"`
	ValidTo      *seconds `json:"ValidTo"`
}

// LastUsage is what GetKeyLastUsage tells. Used is empty if KMS knows no use.
type LastUsage struct {
	Used struct {
		Operation string   `json:"Operation"`
		Timestamp *seconds `json:"Timestamp"`
		EventID   string   `json:"CloudTrailEventId"`
		RequestID string   `json:"KmsRequestId"`
	} `json:"KeyLastUsage"`
	TrackingStart *seconds `json:"TrackingStartDate"`
	Created       *seconds `json:"KeyCreationDate"`
}

// seconds is a time that KMS writes as seconds since 1970, with a fraction.
type seconds struct{ time.Time }

// UnmarshalJSON reads a number of seconds.
func (s *seconds) UnmarshalJSON(text []byte) error {
	var v float64
	if err := json.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%s is not a time in seconds: %w", text, err)
	}
	s.Time = time.UnixMilli(int64(v * 1000)).UTC()
	return nil
}

// Error is a refusal by KMS.
type Error struct{ Operation, Key, Code, Message string }

func (e *Error) Error() string {
	return fmt.Sprintf("%s of %s failed: %s: %s", e.Operation, e.Key, e.Code, e.Message)
}

// Describe asks for the properties of a key, given its ARN and Region.
func (c *Client) Describe(ctx context.Context, key, region string) (d Description, err error) {
	var out struct{ KeyMetadata *Description }
	out.KeyMetadata = &d
	return d, c.ask(ctx, "DescribeKey", key, region, &out)
}

// LastUsage asks for the last use of a key, given its ARN and Region.
func (c *Client) LastUsage(ctx context.Context, key, region string) (u LastUsage, err error) {
	return u, c.ask(ctx, "GetKeyLastUsage", key, region, &u)
}

// maxAnswer bounds an answer. KMS's have some 2 kB.
const maxAnswer = 1 << 20

// ask sends one request, and again while KMS throttles it or fails.
func (c *Client) ask(ctx context.Context, operation, key, region string, to any) error {
	ctx, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]string{"KeyId": key})
	if err != nil {
		return fmt.Errorf("cannot ask for %q: %w", key, err)
	}
	for attempt := 1; ; attempt++ {
		status, answer, err := c.post(ctx, operation, region, body)
		switch {
		case err != nil:
		case status == http.StatusOK:
			if err := json.Unmarshal(answer, to); err != nil {
				return fmt.Errorf("cannot read the answer to %s of %s: %w", operation, key, err)
			}
			return nil
		default:
			refused := refusal(operation, key, status, answer)
			if err = refused; status < 500 && status != http.StatusTooManyRequests &&
				!strings.HasPrefix(refused.Code, "Throttling") && refused.Code != "LimitExceededException" {
				return err
			}
		}
		if attempt == client.Attempts {
			return fmt.Errorf("%w (%d attempts)", err, attempt)
		}
		select {
		case <-c.Wait(time.Second << attempt / 4):
		case <-ctx.Done():
			return fmt.Errorf("%s of %s: %w", operation, key, ctx.Err())
		}
	}
}

// refusal reads an error of KMS.
func refusal(operation, key string, status int, answer []byte) *Error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Upper   string `json:"Message"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Type == "" {
		e.Type, e.Message = fmt.Sprint("status ", status), "the answer has no error of KMS; is the endpoint KMS?"
	}
	if e.Message == "" {
		e.Message = e.Upper
	}
	return &Error{operation, key, e.Type[strings.LastIndexByte(e.Type, '#')+1:], e.Message}
}

// post sends a signed request.
func (c *Client) post(ctx context.Context, operation, region string, body []byte) (int, []byte, error) {
	endpoint := "https://kms." + region + domain(region)
	if c.cfg.BaseEndpoint != nil {
		endpoint = *c.cfg.BaseEndpoint
	}
	endpoint = strings.TrimSuffix(endpoint, "/") + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("cannot ask KMS at %q: %w", endpoint, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService."+operation)
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot get credentials for AWS: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "kms", region, time.Now()); err != nil {
		return 0, nil, fmt.Errorf("cannot sign %s: %w", operation, err)
	}
	res, err := c.cfg.HTTPClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot ask KMS: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("cannot read KMS's answer: %w", err)
	}
	return res.StatusCode, answer, nil
}

// domain returns the domain of a Region's partition.
func domain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return ".amazonaws.com.cn"
	}
	return ".amazonaws.com"
}
