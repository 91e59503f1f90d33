package normalize

import (
	"fmt"
	"strings"
	"testing"

	"keytrail/schemas/decoding"
	sc "keytrail/schemas/semconv"
)

// TestRowD1Addenda: a late record is a call like others; one that updates a record has its call id and the lowest rank.
func TestRowD1Addenda(t *testing.T) {
	r := row(t, "D1")
	original := "d1000001-0002-4000-8000-000000000002"
	column(t, r, sc.AWSCloudTrailAddendumReason, "DELIVERY_DELAY", "SERVICE_OUTAGE", "", "UPDATED_DATA", "UPDATED_DATA")
	column(t, r, sc.KeytrailCallCopy, "caller", "caller", "caller", "addendum", "addendum")
	column(t, r, sc.KeytrailCallID, r[0].text(sc.LogRecordUID), r[1].text(sc.LogRecordUID), original, original, "d1000005-26b2-427a-908f-025bf71241f6")
	column(t, r, sc.AWSCloudTrailAddendumOriginalRequestID, "", "", "", "d1000001-0001-4000-8000-000000000001", "")
	column(t, r, sc.AWSCloudTrailAddendumUpdatedFields, "", "", "", "userIdentity.sessionContext", "userAgent")
}

// TestRowD2OmittedFields: a field that CloudTrail left out for its size is named; texts that it cut stay as they came.
func TestRowD2OmittedFields(t *testing.T) {
	r := row(t, "D2")
	column(t, r, sc.AWSCloudTrailOmittedFields, "requestParameters", "requestParameters responseElements", "additionalEventData", "serviceEventDetails", "")
	column(t, r, sc.KeytrailPolicyPublic, all(5, "")...) // not known, and not "false"
	column(t, r, sc.AWSKMSKeyARN, all(5, key1)...)
	column(t, r, sc.KeytrailOutcome, "ok", "ok", "ok", "ok", "denied")
	if got := r[4].text(sc.UserAgentOriginal); len(got) != 1024 {
		t.Errorf("the user agent has %d bytes", len(got))
	}
}

// filters are the reasons for which records were filtered, as a column.
func filters(t *testing.T, all []result) (list []string) {
	t.Helper()
	for i := range all {
		if all[i].bad != nil {
			t.Errorf("record %d is bad: %v", i, all[i].bad)
		}
		list = append(list, all[i].why.String())
	}
	return list
}

// TestRowD3Insights: records of CloudTrail Insights are about many calls, so they are filtered.
func TestRowD3Insights(t *testing.T) {
	equal(t, "filtered", filters(t, row(t, "D3")), "insight", "insight")
	// Whatever a record of theirs has besides.
	for _, kind := range []string{`"eventCategory":"Insight"`, `"eventType":"AwsCloudTrailInsight"`} {
		equal(t, "filtered", filters(t, normalizeAll(t, "x", []byte(kmsEvent("CreateGrant", ","+kind)))), "insight")
	}
}

// TestRowD11NetworkActivity: a network activity event is a call's second record, except for a call that the endpoint's policy refused.
func TestRowD11NetworkActivity(t *testing.T) {
	r := row(t, "D11")
	equal(t, "filtered", filters(t, r), "network_activity", "", "", "network_activity", "network_activity", "", "not_wanted", "network_activity", "")
	kept := []result{r[1], r[2], r[5], r[8]}
	column(t, kept, sc.KeytrailOutcome, "denied", "denied", "denied", "ok")
	column(t, kept, sc.ErrorType, "VpceAccessDenied", "VpceAccessDenied", "VpceAccessDenied", "")
	column(t, kept, sc.AWSKMSKeyARN, "", key1, "", key1)
	column(t, kept, sc.KeytrailPrincipalID, all(4, "arn:aws:iam::111122223333:role/payments")...)
	column(t, kept, sc.AWSVPCEndpointID, all(4, "vpce-0aa11bb22cc33dd44")...)
	equal(t, "event names", names(kept), sc.EventAWSKMSAPICall, sc.EventAWSKMSAPICall, sc.EventAWSCloudTrailTrailChange, sc.EventAWSKMSAPICall)
}

