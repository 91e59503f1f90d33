package kms

// Change is what an operation does to the life cycle of a KMS key, of its names, its
// grants, or of the key store that holds it. Uses and reads change nothing.
type Change uint8

// The changes.
const (
	ChangeNone Change = iota
	KeyCreated
	KeyReplicated // a replica was made of the key
	KeyEnabled
	KeyDisabled
	DeletionScheduled
	DeletionCancelled
	KeyDeleted
	MaterialImported
	MaterialDeleted
	MaterialExpired
	RotationEnabled
	RotationDisabled
	RotationRequested // on demand
	KeyRotated
	PrimaryMoved
	KeySynchronized
	PolicyChanged
	KeyEdited // its description or its tags
	AliasPointed
	AliasRemoved
	GrantCreated
	GrantRetired
	GrantRevoked
	StoreCreated
	StoreUpdated
	StoreConnected
	StoreDisconnected
	StoreDeleted
	NumChanges
)

var changeNames = [NumChanges]string{
	"none", "created", "replicated", "enabled", "disabled", "deletion_scheduled", "deletion_cancelled", "deleted",
	"material_imported", "material_deleted", "material_expired", "rotation_enabled", "rotation_disabled",
	"rotation_requested", "rotated", "primary_moved", "synchronized", "policy_changed", "edited", "alias_pointed",
	"alias_removed", "grant_created", "grant_retired", "grant_revoked", "store_created", "store_updated",
	"store_connected", "store_disconnected", "store_deleted",
}

// String returns the name of the change, as the ledger of a key shows it.
func (c Change) String() string {
	if c < NumChanges {
		return changeNames[c]
	}
	return "none"
}

// ParseChange is the inverse of Change.String; unknown text is ChangeNone.
func ParseChange(s string) Change {
	for c, name := range changeNames {
		if name == s {
			return Change(c)
		}
	}
	return ChangeNone
}
