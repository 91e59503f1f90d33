package rule_test

import (
	"strings"
	"testing"

	"keytrail/processor/rule"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/aws/normalize"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// names are the rules by their numbers, which stand in stored state: a name may
// be added at the end, and none may move.
var names = []string{
	"key_deletion_scheduled", "key_disabled", "key_material_deleted", "policy_public", "policy_lockout_check_bypassed",
	"grant_to_other_account", "rotation_disabled", "root_use", "old_tls", "kms_events_excluded", "management_events_off",
	"logging_stopped", "trail_deleted", "key_material_imported", "policy_changed", "enclave_in_debug_mode",
	"trail_tampered", "kms_events_reduced", "trail_narrowed",
	"external_key_store", "custom_key_store", "key_without_material", "alias_moved", "key_replicated", "policy_for_other_account",
	"service_grant_without_source", "trail_moved", "rotation_changed",
}

func TestNumbersAreStable(t *testing.T) {
	if len(rule.All) != len(names) || len(rule.All) > 32 {
		t.Fatalf("%d rules, want %d: add new ones to the list of names, at its end", len(rule.All), len(names))
	}
	for i, name := range names {
		if rule.All[i].Name != name {
			t.Errorf("rule %d is %s, want %s: stored state knows it by its number", i, rule.All[i].Name, name)
		}
		set := rule.Set(1) << i
		if list := set.Rules(); len(list) != 1 || list[0] != &rule.All[i] {
			t.Errorf("the set %b holds %v", set, list)
		}
		rules, blind := set.Kinds()
		if rules+blind != 1 || (blind == 1) != rule.All[i].BlindSpot {
			t.Errorf("%s counts as %d rules and %d blind spots", name, rules, blind)
		}
	}
	all := rule.Set(1)<<len(names) - 1
	if rules, blind := all.Kinds(); rules != 20 || blind != 8 || len(all.Rules()) != 28 {
		t.Errorf("all rules are %d and %d, in a list of %d", rules, blind, len(all.Rules()))
	}
	if rules, blind := rule.Set(0).Kinds(); rules+blind != 0 || len(rule.Set(0).Rules()) != 0 {
		t.Error("the empty set is not empty")
	}
}

// Scores and techniques are what people sort and search by.
func TestRulesAreComplete(t *testing.T) {
	for _, r := range rule.All {
		if r.Score < 4 || r.Score > 10 || len(r.Techniques) == 0 || r.What == nil {
			t.Errorf("%s: score %g, techniques %q", r.Name, r.Score, r.Techniques)
		}
		for _, id := range r.Techniques {
			if !strings.HasPrefix(id, "T1") {
				t.Errorf("%s: %q is no ATT&CK technique", r.Name, id)
			}
		}
		if r.BlindSpot && r.Techniques[0] != "T1562.008" {
			t.Errorf("%s is a blind spot of technique %q", r.Name, r.Techniques)
		}
	}
}

// event returns a successful call of a role in eu-central-1, with more members
// in front, of which the first of a name counts.
func event(service, name, request, more string) string {
	e := `{"eventVersion":"1.11",` + more
	add := func(member, value string) {
		if !strings.Contains(more, `"`+member+`":`) {
			e += `"` + member + `":` + value + `,`
		}
	}
	add("userIdentity", `{"type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/ops/i-1","accountId":"111122223333",
		"sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::111122223333:role/ops"}}}`)
	add("tlsDetails", `{"tlsVersion":"TLSv1.3"}`)
	if service == "kms" {
		add("resources", `[{"type":"AWS::KMS::Key","ARN":"arn:aws:kms:eu-central-1:111122223333:key/a"}]`)
	}
	return e + `"eventTime":"2026-03-02T09:01:02Z","eventSource":"` + service + `.amazonaws.com","eventName":"` + name + `","awsRegion":"eu-central-1",
		"requestParameters":` + request + `,"eventID":"00000000-0000-4000-8000-000000000001","recipientAccountId":"111122223333","eventType":"AwsApiCall"}`
}

// match decodes and normalizes an event and returns the rules that it matches.
func match(t *testing.T, text string) ([]*rule.Rule, *otellog.Record) {
	t.Helper()
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(text), &ev); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	rec := new(otellog.Record)
	if ok, err := normalize.New(normalize.Options{}).Record(&ev, 1, rec); !ok || err != nil {
		t.Fatalf("the event is not taken: %v, %v: %s", ok, err, text)
	}
	class, outcome := kms.ParseClass(rec.Str(semconv.KeytrailOperationClass)), kms.ParseOutcome(rec.Str(semconv.KeytrailOutcome))
	return rule.Match(rec, class, outcome).Rules(), rec
}