// TestRowD12Aggregated: CloudTrail's aggregated events sum up data events and are filtered.
func TestRowD12Aggregated(t *testing.T) {
	equal(t, "filtered", filters(t, row(t, "D12")), "aggregated", "aggregated", "aggregated")
}

// TestRowD5Attestation: attested requests show the enclave or TPM, its measurements, and whether it ran in debug mode.
func TestRowD5Attestation(t *testing.T) {
	r := row(t, "D5")
	enclave, digest := "i-0123456789abcde12-enc0123456789abcde1", strings.Repeat("ee0d451a2ff9aaaa9bccd07700b9cab1", 3)
	column(t, r, sc.AWSKMSAttestationModuleID, enclave, enclave, "i-0123456789abcde12-enc0123456789abcde2", "i-0123456789abcde12-tpm0000000000000000", enclave, "")
	column(t, r, sc.AWSKMSAttestationImageDigest, digest, strings.Repeat("0", 96), strings.Repeat("A", 64), "", digest, "")
	column(t, r, sc.KeytrailAttestationDebugMode, "false", "true", "true", "", "false", "")
	pcr := func(number, digits string) string { return fmt.Sprintf("%q:%q", number, strings.Repeat(digits, 48)) }
	column(t, append(r[:1:1], r[3:]...), sc.AWSKMSAttestationPcrs,
		"{"+strings.Join([]string{pcr("1", "11"), pcr("2", "22"), pcr("3", "33"), pcr("4", "44"), pcr("8", "00")}, ",")+"}",
		"{"+strings.Join([]string{pcr("4", "44"), pcr("7", "77"), pcr("8", "88"), pcr("9", "99"), pcr("16", "16"), pcr("23", "23")}, ",")+"}", "", "")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, key1, key1, "", key1)
	column(t, r[:1], sc.AWSKMSKeyMaterialID, "cccc")
}

// TestRowD6KeyMaterial: the material that was used, imported, deleted or replaced shows under one name, of ReEncrypt both.
func TestRowD6KeyMaterial(t *testing.T) {
	r := row(t, "D6")
	column(t, r, sc.AWSKMSKeyMaterialID, "bbbb", "bbbb", "aaaa", "bbbb", "aaaa", "aaaa", "bbbb")
	column(t, r, sc.AWSKMSDestinationKeyMaterialID, "", "", "bbbb", "", "", "", "")
	column(t, r, sc.AWSKMSKeyPreviousMaterialID, "", "", "", "", "", "", "aaaa")
	column(t, r[2:3], sc.AWSKMSAlgorithm, "RSAES_OAEP_SHA_256")
	column(t, r[2:3], sc.AWSKMSDestinationKeyARN, key2)
}

// TestRowD7Partitions: ids are completed with the partition of their Region, also those that came after aws-cn and aws-us-gov.
func TestRowD7Partitions(t *testing.T) {
	r := row(t, "D7")
	arn := func(partition, region, rest string) string {
		return "arn:" + partition + ":kms:" + region + ":111122223333:" + rest
	}
	id := key1[strings.Index(key1, "key/"):]
	column(t, r, sc.AWSKMSKeyARN, arn("aws-cn", "cn-north-1", id), arn("aws-cn", "cn-northwest-1", "alias/x"), arn("aws-us-gov", "us-gov-west-1", "key/mrk-0001"),
		arn("aws-iso", "us-iso-east-1", id), arn("aws-iso-b", "us-isob-east-1", id), arn("aws-iso-e", "eu-isoe-west-1", id), arn("aws-iso-f", "us-isof-south-1", id),
		arn("aws-eusc", "eusc-de-east-1", id), arn("aws", "us-west-2", id), arn("aws-cn", "cn-north-1", "key/mrk-0001"))
	column(t, r[9:], sc.AWSKMSKeyPrimaryARN, arn("aws-cn", "cn-northwest-1", "key/mrk-0001"))
	column(t, r[:3], sc.KeytrailPrincipalID, "arn:aws-cn:iam::111122223333:root", "arn:aws-cn:iam::111122223333:role/app", "arn:aws-us-gov:iam::111122223333:user/alice")
	column(t, r[1:2], sc.AWSKMSAliasARN, arn("aws-cn", "cn-northwest-1", "alias/x"))
}

