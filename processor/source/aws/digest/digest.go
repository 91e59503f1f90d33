// Package digest checks a trail against CloudTrail's digest files. Every hour CloudTrail
// writes one per region: signed, chained to the previous digest, with the names and
// hashes of the delivered log files. A mismatch becomes a Finding.
//
// The signed text is four lines, without a final newline:
//
//	the digest's digestEndTime, verbatim
//	its bucket, a slash, and its key
//	the SHA-256 of the digest file, inflated, in hexadecimal
//	previousDigestSignature, or null for the first digest of a chain
//
// The signature is RSASSA-PKCS1-v1_5 with SHA-256, in hexadecimal in the metadata
// "signature" of the S3 object. Keys are PKCS #1 public keys in DER; ListPublicKeys
// returns them with their fingerprints for at least 90 days. The hash of a log file is
// that of its inflated bytes.
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

// Digest is the contents of one digest file.
type Digest struct {
	Account     string
	Start, End  time.Time // the covered time
	Bucket, Key string    // its own
	Fingerprint string    // of the key that signed it
	Previous    *Previous // nil for the first digest of a chain
	Files       []File

	endText string // verbatim
	sum     string // of its bytes
}

// Previous is a digest's reference to the previous one.
type Previous struct{ Bucket, Key, Hash, Signature string }

// File is a log file with the hash of its inflated bytes.
type File struct{ Bucket, Key, Hash string }

// MaxBytes bounds one digest file, inflated: 64 MiB, about 100,000 log files in one hour.
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
	d := &Digest{Account: in.Account, Bucket: in.Bucket, Key: in.Key, Fingerprint: in.Fingerprint,
		endText: in.End, sum: Sum(content)}
	var err error
	if d.Start, err = time.Parse(time.RFC3339, in.Start); err == nil {
		d.End, err = time.Parse(time.RFC3339, in.End)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is not a digest: %w", err)
	case in.Bucket == "" || in.Key == "" || in.Fingerprint == "":
		return nil, errors.New("it is not a digest: it lacks a bucket, a key or a fingerprint")
	case in.Algorithm != signatureAlgorithm:
		return nil, fmt.Errorf("its signature algorithm is %q; only %s is supported", in.Algorithm, signatureAlgorithm)
	}
	if in.PrevSig != nil {
		if in.PrevBucket == nil || in.PrevKey == nil || in.PrevHash == nil || in.PrevAlg != nil &&
			*in.PrevAlg != hashAlgorithm {
			return nil, errors.New("its reference to the previous digest is incomplete")
		}
		d.Previous = &Previous{Bucket: *in.PrevBucket, Key: *in.PrevKey, Hash: *in.PrevHash, Signature: *in.PrevSig}
	}
	for _, f := range in.Files {
		if f.Algorithm != "" && f.Algorithm != hashAlgorithm {
			return nil, fmt.Errorf("the hash algorithm of %q is %q; only %s is supported", f.Key, f.Algorithm, hashAlgorithm)
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

// ToSign returns the signed text of d.
func (d *Digest) ToSign() []byte {
	before := "null"
	if d.Previous != nil {
		before = d.Previous.Signature
	}
	return []byte(d.endText + "\n" + d.Bucket + "/" + d.Key + "\n" + d.sum + "\n" + before)
}

// Verify checks the hexadecimal signature with a public key in PKCS #1 DER.
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
		return errors.New("its signature does not match its content and place")
	}
	return nil
}

// Names reports whether d names a log file.
func (d *Digest) Names(bucket, key string) bool {
	return slices.ContainsFunc(d.Files, func(f File) bool { return f.Bucket == bucket && f.Key == key })
}

// Kind is a kind of finding, from a bounded set.
type Kind string

// The kinds, which are also the eventName of a finding's event.
const (
	DigestInvalid  Kind = "DigestInvalid"  // a digest whose signature is missing or wrong
	DigestMissing  Kind = "DigestMissing"  // a digest that the next one continues is missing
	DigestChanged  Kind = "DigestChanged"  // a digest is not the one that the next one continues
	LogFileMissing Kind = "LogFileMissing" // a log file that a digest names is missing
	LogFileChanged Kind = "LogFileChanged" // a log file does not have the hash that a digest names
	LogFileExtra   Kind = "LogFileExtra"   // a log file exists that no digest names
)

// EventSource is the eventSource of a Finding's event: Keytrail's, not AWS's.
const EventSource = normalize.ServiceDigest

// Finding is a difference between a trail and its digests.
type Finding struct {
	Kind    Kind
	Account string
	Region  string
	At      time.Time // the end of the digest's time
	Digest  string    // the digest's s3:// name
	Object  string    // the s3:// name of the missing, changed or extra object
	Detail  string    // for a person
}

// AppendEvent appends the finding as a CloudTrail-like event on one line. Equal findings
// have equal ids.
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