const (
	public    = `"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}"`
	ownOnly   = `"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::111122223333:root\"},\"Action\":\"kms:*\",\"Resource\":\"*\"}]}"`
	guarded   = `"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"Condition\":{\"StringEquals\":{\"kms:CallerAccount\":\"111122223333\"}}}]}"`
	forbidden = `"{\"Statement\":{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"kms:*\"}}"`
	root      = `"userIdentity":{"type":"Root","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"},`
	tls       = `"tlsDetails":{"tlsVersion":"%"},`
	service   = `"userIdentity":{"type":"AWSService","invokedBy":"backup.amazonaws.com"},`
	foreign   = `"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"arn:aws:iam::444455556666:root\",\"123456789012\"]},\"Action\":\"kms:Decrypt\",\"Resource\":\"*\"}]}"`
	enclave   = `"additionalEventData":{"recipient":{"attestationDocumentModuleId":"i-1-enc1","attestationDocumentEnclaveImageDigest":"%"}},`
)

func grant(grantee string) string {
	return `{"keyId":"a","granteePrincipal":"` + grantee + `","operations":["Decrypt","GenerateDataKey"]}`
}

// basic and advanced write selectors of one kind each: that of management events, with
// further members or conditions.
func basic(members string) string { return `{"trailName":"main","eventSelectors":[{` + members + `}]}` }

func advanced(conditions string) string {
	return `{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},` + conditions + `]}]}`
}

