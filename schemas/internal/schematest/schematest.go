// Package schematest holds what the tests of several schema packages share:
// sample events, and the way to the collected events of others. It imports
// nothing of Keytrail's, so that every package's own tests can import it.
package schematest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Decrypt returns a Decrypt event as CloudTrail writes it, on one line. Events
// with different numbers have different ids, times, principals and contexts.
func Decrypt(i int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11",`+
		`"userIdentity":{"type":"AssumedRole","principalId":"AROAQRSTUVWXYZ0123456:i-%08x",`+
		`"arn":"arn:aws:sts::111122223333:assumed-role/payments-%02d/i-%08x","accountId":"111122223333","accessKeyId":"ASIAQRSTUVWXYZ012345",`+
		`"sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAQRSTUVWXYZ0123456","arn":"arn:aws:iam::111122223333:role/payments-%02d",`+
		`"accountId":"111122223333","userName":"payments-%02d"},"attributes":{"creationDate":"2026-03-02T08:00:00Z","mfaAuthenticated":"false"}}},`+
		`"eventTime":"2026-03-02T09:%02d:%02dZ","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"eu-central-1",`+
		`"sourceIPAddress":"192.0.2.%d","userAgent":"aws-sdk-go-v2/1.41.0 lang/go#1.26","requestParameters":{"encryptionContext":`+
		`{"aws:s3:arn":"arn:aws:s3:::payments-archive/%06d.parquet"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"},"responseElements":null,`+
		`"additionalEventData":{"keyMaterialId":"249ff1560efc7b313c30919fb4f95b43831f4dddb51134f69816742654cf2919"},`+
		`"requestID":"%08x-0000-4000-8000-000000000001","eventID":"%08x-0000-4000-8000-000000000002","readOnly":true,`+
		`"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/%08x-12ab-34cd-56ef-1234567890ab"}],`+
		`"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management",`+
		`"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_256_GCM_SHA384","clientProvidedHostHeader":"kms.eu-central-1.amazonaws.com"}}`,
		i, i%40, i, i%40, i%40, i/60%60, i%60, i%250+1, i, i, i, i%16)
}

// DataDir returns the folder with the events that others published: the one
// that KEYTRAIL_DATA names, else shared/data beside the repository. Without it
// the test is skipped.
func DataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("KEYTRAIL_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("cannot find go.mod above the test's folder")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "invictus-ir")); err != nil {
		t.Skipf("NOTHING IS TESTED HERE: there are no collected events (%v); "+
			"KEYTRAIL_DATA must name the folder that holds invictus-ir/", err)
	}
	return dir
}

// File returns a file of the data folder.
func File(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(DataDir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Lines returns the lines of a file of the data folder that are not empty.
func Lines(t testing.TB, name string) [][]byte {
	t.Helper()
	var lines [][]byte
	for line := range bytes.Lines(File(t, name)) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	return lines
}

// Files maps each file of a data folder's archive to its bytes.
type Files map[string][]byte

var (
	trailOnce sync.Once
	trail     Files
	trailErr  error
)

// Trail returns the files of the invictus trail as CloudTrail delivered them.
func Trail(t testing.TB) Files {
	t.Helper()
	packed := File(t, "invictus-ir/raw_all_cloudtrail.tar.gz")
	trailOnce.Do(func() { trail, trailErr = untar(packed) })
	if trailErr != nil {
		t.Fatal(trailErr)
	}
	return trail
}

func untar(packed []byte) (Files, error) {
	inflated, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	files := Files{}
	for archive := tar.NewReader(inflated); ; {
		head, err := archive.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if head.Typeflag != tar.TypeReg {
			continue
		}
		if files[head.Name], err = io.ReadAll(archive); err != nil {
			return nil, err
		}
	}
}
