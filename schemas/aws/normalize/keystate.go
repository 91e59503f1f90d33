package normalize

import (
	"strings"

	"keytrail/schemas/kms"
)

// Unusable reports whether a call failed because its KMS key is disabled or waits for its
// deletion. KMS has one error for all states that forbid a call. Among them are a key store
// that is not connected, a proxy that does not answer and material that is not imported
// yet; the message tells them apart. Without a message the cause is not known.
// Sources: AWS KMS developer guide, "Key states of AWS KMS keys"; AWS KMS API reference,
// "KMSInvalidStateException" and "DisabledException".
func Unusable(code, message string) bool {
	switch code {
	case "DisabledException":
		return true
	case "KMSInvalidStateException":
		return says(message, "is disabled") || says(message, "pending deletion") ||
			says(message, "pending replica deletion") ||
			says(message, "pendingdeletion") || says(message, "pendingreplicadeletion")
	}
	return false
}

// says reports whether a message contains a phrase, in lower or upper case.
func says(message, phrase string) bool {
	for i := 0; i+len(phrase) <= len(message); i++ {
		if strings.EqualFold(message[i:i+len(phrase)], phrase) {
			return true
		}
	}
	return false
}

// AliasChange returns what an operation does to the alias that it names.
func AliasChange(operation string) kms.AliasChange {
	switch operation {
	case "CreateAlias", "UpdateAlias":
		return kms.AliasBound
	case "DeleteAlias":
		return kms.AliasEnded
	}
	return kms.AliasUsed
}

// Lesser reports whether an operation does less than its class says: it ends a grant
// instead of making one, or removes an alias or a key store instead of a KMS key.
func Lesser(operation string) bool {
	switch operation {
	case "RetireGrant", "RevokeGrant", "DeleteAlias", "DeleteCustomKeyStore", "DisconnectCustomKeyStore":
		return true
	}
	return false
}