// hits are events that match exactly one rule, with what the rule says of them.
var hits = []struct{ rule, what, event string }{
	{"key_deletion_scheduled", "scheduled the deletion of the key in 7 days", event("kms", "ScheduleKeyDeletion", `{"keyId":"a","pendingWindowInDays":7}`, "")},
	{"key_deletion_scheduled", "scheduled the deletion of the key", event("kms", "ScheduleKeyDeletion", `{"keyId":"a"}`, "")},
	{"key_disabled", "disabled the key", event("kms", "DisableKey", `{"keyId":"a"}`, "")},
	{"key_material_deleted", "deleted the key's imported material", event("kms", "DeleteImportedKeyMaterial", `{"keyId":"a"}`, "")},
	{"key_material_deleted", "deleted the key's imported material", event("kms", "DeleteExpiredKeyMaterial", `null`, `"userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},`)},
	{"policy_public", "lets in principals of any AWS account", event("kms", "PutKeyPolicy", `{"keyId":"a","policyName":"default","policy":`+public+`}`, "")},
	{"policy_public", "lets in principals of any AWS account", event("kms", "CreateKey", `{"policy":`+public+`}`, "")},
	{"policy_lockout_check_bypassed", "without the check that keeps its owner from being locked out", event("kms", "PutKeyPolicy", `{"keyId":"a","bypassPolicyLockoutSafetyCheck":true,"policy":`+ownOnly+`}`, "")},
	{"policy_lockout_check_bypassed", "without the check", event("kms", "CreateKey", `{"bypassPolicyLockoutSafetyCheck":"true"}`, "")},
	{"grant_to_other_account", "granted arn:aws:iam::444455556666:role/r, of another account, the use of the key for Decrypt, GenerateDataKey", event("kms", "CreateGrant", grant("arn:aws:iam::444455556666:role/r"), "")},
	{"rotation_disabled", "turned the key's rotation off", event("kms", "DisableKeyRotation", `{"keyId":"a"}`, "")},
	{"root_use", "used the account's root identity for Decrypt", event("kms", "Decrypt", `{}`, root)},
	{"root_use", "used the account's root identity for StartLogging", event("cloudtrail", "StartLogging", `{"name":"main"}`, root)},
	{"old_tls", "called over TLS 1", event("kms", "Decrypt", `{}`, strings.Replace(tls, "%", "TLSv1", 1))},
	{"old_tls", "called over TLS 1.1", event("kms", "ListKeys", `{}`, strings.Replace(tls, "%", "TLSv1.1", 1))},
	{"kms_events_excluded", "excluded all AWS KMS events from trail main", event("cloudtrail", "PutEventSelectors", `{"trailName":"main","eventSelectors":[{"readWriteType":"All","includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]}]}`, "")},
	{"kms_events_excluded", "excluded all AWS KMS events from trail main", event("cloudtrail", "PutEventSelectors", `{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]},{"field":"eventSource","notEquals":["kms.amazonaws.com"]}]}]}`, "")},
	{"management_events_off", "turned management events off in trail main", event("cloudtrail", "PutEventSelectors", `{"trailName":"main","eventSelectors":[{"includeManagementEvents":false}]}`, "")},
	{"management_events_off", "turned management events off in trail main", event("cloudtrail", "PutEventSelectors", `{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Data"]}]}]}`, "")},
	{"logging_stopped", "stopped the logging of main", event("cloudtrail", "StopLogging", `{"name":"main"}`, "")},
	{"logging_stopped", "stopped the logging of arn:aws:cloudtrail:eu-central-1:111122223333:eventdatastore/x", event("cloudtrail", "StopEventDataStoreIngestion", `{"eventDataStore":"arn:aws:cloudtrail:eu-central-1:111122223333:eventdatastore/x"}`, "")},
	{"trail_deleted", "deleted main", event("cloudtrail", "DeleteTrail", `{"name":"main"}`, "")},
	{"trail_deleted", "deleted the trail", event("cloudtrail", "DeleteEventDataStore", `{}`, "")},
	{"key_material_imported", "imported key material", event("kms", "ImportKeyMaterial", `{"keyId":"a"}`, "")},
	{"policy_changed", "changed the key's policy", event("kms", "PutKeyPolicy", `{"keyId":"a","policy":`+ownOnly+`}`, "")},
	{"policy_changed", "changed the key's policy", event("kms", "PutKeyPolicy", `{"keyId":"a","policy":`+guarded+`}`, "")},
	{"policy_changed", "changed the key's policy", event("kms", "PutKeyPolicy", `{"keyId":"a","policy":`+forbidden+`}`, "")},
	{"policy_changed", "changed the key's policy", event("kms", "PutKeyPolicy", `{"keyId":"a","policy":"not JSON"}`, "")},
	{"policy_changed", "changed the key's policy", event("kms", "PutKeyPolicy", `{"keyId":"a","bypassPolicyLockoutSafetyCheck":false,"policy":`+ownOnly+`}`, "")},
	{"enclave_in_debug_mode", "called Decrypt from an enclave in debug mode", event("kms", "Decrypt", `{}`, strings.Replace(enclave, "%", strings.Repeat("0", 96), 1))},
	{"kms_events_reduced", "Decrypt and the other uses of keys are not recorded", event("cloudtrail", "PutEventSelectors", basic(`"readWriteType":"WriteOnly"`), "")},
	{"kms_events_reduced", "deletions, policies and other changes of keys are not recorded", event("cloudtrail", "PutEventSelectors", advanced(`{"field":"readOnly","equals":["true"]}`), "")},
	{"kms_events_reduced", "further fields select them", event("cloudtrail", "UpdateEventDataStore", advanced(`{"field":"eventName","notEquals":["Decrypt"]}`), "")},
	{"trail_narrowed", "set trail main to record a single Region", event("cloudtrail", "UpdateTrail", `{"name":"main","isMultiRegionTrail":false}`, "")},
	{"trail_narrowed", "record a single account", event("cloudtrail", "UpdateTrail", `{"name":"main","isOrganizationTrail":"false"}`, "")},
	{"trail_narrowed", "record a single Region of a single account", event("cloudtrail", "UpdateEventDataStore", `{"eventDataStore":"x","multiRegionEnabled":false,"organizationEnabled":false}`, "")},
	{"external_key_store", "created a store for KMS keys with its key material outside AWS", event("kms", "CreateCustomKeyStore", `{"customKeyStoreName":"x","customKeyStoreType":"EXTERNAL_KEY_STORE"}`, "")},
	{"external_key_store", "created a KMS key with its key material outside AWS", event("kms", "CreateKey", `{"origin":"EXTERNAL_KEY_STORE","customKeyStoreId":"cks-1"}`, "")},
	{"custom_key_store", "called CreateCustomKeyStore", event("kms", "CreateCustomKeyStore", `{"customKeyStoreName":"x","customKeyStoreType":"AWS_CLOUDHSM"}`, "")},
	{"custom_key_store", "called UpdateCustomKeyStore", event("kms", "UpdateCustomKeyStore", `{"customKeyStoreId":"cks-1"}`, "")},
	{"custom_key_store", "called DisconnectCustomKeyStore", event("kms", "DisconnectCustomKeyStore", `{"customKeyStoreId":"cks-1"}`, "")},
	{"key_without_material", "for imported key material", event("kms", "CreateKey", `{"origin":"EXTERNAL"}`, "")},
	{"key_material_imported", "imported new key material into the key, which expires", event("kms", "ImportKeyMaterial", `{"keyId":"a","importType":"NEW_KEY_MATERIAL","expirationModel":"KEY_MATERIAL_EXPIRES"}`, "")},
	{"key_material_imported", "former key material again", event("kms", "ImportKeyMaterial", `{"keyId":"a","importType":"EXISTING_KEY_MATERIAL"}`, "")},
	{"alias_moved", "moved alias arn:aws:kms:eu-central-1:111122223333:alias/app to KMS key arn:aws:kms:eu-central-1:111122223333:key/a", event("kms", "UpdateAlias", `{"aliasName":"alias/app","targetKeyId":"a"}`, "")},
	{"key_replicated", "replicated the key to Region eu-west-1", event("kms", "ReplicateKey", `{"keyId":"a","replicaRegion":"eu-west-1"}`, "")},
	{"policy_for_other_account", "lets in principals of accounts 123456789012, 444455556666", event("kms", "PutKeyPolicy", `{"keyId":"a","policy":`+foreign+`}`, "")},
	{"service_grant_without_source", "granted service ec2.amazonaws.com the use of the key for any resource", event("kms", "CreateGrant", grant("ec2.amazonaws.com"), "")},
	{"trail_moved", "set trail main to deliver to bucket mine", event("cloudtrail", "UpdateTrail", `{"name":"main","s3BucketName":"mine"}`, "")},
	{"rotation_changed", "set the key to rotate every 180 days", event("kms", "EnableKeyRotation", `{"keyId":"a","rotationPeriodInDays":180}`, "")},
	{"rotation_changed", "rotated the key on demand", event("kms", "RotateKeyOnDemand", `{"keyId":"a"}`, "")},
	{"trail_tampered", "found that a log file of the trail is gone", strings.Replace(event("digest", "LogFileMissing", `{}`, ""), "digest.amazonaws.com", "digest.keytrail", 1)},
}

