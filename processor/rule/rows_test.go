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
	put := func(selectors string, want ...string) {
		t.Helper()
		matches(t, event("cloudtrail", "PutEventSelectors", selectors, ""), want...)
		matches(t, event("cloudtrail", "PutEventSelectors", selectors, noAccess))
		matches(t, event("cloudtrail", "PutEventSelectors", selectors, `"errorMessage":"no",`))
	}
	without := func(source string) string {
		return basic(`"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["` + source + `"]`)
	}
	put(without("kms.amazonaws.com"), "kms_events_excluded")
	put(without("rdsdata.amazonaws.com"))
	put(without(`rdsdata.amazonaws.com","kms.amazonaws.com`), "kms_events_excluded")
	put(basic(`"readWriteType":"WriteOnly","excludeManagementEventSources":"kms.amazonaws.com"`), "kms_events_excluded")
	put(basic(`"includeManagementEvents":"false"`), "management_events_off")
	put(basic(`"excludeManagementEventSources":["kms.amazonaws.com"]},{"readWriteType":"All"`)) // the second selects them
	put(basic(`"excludeManagementEventSources":["kms.amazonaws.com"]},{"readWriteType":"ReadOnly"`), "kms_events_reduced")
	source := func(operator, value string) string {
		return advanced(`{"field":"eventSource","` + operator + `":["` + value + `"]}`)
	}
	for operator, values := range map[string][2]string{ // what leaves KMS out, and what does not
		"notEquals": {"kms.amazonaws.com", "rdsdata.amazonaws.com"}, "equals": {"s3.amazonaws.com", "kms.amazonaws.com"},
		"notStartsWith": {"km", "s3"}, "startsWith": {"s3", "kms."}, "notEndsWith": {".amazonaws.com", ".example.com"}, "endsWith": {"x", "ms.amazonaws.com"},
	} {
		put(source(operator, values[0]), "kms_events_excluded")
		put(source(operator, values[1]))
	}
	put(advanced(`{"field":"eventSource","notEquals":["rdsdata.amazonaws.com"]}]},{"fieldSelectors":[{"field":"eventCategory","equals":["Data"]}`))
	put(advanced(`{"field":"eventSource","notEquals":["kms.amazonaws.com"]}]},{"fieldSelectors":[{"field":"eventCategory","equals":["NetworkActivity"]},{"field":"eventSource","equals":["kms.amazonaws.com"]}`), "kms_events_excluded")
	put(advanced(`{"field":"readOnly","equals":["true"]},{"field":"eventSource","notEquals":["kms.amazonaws.com"]}`), "kms_events_excluded")
	put(advanced(`{"field":"readOnly","equals":["true"]}]},{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},{"field":"readOnly","equals":["false"]}`))
	put(advanced(`{"field":"userIdentity.arn","notStartsWith":["arn:aws:iam::111122223333:role/x"]}`), "kms_events_reduced")
	put(`{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["NetworkActivity"]},{"field":"eventSource","equals":["kms.amazonaws.com"]}]}]}`, "management_events_off")
	matches(t, event("cloudtrail", "StopLogging", `{"name":"main"}`, ""), "logging_stopped")
	matches(t, event("cloudtrail", "DeleteTrail", `{"name":"main"}`, ""), "trail_deleted")
	matches(t, event("cloudtrail", "UpdateTrail", `{"name":"main","isMultiRegionTrail":false}`, ""), "trail_narrowed")
	matches(t, event("cloudtrail", "UpdateTrail", `{"name":"main","isMultiRegionTrail":true}`, ""))
	matches(t, event("cloudtrail", "CreateTrail", `{"name":"main","isMultiRegionTrail":false}`, "")) // it takes nothing away
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

// TestRowC11RotationOffIsFound: turning rotation off, another period and a rotation on demand are found; turning it on is not.
func TestRowC11RotationOffIsFound(t *testing.T) {
	matches(t, event("kms", "DisableKeyRotation", `{"keyId":"a"}`, ""), "rotation_disabled")
	matches(t, event("kms", "EnableKeyRotation", `{"keyId":"a"}`, ""))
	matches(t, event("kms", "EnableKeyRotation", `{"keyId":"a","rotationPeriodInDays":180}`, ""), "rotation_changed")
	matches(t, event("kms", "RotateKeyOnDemand", `{"keyId":"a"}`, ""), "rotation_changed")
}

// TestRowA17ForeignGrantIsFound: a grant to a principal of another account is found, and one to a service for any resource; one within the account is not.
func TestRowA17ForeignGrantIsFound(t *testing.T) {
	matches(t, event("kms", "CreateGrant", grant("arn:aws:iam::444455556666:role/r"), ""), "grant_to_other_account")
	matches(t, event("kms", "CreateGrant", grant("arn:aws:iam::111122223333:role/r"), ""))
	matches(t, event("kms", "CreateGrant", grant("chimevoiceconnector.eu-central-1.amazonaws.com"), ""), "service_grant_without_source")
	matches(t, event("kms", "RetireGrant", `null`, `"additionalEventData":{"grantId":"g"},`))
}
