package normalize

import "keytrail/schemas/kms"

// changes holds the operations that change the life cycle of a KMS key. The names with
// spaces are those of EventBridge.
// Sources: AWS KMS developer guide, "Logging AWS KMS API calls with AWS CloudTrail" and
// "Monitor KMS keys with Amazon EventBridge".
var changes = map[string]kms.Change{
	"CreateKey": kms.KeyCreated, "ReplicateKey": kms.KeyReplicated,
	"EnableKey": kms.KeyEnabled, "DisableKey": kms.KeyDisabled,
	"ScheduleKeyDeletion": kms.DeletionScheduled, "CancelKeyDeletion": kms.DeletionCancelled,
	"DeleteKey": kms.KeyDeleted, "KMS CMK Deletion": kms.KeyDeleted,
	"ImportKeyMaterial": kms.MaterialImported, "DeleteImportedKeyMaterial": kms.MaterialDeleted,
	"DeleteExpiredKeyMaterial": kms.MaterialExpired, "KMS Imported Key Material Expiration": kms.MaterialExpired,
	"EnableKeyRotation": kms.RotationEnabled, "DisableKeyRotation": kms.RotationDisabled,
	"RotateKeyOnDemand": kms.RotationRequested, "RotateKey": kms.KeyRotated, "KMS CMK Rotation": kms.KeyRotated,
	"UpdatePrimaryRegion": kms.PrimaryMoved, "SynchronizeMultiRegionKey": kms.KeySynchronized,
	"PutKeyPolicy": kms.PolicyChanged, "UpdateKeyDescription": kms.KeyEdited,
	"TagResource": kms.KeyEdited, "UntagResource": kms.KeyEdited,
	"CreateAlias": kms.AliasPointed, "UpdateAlias": kms.AliasPointed, "DeleteAlias": kms.AliasRemoved,
	"CreateGrant": kms.GrantCreated, "RetireGrant": kms.GrantRetired, "RevokeGrant": kms.GrantRevoked,
	"CreateCustomKeyStore": kms.StoreCreated, "UpdateCustomKeyStore": kms.StoreUpdated,
	"ConnectCustomKeyStore": kms.StoreConnected, "DisconnectCustomKeyStore": kms.StoreDisconnected,
	"DeleteCustomKeyStore": kms.StoreDeleted,
}

// ChangeOf returns what an operation changes in the life cycle of a KMS key when it
// succeeds.
func ChangeOf(operation string) kms.Change { return changes[operation] }