func TestHits(t *testing.T) {
	covered := map[string]bool{}
	for _, h := range hits {
		list, rec := match(t, h.event)
		if len(list) != 1 || list[0].Name != h.rule {
			t.Errorf("%s matches %v, want %s alone", h.event, ruleNames(list), h.rule)
			continue
		}
		covered[h.rule] = true
		if what := list[0].What(rec); !strings.Contains(what, h.what) || strings.HasSuffix(what, ".") {
			t.Errorf("%s says %q, want %q", h.rule, what, h.what)
		}
	}
	for _, name := range names {
		if !covered[name] {
			t.Errorf("no event matches %s", name)
		}
	}
}

// A refused or failed call has changed nothing.
func TestRefusedAttemptsMatchNone(t *testing.T) {
	for _, h := range hits {
		for _, code := range []string{"AccessDenied", "AccessDeniedException", "KMSInvalidStateException", "DryRunOperationException"} {
			refused := strings.Replace(h.event, `{"eventVersion"`, `{"errorCode":"`+code+`","eventVersion"`, 1)
			if list, _ := match(t, refused); len(list) > 0 {
				t.Errorf("%s with %s matches %v", h.rule, code, ruleNames(list))
			}
		}
	}
}

// misses are what lies beside a rule.
func TestMisses(t *testing.T) {
	f := func(text string) {
		t.Helper()
		if list, _ := match(t, text); len(list) > 0 {
			t.Errorf("%s matches %v", text, ruleNames(list))
		}
	}
	f(event("kms", "CancelKeyDeletion", `{"keyId":"a"}`, ""))
	f(event("kms", "EnableKey", `{"keyId":"a"}`, ""))
	f(event("kms", "DeleteAlias", `{"aliasName":"alias/a"}`, ""))
	f(event("kms", "GetParametersForImport", `{"keyId":"a"}`, ""))
	for _, policy := range []string{ownOnly, guarded, forbidden} {
		f(event("kms", "CreateKey", `{"policy":`+policy+`}`, ""))
		f(event("kms", "PutKeyPolicy", `{"keyId":"a","policy":`+policy+`}`, service))
	}
	f(event("kms", "GetKeyPolicy", `{"keyId":"a"}`, ""))
	f(event("kms", "Decrypt", `{}`, strings.Replace(enclave, "%", strings.Repeat("0", 95)+"1", 1)))
	f(event("kms", "CreateGrant", grant("arn:aws:iam::111122223333:role/r"), "")) // the same account
	f(event("kms", "CreateGrant", strings.Replace(grant("ec2.amazonaws.com"), "{", `{"constraints":{"sourceArn":"arn:aws:ec2:eu-central-1:111122223333:volume/v"},`, 1), ""))
	f(event("kms", "CreateGrant", grant("ec2.amazonaws.com"), service)) // made by a service for itself
	f(event("kms", "CreateKey", `{"origin":"AWS_KMS"}`, ""))
	f(event("kms", "CreateAlias", `{"aliasName":"alias/app","targetKeyId":"a"}`, ""))
	f(event("kms", "ConnectCustomKeyStore", `{"customKeyStoreId":"cks-1"}`, ""))
	f(event("kms", "UpdatePrimaryRegion", `{"keyId":"a","primaryRegion":"eu-west-1"}`, ""))
	f(event("cloudtrail", "CreateTrail", `{"name":"main","s3BucketName":"mine"}`, ""))
	f(event("kms", "RevokeGrant", grant("arn:aws:iam::444455556666:role/r"), ""))
	f(event("kms", "EnableKeyRotation", `{"keyId":"a"}`, ""))
	f(event("kms", "DescribeKey", `{"keyId":"a"}`, root)) // the console's look around
	f(event("kms", "Decrypt", `{}`, strings.Replace(tls, "%", "TLSv1.2", 1)))
	f(event("kms", "Decrypt", `{}`, strings.Replace(tls, "%", "SSLv3", 1))) // not a form that CloudTrail writes
	f(event("cloudtrail", "PutEventSelectors", `{"trailName":"main","eventSelectors":[{"includeManagementEvents":true,"excludeManagementEventSources":["rdsdata.amazonaws.com"]}]}`, ""))
	// another selector still records them
	f(event("cloudtrail", "PutEventSelectors", `{"trailName":"main","eventSelectors":[{"includeManagementEvents":true,"excludeManagementEventSources":["kms.amazonaws.com"]},{"includeManagementEvents":true}]}`, ""))
	f(event("cloudtrail", "PutEventSelectors", `{"trailName":"main","advancedEventSelectors":[{"fieldSelectors":[{"field":"eventCategory","equals":["Management"]}]}]}`, ""))
	f(event("cloudtrail", "StartLogging", `{"name":"main"}`, ""))
	f(event("cloudtrail", "CreateTrail", `{"name":"main"}`, ""))
	f(event("cloudtrail", "UpdateTrail", `{"name":"main"}`, ""))
	f(event("cloudtrail", "RestoreEventDataStore", `{}`, ""))
}

