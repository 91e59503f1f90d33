// Package digest checks a trail against CloudTrail's digest files. Every hour CloudTrail
// writes one for each region: the names and hashes of the log files that it delivered,
// signed, and chained to the digest before. A mismatch becomes a Finding.
//
// The signed text is four lines, without an end of line behind the last:
//
//	the digest's digestEndTime, as it is written there
//	its bucket, a slash, and its key
//	the SHA-256 of the digest file, inflated, in hexadecimal
//	previousDigestSignature, or null for the first digest of a chain
//
// The signature is RSASSA-PKCS1-v1_5 with SHA-256, in hexadecimal in the metadata
// "signature" of the S3 object. Keys are PKCS #1 public keys in DER, which
// ListPublicKeys gives by their fingerprint for 90 days and longer. The hash of a log
// file is that of its inflated bytes.
//
// Source: CloudTrail User Guide, "CloudTrail digest file structure" and "Custom
// implementations of CloudTrail log file integrity validation"; checked against the
// validate-logs command of AWS's own command line.
package digest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"keytrail/schemas/aws/normalize"
)

// Digest is what one digest file says.
type Digest struct {
	Account     string
	Start, End  time.Time // of what it covers
	Bucket, Key string    // its own
	Fingerprint string    // of the key that signed it
	Previous    *Previous // nil in the first of a chain
	Files       []File

	endText string // as it is written
	sum     string // of its bytes
}

// Previous is what a digest says of the one before.
type Previous struct{ Bucket, Key, Hash, Signature string }

// File is a log file with the hash of its inflated bytes.
type File struct{ Bucket, Key, Hash string }

// MaxBytes bounds one digest file, inflated: 64 MiB, some 100,000 log files in one
// hour.
const MaxBytes = 64 << 20

// The algorithms of CloudTrail's digests.
const signatureAlgorithm, hashAlgorithm = "SHA256withRSA", "SHA-256"

// Parse reads the inflated bytes of a digest file.
func Parse(content []byte) (*Digest, error) {
	var in struct {
		Account     string  `json:"awsAccountId"`
		Start       string  `json:"digestStartTime"`
		End         string  `json:"digestEndTime"`
		Bucket      string  `json:"digestS3Bucket"`
		Key         string  `json:"digestS3Object"`
		Fingerprint string  `json:"digestPublicKeyFingerprint"`
		Algorithm   string  `json:"digestSignatureAlgorithm"`
		PrevBucket  *string `json:"previousDigestS3Bucket"`
		PrevKey     *string `json:"previousDigestS3Object"`
		PrevHash    *string `json:"previousDigestHashValue"`
		PrevAlg     *string `json:"previousDigestHashAlgorithm"`
		PrevSig     *string `json:"previousDigestSignature"`
		Files       []struct {
			Bucket    string `json:"s3Bucket"`
			Key       string `json:"s3Object"`
			Hash      string `json:"hashValue"`
			Algorithm string `json:"hashAlgorithm"`
		} `json:"logFiles"`
	}
	if err := json.Unmarshal(content, &in); err != nil {
		return nil, fmt.Errorf("it is not a digest: %w", err)
	}
	d := &Digest{Account: in.Account, Bucket: in.Bucket, Key: in.Key, Fingerprint: in.Fingerprint, endText: in.End, sum: Sum(content)}
	var err error
	if d.Start, err = time.Parse(time.RFC3339, in.Start); err == nil {
		d.End, err = time.Parse(time.RFC3339, in.End)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is not a digest: %w", err)
	case in.Bucket == "" || in.Key == "" || in.Fingerprint == "":
		return nil, errors.New("it is not a digest: its bucket, its key or the fingerprint is missing")
	case in.Algorithm != signatureAlgorithm:
		return nil, fmt.Errorf("it is signed by %q, and only %s is known", in.Algorithm, signatureAlgorithm)
	}
	if in.PrevSig != nil {
		if in.PrevBucket == nil || in.PrevKey == nil || in.PrevHash == nil || in.PrevAlg != nil && *in.PrevAlg != hashAlgorithm {
			return nil, errors.New("what it says of the digest before is not whole")
		}
		d.Previous = &Previous{Bucket: *in.PrevBucket, Key: *in.PrevKey, Hash: *in.PrevHash, Signature: *in.PrevSig}
	}
	for _, f := range in.Files {
		if f.Algorithm != "" && f.Algorithm != hashAlgorithm {
			return nil, fmt.Errorf("the hash of %q is by %q, and only %s is known", f.Key, f.Algorithm, hashAlgorithm)
		}
		d.Files = append(d.Files, File{Bucket: f.Bucket, Key: f.Key, Hash: f.Hash})
	}
	return d, nil
}