// TestRowD9EventTimes: RFC 3339 with fractions and zones, and the form of exports, give the same instant; other texts are not times.
func TestRowD9EventTimes(t *testing.T) {
	r := row(t, "D9")
	const at = 1772442764_000000000
	for i, want := range []int64{at, at + 125_000_000, at, at, at, 0, 0, 0} {
		if want == 0 {
			if r[i].bad == nil || r[i].bad.Reason != decoding.ReasonTime {
				t.Errorf("event %d: %+v", i, r[i].bad)
			}
		} else if r[i].bad != nil || r[i].rec.Time != want {
			t.Errorf("event %d: time %d, want %d; %+v", i, r[i].rec.Time, want, r[i].bad)
		}
	}
}

// TestRowS1SharedEventIDAlone: a sharedEventID without a second account is the call's id, and makes nothing cross-account.
func TestRowS1SharedEventIDAlone(t *testing.T) {
	r := row(t, "S1")
	column(t, r, sc.KeytrailCallID, "51000001-26b2-427a-908f-025bf71241f6", "51000002-26b2-427a-908f-025bf71241f6")
	column(t, r, sc.KeytrailCallCopy, "caller", "caller")
	column(t, r, sc.KeytrailCrossAccount, "", "false")
}

// TestRowS2ListsWithoutResources: ListAliases and ListKeys without resources are reads without a key.
func TestRowS2ListsWithoutResources(t *testing.T) {
	r := row(t, "S2")
	column(t, r, sc.AWSKMSKeyARN, "", "", "")
	column(t, r, sc.KeytrailOperationClass, "read", "read", "read")
	column(t, r, sc.AWSSessionConsole, "true", "", "")
}

// TestRowS3TwoKeySpecs: keySpec beside customerMasterKeySpec, either alone, and keyPairSpec give the spec.
func TestRowS3TwoKeySpecs(t *testing.T) {
	column(t, row(t, "S3"), sc.AWSKMSKeySpec, "RSA_2048", "ECC_NIST_P256", "ECC_NIST_P256", "RSA_3072")
}

// TestRowS4EmptySessionParts: empty webIdFederationData and an empty or absent sessionIssuer cost the identity nothing.
func TestRowS4EmptySessionParts(t *testing.T) {
	r := row(t, "S4")
	app := "arn:aws:iam::111122223333:role/app"
	column(t, r, sc.KeytrailPrincipalID, app, app, app, "arn:aws:sts::111122223333:federated-user/fed")
	column(t, r, sc.AWSUserIdentityIdentityProvider, "", "", "", "")
	column(t, r, sc.UserName, "app", "", "", "")
}

// TestRowS5LocaleDates: dates in the words of some locale stay as written; the days count as number or text.
func TestRowS5LocaleDates(t *testing.T) {
	r := row(t, "S5")
	column(t, r, sc.AWSKMSDeletionDate, "Oct 21, 2026, 2:25:29 PM", "Apr 12, 2026 18:58:30 PM", "Jan 1, 2027 12:00:00 AM", "1772442764.5")
	column(t, r, sc.AWSKMSPendingWindowDays, "7", "20", "30", "")
}

// TestRowS6BareIDInResponse: the bare id that RotateKeyOnDemand answers with becomes the key's ARN, also when an alias was asked for.
func TestRowS6BareIDInResponse(t *testing.T) {
	r := row(t, "S6")
	column(t, r, sc.AWSKMSKeyARN, key1, key1)
	column(t, r, sc.AWSKMSAliasARN, "", "arn:aws:kms:eu-central-1:111122223333:alias/x")
}

