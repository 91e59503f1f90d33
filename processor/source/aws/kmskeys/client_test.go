package kmskeys_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"keytrail/processor/source/aws/awstest"
	"keytrail/processor/source/aws/client"
	"keytrail/processor/source/aws/kmskeys"
)

// TestDescribeInMoto describes keys that a real client made in moto, and one that does not
// exist. moto lacks GetKeyLastUsage; the command's tests have a stub for it.
func TestDescribeInMoto(t *testing.T) {
	url := awstest.Start(t)
	post := func(operation, body string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "TrentService."+operation)
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20261201/"+awstest.Region+"/kms/aws4_request, SignedHeaders=host, Signature=a")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out struct{ KeyMetadata struct{ Arn string } }
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(operation, res.Status, err)
		}
		return out.KeyMetadata.Arn
	}
	key := post("CreateKey", `{"KeySpec":"RSA_2048","KeyUsage":"SIGN_VERIFY"}`)
	cfg, err := client.Load(t.Context(), client.Config{Region: awstest.Region, Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	c := kmskeys.New(cfg)
	c.Wait = func(time.Duration) <-chan time.Time { return time.After(0) }
	d, err := c.Describe(t.Context(), key, awstest.Region)
	if err != nil || d.ARN != key || d.State != "Enabled" || d.Spec != "RSA_2048" || d.Usage != "SIGN_VERIFY" || d.CreationDate == nil {
		t.Errorf("%+v, %v", d, err)
	}
	post("ScheduleKeyDeletion", `{"KeyId":"`+key[strings.LastIndexByte(key, '/')+1:]+`","PendingWindowInDays":7}`)
	if d, err = c.Describe(t.Context(), key, awstest.Region); err != nil || d.State != "PendingDeletion" || d.DeletionDate == nil {
		t.Errorf("%+v, %v", d, err)
	}
	var refused *kmskeys.Error
	if _, err = c.Describe(t.Context(), key[:len(key)-36]+"00000000-0000-4000-8000-000000000000", awstest.Region); !errors.As(err, &refused) || refused.Code != "NotFoundException" {
		t.Errorf("a key that does not exist gives %v", err)
	}
}