// Sum returns the SHA-256 of b in hexadecimal.
func Sum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// ToSign returns what the signature of d is over.
func (d *Digest) ToSign() []byte {
	before := "null"
	if d.Previous != nil {
		before = d.Previous.Signature
	}
	return []byte(d.endText + "\n" + d.Bucket + "/" + d.Key + "\n" + d.sum + "\n" + before)
}

// Verify checks the signature, in hexadecimal, by a public key in PKCS #1 DER.
func (d *Digest) Verify(signature string, key []byte) error {
	bytes, err := hex.DecodeString(signature)
	if err != nil || len(bytes) == 0 {
		return errors.New("its signature is not hexadecimal")
	}
	public, err := x509.ParsePKCS1PublicKey(key)
	if err != nil {
		return fmt.Errorf("the public key %s cannot be used: %w", d.Fingerprint, err)
	}
	sum := sha256.Sum256(d.ToSign())
	if rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], bytes) != nil {
		return errors.New("its signature is not that of its content and place")
	}
	return nil
}

// Names reports whether d names a log file.
func (d *Digest) Names(bucket, key string) bool {
	return slices.ContainsFunc(d.Files, func(f File) bool { return f.Bucket == bucket && f.Key == key })
}

// Kind is the bounded set of findings.
type Kind string

// The kinds. As the name of an event they stand under eventName.
const (
	DigestInvalid  Kind = "DigestInvalid"  // a digest whose signature is missing or wrong
	DigestMissing  Kind = "DigestMissing"  // a digest that the next one continues is gone
	DigestChanged  Kind = "DigestChanged"  // a digest is not the one that the next one continues
	LogFileMissing Kind = "LogFileMissing" // a log file that a digest names is gone
	LogFileChanged Kind = "LogFileChanged" // a log file does not have the hash that a digest names
	LogFileExtra   Kind = "LogFileExtra"   // a log file lies there that no digest names
)

// EventSource is the eventSource of a Finding's event: it is ours, and none of AWS's.
const EventSource = normalize.ServiceDigest

// Finding is something of a trail that is not as its digests say.
type Finding struct {
	Kind    Kind
	Account string
	Region  string
	At      time.Time // the end of what the digest covers
	Digest  string    // the digest's s3:// name
	Object  string    // the s3:// name of what is missing, changed or too much
	Detail  string    // for a person
}

// AppendEvent appends the finding as an event in the form of CloudTrail's, on one
// line. Its id is the same whenever the same is found.
func (f *Finding) AppendEvent(dst []byte) []byte {
	id := Sum([]byte(string(f.Kind) + "\n" + f.Object + "\n" + f.Digest))
	event := struct {
		Version   string            `json:"eventVersion"`
		Identity  map[string]string `json:"userIdentity"`
		Time      string            `json:"eventTime"`
		Source    string            `json:"eventSource"`
		Name      string            `json:"eventName"`
		Region    string            `json:"awsRegion"`
		Params    map[string]string `json:"requestParameters"`
		ID        string            `json:"eventID"`
		Type      string            `json:"eventType"`
		Recipient string            `json:"recipientAccountId"`
	}{
		"1.11", map[string]string{"type": "AWSService", "invokedBy": EventSource}, f.At.UTC().Format(time.RFC3339), EventSource, string(f.Kind), f.Region,
		map[string]string{"digest": f.Digest, "object": f.Object, "detail": f.Detail},
		id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:32], "KeytrailFinding", f.Account,
	}
	b, err := json.Marshal(event)
	if err != nil { // strings always encode
		panic("BUG: cannot encode a finding: " + err.Error())
	}
	return append(dst, b...)
}