// One event may match several rules; each is its own.
func TestSeveralRules(t *testing.T) {
	list, _ := match(t, event("kms", "PutKeyPolicy", `{"keyId":"a","bypassPolicyLockoutSafetyCheck":true,"policy":`+public+`}`, root+strings.Replace(tls, "%", "TLSv1.1", 1)))
	want := []string{"policy_public", "policy_lockout_check_bypassed", "root_use", "old_tls"}
	if got := ruleNames(list); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("rules %v, want %v", got, want)
	}
	list, _ = match(t, event("kms", "ReplicateKey", `{"keyId":"a","replicaRegion":"eu-west-1","bypassPolicyLockoutSafetyCheck":true,"policy":`+public+`}`, ""))
	if got := ruleNames(list); strings.Join(got, " ") != "policy_public policy_lockout_check_bypassed key_replicated" {
		t.Errorf("rules %v", got)
	}
}

func ruleNames(list []*rule.Rule) (names []string) {
	for _, r := range list {
		names = append(names, r.Name)
	}
	return names
}

// Most events are Decrypt calls, so this is what the rules cost.
func BenchmarkMatchDecrypt(b *testing.B) {
	var ev cloudtrail.Event
	if err := cloudtrail.NewDecoder(decoding.Limits{}).Decode([]byte(event("kms", "Decrypt", `{}`, "")), &ev); err != nil {
		b.Fatal(err)
	}
	var rec otellog.Record
	if _, err := normalize.New(normalize.Options{}).Record(&ev, 1, &rec); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if rule.Match(&rec, kms.ClassDecrypt, kms.OutcomeOK) != 0 {
			b.Fatal("a Decrypt matches a rule")
		}
	}
}
