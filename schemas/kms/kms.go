// Package kms is the vocabulary that the key services of all clouds share: what a call
// does with a KMS key, how it went, what the encryption context names, which copy of the
// call a record is, and who makes calls. Windows, frames and state hold its numbers, so a
// number never changes its meaning; new ones stand behind the others.
//
// It is pure data and imports nothing. The packages of a cloud know the meaning of the
// names of that cloud.
package kms

// NoEntity stands for a KMS key or a principal that a call does not have.
const NoEntity = "-"

// Direct is the value of keytrail.via for a call that no service of the cloud made on
// the principal's behalf.
const Direct = "direct"

// Class groups operations by what they do to or with a KMS key; every window counts
// calls by class.
type Class uint8

// The classes, in the order of the registry's enumeration.
const (
	ClassEncrypt Class = iota
	ClassDecrypt
	ClassGenerate
	ClassReencrypt
	ClassSign
	ClassVerify
	ClassMAC
	ClassRandom
	ClassDerive
	ClassRead
	ClassManage
	ClassGrant
	ClassDestroy
	ClassPolicy
	ClassRotate
	ClassReplicate
	ClassTrail
	NumClasses
)

var classNames = [NumClasses]string{
	"encrypt", "decrypt", "generate", "reencrypt", "sign", "verify", "mac", "random", "derive", "read",
	"manage", "grant", "destroy", "policy", "rotate", "replicate", "trail",
}

// String returns the value of keytrail.operation.class.
func (c Class) String() string {
	if c < NumClasses {
		return classNames[c]
	}
	return "manage"
}

// ParseClass is the inverse of Class.String; unknown text is ClassManage.
func ParseClass(s string) Class {
	for c, name := range classNames {
		if name == s {
			return Class(c)
		}
	}
	return ClassManage
}

// Outcome is how a call went.
type Outcome uint8

// The outcomes.
const (
	OutcomeOK     Outcome = iota
	OutcomeDenied         // refused for want of permission
	OutcomeFailed         // any other error
)

// String returns the value of keytrail.outcome.
func (o Outcome) String() string { return [...]string{"ok", "denied", "failed"}[o] }

// ParseOutcome is the inverse of Outcome.String; unknown text is OutcomeOK.
func ParseOutcome(s string) Outcome {
	switch s {
	case "denied":
		return OutcomeDenied
	case "failed":
		return OutcomeFailed
	}
	return OutcomeOK
}

// Copy is the kind of a call's record. A call on another account's KMS key is recorded
// twice, and an addendum records it again; counting takes the copy with the highest rank,
// whichever comes first.
type Copy uint8

// The copies by rank, lowest first.
const (
	CopyAddendum Copy = iota // a later correction of a record
	CopyOwner                // the record in the key owner's trail
	CopyCaller               // the record in the caller's trail, or the only one
)

// String returns the value of keytrail.call.copy.
func (c Copy) String() string { return [...]string{"addendum", "owner", "caller"}[c] }

// ParseCopy is the inverse of Copy.String; unknown text is CopyCaller.
func ParseCopy(s string) Copy {
	switch s {
	case "addendum":
		return CopyAddendum
	case "owner":
		return CopyOwner
	}
	return CopyCaller
}