// TestRowS7CustomKeyStores: JSON inside a string, as backingKeys has it, stays in the body; the custom key store shows.
func TestRowS7CustomKeyStores(t *testing.T) {
	r := row(t, "S7")
	column(t, r, sc.AWSKMSCustomKeyStoreID, all(4, "cks-0123456789abcdef0")...)
	column(t, r, sc.KeytrailOperationClass, "destroy", "manage", "manage", "destroy")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, "", "")
	column(t, r, sc.AWSKMSKeyOrigin, "", "AWS_CLOUDHSM", "", "")
}

// TestRowS8StringBooleans: booleans that are written as strings are booleans; other strings are absent.
func TestRowS8StringBooleans(t *testing.T) {
	r := row(t, "S8")
	column(t, r, sc.AWSSessionConsole, "true", "", "")
	column(t, r, sc.AWSUserIdentitySessionContextAttributesMFAAuthenticated, "false", "false", "false")
	column(t, r, sc.AWSEventReadOnly, "true", "false", "")
	column(t, r, sc.AWSEventManagement, "false", "true", "true")
	column(t, r, sc.AWSKMSPolicyLockoutCheckBypassed, "", "true", "")
	column(t, r, sc.AWSKMSDryRun, "", "", "true")
}

// TestRowS9OddAccounts: account ids of other lengths, as numbers, and Regions that do not exist are taken as they are.
func TestRowS9OddAccounts(t *testing.T) {
	r := row(t, "S9")
	column(t, r, sc.AWSKMSKeyAccountID, "123456789", "1234567890123", "123456789", "111122223333")
	column(t, r, sc.KeytrailPrincipalID, "arn:aws:iam::123456789:user/bob", "arn:aws:iam::1234567890123:user/bob", "arn:aws:iam::123456789:user/bob", alice)
	column(t, r, sc.AWSUserIdentityAccountID, "123456789", "1234567890123", "123456789", "123456789")
	column(t, r, sc.AWSKMSAliasARN, "", "", "arn:aws:kms:seatr-central-1r:123456789:alias/x", "")
	column(t, r, sc.KeytrailCrossAccount, "false", "false", "false", "true")
	if a := r[3].rec.Resource[1]; a.Key != sc.CloudAccountID || a.Str != "123456789" {
		t.Errorf("resource %+v", a)
	}
}

// TestRowS10PantherForm: an export with a time without zone and resources in small letters is the event that it was.
func TestRowS10PantherForm(t *testing.T) {
	r := row(t, "S10")
	column(t, r, sc.AWSKMSKeyARN, key1)
	if r[0].rec.Time != 1772442764_000000000 {
		t.Errorf("time %d", r[0].rec.Time)
	}
}

// TestRowS11LowerCaseARN: resources with "arn" for "ARN" are read; where both stand, "ARN" wins.
func TestRowS11LowerCaseARN(t *testing.T) {
	r := row(t, "S11")
	column(t, r, sc.AWSKMSKeyARN, key1, key1, key1)
	column(t, r, sc.AWSKMSDestinationKeyARN, "", "", key2)
}

// TestRowS12UserAgents: a user agent that is null, absent or spoiled by a document's markup stays absent or as written.
func TestRowS12UserAgents(t *testing.T) {
	r := row(t, "S12")
	column(t, r, sc.UserAgentOriginal, "", "&AWS; Internal", "")
	column(t, r, sc.ClientAddress, "", "", "")
	column(t, r, sc.AWSSourceService, "AWS Internal", "&AWS; Internal", "")
	column(t, r, sc.KeytrailPrincipalID, "AWS Internal", "&AWS; Internal", alice)
}

// TestRowS13RepeatedEventIDs: records with one event id are copies of one call, in whatever case it is written, because CloudTrail delivers some twice.
func TestRowS13RepeatedEventIDs(t *testing.T) {
	r := row(t, "S13")
	column(t, r, sc.KeytrailCallID, all(3, "51300000-0002-4000-8000-000000000002")...)
	column(t, r, sc.AWSKMSKeyARN, key1, key2, key1)
}
