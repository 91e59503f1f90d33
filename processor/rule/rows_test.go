package rule_test

import (
	"slices"
	"testing"
)

// The rows of docs/coverage.md that the always-on rules decide. The comment of
// each test stands in that page.

// matches wants an event to match exactly these rules.
func matches(t *testing.T, text string, want ...string) {
	t.Helper()
	list, _ := match(t, text)
	var got []string
	for _, r := range list {
		got = append(got, r.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: rules %q, want %q", text, got, want)
	}
}

const noAccess = `"errorCode":"AccessDenied",`

// TestRowC3ExclusionIsFound: leaving KMS out of a trail, in either form, is a blind spot; a refused attempt and other exclusions are not.
func TestRowC3ExclusionIsFound(t *testing.T) {
	basic := func(source string) string {
		return `{"trailName":"main","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["` + source + `"]}]}`
	}
	advanced := func(source string) string {
		return `{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},{"field":"eventSource","notEquals":["` + source + `"]}]}]}`
	}
	for _, form := range []func(string) string{basic, advanced} {
		matches(t, event("cloudtrail", "PutEventSelectors", form("kms.amazonaws.com"), ""), "kms_events_excluded")
		matches(t, event("cloudtrail", "PutEventSelectors", form("rdsdata.amazonaws.com"), ""))
		matches(t, event("cloudtrail", "PutEventSelectors", form("kms.amazonaws.com"), noAccess))
	}
	matches(t, event("cloudtrail", "StopLogging", `{"name":"main"}`, ""), "logging_stopped")
	matches(t, event("cloudtrail", "DeleteTrail", `{"name":"main"}`, ""), "trail_deleted")
}

// TestRowC7DeletionIsFound: disabling a key and scheduling its deletion are found; cancelling it and a refused attempt are not.
func TestRowC7DeletionIsFound(t *testing.T) {
	matches(t, event("kms", "DisableKey", `{"keyId":"a"}`, ""), "key_disabled")
	matches(t, event("kms", "ScheduleKeyDeletion", `{"keyId":"a","pendingWindowInDays":7}`, ""), "key_deletion_scheduled")
	matches(t, event("kms", "CancelKeyDeletion", `{"keyId":"a"}`, ""))
	matches(t, event("kms", "EnableKey", `{"keyId":"a"}`, ""))
	matches(t, event("kms", "ScheduleKeyDeletion", `{"keyId":"a"}`, noAccess))
	matches(t, event("kms", "Decrypt", `null`, `"errorCode":"KMSInvalidStateException",`)) // a use of a key that waits for its deletion
}

// TestRowC8MaterialLossIsFound: the deletion of imported material, asked for or by its expiry, is found, and so is its import.
func TestRowC8MaterialLossIsFound(t *testing.T) {
	internal := `"userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},`
	matches(t, event("kms", "DeleteImportedKeyMaterial", `{"keyId":"a"}`, ""), "key_material_deleted")
	matches(t, event("kms", "DeleteExpiredKeyMaterial", `null`, internal), "key_material_deleted")
	matches(t, event("kms", "ImportKeyMaterial", `{"keyId":"a","expirationModel":"KEY_MATERIAL_EXPIRES","validTo":"Mar 3, 2027, 12:00:00 AM"}`, ""), "key_material_imported")
}

// TestRowC11RotationOffIsFound: turning rotation off is found; turning it on and rotating are not.
func TestRowC11RotationOffIsFound(t *testing.T) {
	matches(t, event("kms", "DisableKeyRotation", `{"keyId":"a"}`, ""), "rotation_disabled")
	matches(t, event("kms", "EnableKeyRotation", `{"keyId":"a","rotationPeriodInDays":180}`, ""))
	matches(t, event("kms", "RotateKeyOnDemand", `{"keyId":"a"}`, ""))
}

// TestRowA17ForeignGrantIsFound: a grant to a principal of another account is found; one to a service or within the account is not.
func TestRowA17ForeignGrantIsFound(t *testing.T) {
	matches(t, event("kms", "CreateGrant", grant("arn:aws:iam::444455556666:role/r"), ""), "grant_to_other_account")
	matches(t, event("kms", "CreateGrant", grant("arn:aws:iam::111122223333:role/r"), ""))
	matches(t, event("kms", "CreateGrant", grant("chimevoiceconnector.eu-central-1.amazonaws.com"), ""))
	matches(t, event("kms", "RetireGrant", `null`, `"additionalEventData":{"grantId":"g"},`))
}
