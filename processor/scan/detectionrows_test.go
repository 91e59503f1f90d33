package scan_test

import (
	"fmt"
	"strings"
	"time"
)

// Building blocks of the rows' trails.
var (
	refusedCall = `"AccessDenied"`
	byService   = `{"type":"AWSService","invokedBy":"backup.amazonaws.com"}`

	scheduled = events{made("ScheduleKeyDeletion", "requestParameters", `{"keyId":"a","pendingWindowInDays":7}`)}
	disabled  = events{made("DisableKey", "requestParameters", `{"keyId":"a"}`)}
	// similar to the loss of a key, but harmless
	kept = []events{
		{made("EnableKey", "requestParameters", `{"keyId":"a"}`)}, {made("CancelKeyDeletion", "requestParameters", `{"keyId":"a"}`)},
		{made("Decrypt")}, {made("DisableKey", "errorCode", refusedCall)}, {made("ScheduleKeyDeletion", "errorCode", `"NotFoundException"`)},
	}
	materialDeleted = events{made("DeleteImportedKeyMaterial", "requestParameters", `{"keyId":"a"}`)}
	otherMaterial   = []events{{made("GetParametersForImport", "requestParameters", `{"keyId":"a"}`)}, {made("DeleteImportedKeyMaterial", "errorCode", refusedCall)}}

	policyOf = func(name, policy string, members ...string) string {
		return made(name, append([]string{"requestParameters", fmt.Sprintf(`{"keyId":"a","policyName":"default","policy":%q}`, policy)}, members...)...)
	}
	allow        = `{"Statement":[{"Effect":"Allow","Principal":%s,"Action":"%s","Resource":"*"%s}]}`
	everybody    = fmt.Sprintf(allow, `{"AWS":"*"}`, "kms:*", "")
	everyEncrypt = fmt.Sprintf(allow, `"*"`, "kms:Encrypt", "")
	ownAccount   = fmt.Sprintf(allow, `{"AWS":"arn:aws:iam::111122223333:root"}`, "kms:*", "")
	onlyOwn      = fmt.Sprintf(allow, `"*"`, "kms:Encrypt", `,"Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}`)
	closed       = []events{{policyOf("PutKeyPolicy", ownAccount)}, {policyOf("CreateKey", ownAccount)}, {policyOf("PutKeyPolicy", onlyOwn)}, {policyOf("PutKeyPolicy", everybody, "errorCode", refusedCall)}}

	upload = func(key, at, object string) string {
		return made("GenerateDataKey", "eventTime", at, "resources", resources(key), "requestParameters", `{"keySpec":"AES_256","encryptionContext":{"aws:s3:arn":"arn:aws:s3:::bucket/`+object+`"}}`)
	}
	foreignUpload = events{upload(keyARN("444455556666", 1), later(0), "a")}
	ownUpload     = []events{{upload(ownKey, later(0), "a")}, {made("GenerateDataKey", "resources", resources(keyARN("444455556666", 1)))}}

	selectors = func(with string) events {
		return events{trailCall("PutEventSelectors", `{"trailName":"main","eventSelectors":[{"readWriteType":"All","includeManagementEvents":`+with+`}]}`)}
	}
	parameters = func(n int) events {
		return several(n, func(i int, at string) string {
			return made("Decrypt", "eventTime", at, "requestParameters", fmt.Sprintf(`{"encryptionContext":{"PARAMETER_ARN":"arn:aws:ssm:eu-central-1:111122223333:parameter/p%d"}}`, i))
		})
	}
	mallory     = `{"type":"IAMUser","principalId":"AIDA","arn":"arn:aws:iam::111122223333:user/mallory","accountId":"111122223333","userName":"mallory"}`
	parameterOf = func(identity string) string {
		return made("Decrypt", "eventTime", later(0), "userIdentity", identity, "requestParameters", `{"encryptionContext":{"PARAMETER_ARN":"arn:aws:ssm:eu-central-1:111122223333:parameter/p"}}`)
	}
	webIdentity = func(who, name string) string {
		return made(name, "eventTime", later(0), "userIdentity", strings.Replace(role(who), `"sessionContext":{`,
			`"sessionContext":{"webIdFederationData":{"federatedProvider":"arn:aws:iam::111122223333:oidc-provider/oidc.eks","attributes":{}},`, 1))
	}
	burst = func(n int, name string) events {
		return history(several(n, func(i int, at string) string { return made(name, "eventTime", at, "requestID", fmt.Sprintf(`"%d"`, i)) })...)
	}
	asking = func(keys int) events {
		return history(several(keys, func(i int, at string) string {
			return made("DescribeKey", "eventTime", at, "resources", resources(keyARN(account, i)))
		})...)
	}
	uploads = func(n int) events {
		return history(several(n, func(i int, at string) string { return upload(ownKey, at, fmt.Sprint(i)) })...)
	}
	elsewhere = func(address, agent string) events {
		var list events
		for i := range 10 * 24 { // after a week of learning
			list = append(list, made("Decrypt", "eventTime", later(time.Duration(i-10*24)*time.Hour), "userAgent", `"aws-sdk-go-v2/1.30"`))
		}
		return append(list, several(5, func(_ int, at string) string {
			return made("DescribeKey", "eventTime", at, "sourceIPAddress", address, "userAgent", agent)
		})...)
	}
	denied = func(n, keys int) events {
		return several(n, func(i int, at string) string {
			return made("Decrypt", "eventTime", at, "resources", resources(keyARN(account, i%keys)), "errorCode", refusedCall, "requestID", fmt.Sprintf(`"%d"`, i))
		})
	}
	enclave = func(digest string) events {
		return events{made("Decrypt", "additionalEventData", `{"recipient":{"attestationDocumentModuleId":"i-1-enc1","attestationDocumentEnclaveImageDigest":"`+digest+`"}}`)}
	}
	decoy = resources("arn:aws:kms:eu-central-1:111122223333:key/dec0dec0-0000-4000-8000-000000000001")
)

// detections are the rows of docs/detections.md.
var detections = []detection{
	{peer: "sigma aws_kms_import_key_material", asks: "key material imported, or imported material deleted", ours: []string{"key_material_imported", "key_material_deleted"},
		hits: []events{{made("ImportKeyMaterial", "requestParameters", `{"keyId":"a"}`)}, materialDeleted}, misses: append([]events{{made("ImportKeyMaterial", "errorCode", refusedCall)}}, otherMaterial...),
		note: "refused calls count among the refusals"},
	{peer: "elastic impact_kms_cmk_disabled_or_scheduled_for_deletion", asks: "key disabled, or its deletion scheduled", ours: []string{"key_disabled", "key_deletion_scheduled"}, hits: []events{disabled, scheduled}, misses: kept},
	{peer: "elastic privilege_escalation_kms_key_policy_put", asks: "key policy changed by anybody but a service", ours: []string{"policy_changed"},
		hits: []events{{policyOf("PutKeyPolicy", ownAccount)}}, misses: []events{{policyOf("PutKeyPolicy", ownAccount, "userIdentity", byService)}, {policyOf("PutKeyPolicy", ownAccount, "errorCode", refusedCall)}, {made("GetKeyPolicy")}},
		note: "a policy that opens the key, or locks its owner out, is found by policy_public and policy_lockout_check_bypassed instead, which weigh more"},
	{peer: "elastic impact_kms_imported_key_material_deleted", asks: "imported key material deleted by anybody but a service", ours: []string{"key_material_deleted"}, hits: []events{materialDeleted}, misses: otherMaterial,
		note: "its expiry is found too: the data cannot be read either"},
	{peer: "elastic impact_s3_object_encryption_with_external_key", asks: "CopyObject under another account's key", ours: []string{"sigma/foreign_key_for_s3"}, hits: []events{foreignUpload}, misses: ownUpload,
		note: "events of Amazon S3 are not taken; the copy is seen where it asks KMS for its data key. By a list of your accounts: keys in another of the owner's accounts are common, so it is not an always-on rule"},
	{peer: "elastic credential_access_retrieve_secure_string_parameters_via_ssm", asks: "a user decrypts SecureString parameters for the first time", ours: []string{"first_use"},
		hits: []events{history(parameterOf(mallory))}, misses: []events{history(parameterOf(role("app")))},
		note: "only the Decrypt that SSM's GetParameter causes is seen; a first use counts on a key that others have used for a day, with further evidence such as a person"},
	{peer: "elastic defense_evasion_cloudtrail_management_events_disabled_via_eventselectors", asks: "a trail without management events", ours: []string{"management_events_off"}, hits: []events{selectors("false")}, misses: []events{selectors("true")},
		note: "advanced selectors too; kms_events_excluded finds trails that leave out KMS alone"},
	{peer: "elastic lateral_movement_k8_assumed_web_identity_session_with_multi_phase_api_use", asks: "a web identity's session that uses three sensitive actions of several services", ours: []string{"first_use"},
		hits: []events{history(webIdentity("pod", "DescribeKey"), webIdentity("pod", "Decrypt"))}, misses: []events{history(webIdentity("app", "DescribeKey"), webIdentity("app", "Decrypt"))},
		note: "events of STS and of other services are not taken; of such a session its first use of a key is seen, which it asked about before"},
	{peer: "elastic discovery_multiple_discovery_api_calls_via_cli", asks: "many discovery calls of one user in a short time", ours: []string{"key_enumeration"}, hits: []events{asking(20)}, misses: []events{asking(3), burst(120, "DescribeKey")},
		note: "calls of KMS only, by the number of keys that they ask about"},
	{peer: "elastic discovery_new_terms_vpn_asn_discovery_api_calls", asks: "discovery calls from a network that is new for the user", ours: []string{"new_origin", "sigma/call_from_unexpected_network"},
		hits:   []events{elsewhere(`"198.51.100.9"`, `"python-requests/2.32"`), {made("ListKeys", "resources", "", "sourceIPAddress", `"198.51.100.9"`)}},
		misses: []events{elsewhere(`"203.0.113.9"`, `"python-requests/2.32"`), {made("ListKeys", "resources", "")}, {made("Decrypt", "sourceIPAddress", `"AWS Internal"`)}},
		note:   "by the network's address, not its owner; learned only together with a new program, or else by a list of your networks"},
	{peer: "elastic ml_cloudtrail_error_message_spike", asks: "far more errors than usual", ours: []string{"refusals", "key_probing"}, hits: []events{denied(30, 1), denied(8, 5)}, misses: []events{denied(3, 1), {made("Decrypt")}},
		note: "refusals only, by their number and the number of keys; windows count other failures"},
	{peer: "elastic ml_cloudtrail_rare_method_by_user", asks: "a call that a user does not usually make", ours: []string{"first_use"}, hits: []events{history(parameterOf(mallory))}, misses: []events{history(parameterOf(role("app")))},
		note: "by key and principal, not by operation"},
	{peer: "elastic ml_cloudtrail_rare_method_by_city", asks: "a call from a city where this operation is unusual", ours: []string{"sigma/call_from_unexpected_network"},
		hits: []events{{made("Decrypt", "sourceIPAddress", `"198.51.100.9"`)}}, misses: []events{{made("Decrypt")}}, note: "by a list of your networks, as there is no database of places"},
	{peer: "elastic ml_cloudtrail_rare_method_by_country", asks: "the same by country", ours: []string{"sigma/call_from_unexpected_network"},
		hits: []events{{made("Decrypt", "sourceIPAddress", `"2001:db9::1"`)}}, misses: []events{{made("Decrypt", "sourceIPAddress", `"2001:db8::1"`)}}, note: "as before"},
	{peer: "panther aws_kms_cmk_loss", asks: "key disabled, or its deletion scheduled", ours: []string{"key_disabled", "key_deletion_scheduled"}, hits: []events{disabled, scheduled}, misses: kept, note: "its labelled records are scanned too"},
	{peer: "panther aws_s3_copy_object_cross_account_kms", asks: "CopyObject under another account's key", ours: []string{"sigma/foreign_key_for_s3"}, hits: []events{foreignUpload}, misses: ownUpload, note: "as above; its labelled records are of Amazon S3 and not taken"},
	{peer: "panther aws_resource_made_public", asks: "a key policy open to everybody", ours: []string{"policy_public"}, hits: []events{{policyOf("PutKeyPolicy", everybody)}, {policyOf("CreateKey", everybody)}}, misses: closed, note: "its labelled records are scanned too"},
	{peer: "panther aws_vpce_sensitive_api_calls", asks: "sensitive calls through a VPC endpoint", ours: []string{"sigma/sensitive_call_through_vpc_endpoint"},
		hits: []events{{made("Decrypt", "vpcEndpointId", `"vpce-0bbbbbbbbbbbbbbbb"`)}, {made("CreateKey", "vpcEndpointId", `"vpce-0bbbbbbbbbbbbbbbb"`)},
			{made("Decrypt", "eventType", `"AwsVpceEvent"`, "errorCode", `"VpceAccessDenied"`, "vpcEndpointId", `"vpce-0bbbbbbbbbbbbbbbb"`)}},
		misses: []events{{made("Decrypt")}, {made("CreateKey", "eventType", `"AwsVpceEvent"`, "vpcEndpointId", `"vpce-0bbbbbbbbbbbbbbbb"`)}, {made("Decrypt", "vpcEndpointId", `"vpce-0aaaaaaaaaaaaaaaa"`)}, {made("DescribeKey", "vpcEndpointId", `"vpce-0bbbbbbbbbbbbbbbb"`)}},
		note:   "by a list of the endpoints that may; private networks make all their calls that way, so it is not an always-on rule; by management events, and those network activity events that have none beside them"},
	{peer: "panther aws_ssm_decrypt_ssm_params", asks: "many SSM parameters decrypted by one principal", ours: []string{"secret_sweep"}, hits: []events{parameters(42)}, misses: []events{parameters(5)},
		note: "by the different parameters in the encryption contexts of Decrypt, 15 in five minutes"},
	{peer: "panther aws_cloudtrail_event_selectors_disabled", asks: "a trail without management events", ours: []string{"management_events_off"}, hits: []events{selectors("false")}, misses: []events{selectors("true")}, note: "its labelled records are scanned too"},
	{peer: "panther decoy_secret_accessed", asks: "a decoy is decrypted", ours: []string{"sigma/decoy_key"}, hits: []events{{made("Decrypt", "resources", decoy)}, {made("Decrypt", "resources", decoy, "errorCode", refusedCall)}}, misses: []events{{made("Decrypt")}, {made("DescribeKey", "resources", decoy)}},
		note: "by the decoy's key itself, not by a finding of Security Hub"},
	{peer: "panther policy: CMK rotation", asks: "keys that do not rotate", ours: []string{"rotation_disabled"}, hits: []events{{made("DisableKeyRotation", "requestParameters", `{"keyId":"a"}`)}}, misses: []events{{made("EnableKeyRotation", "requestParameters", `{"keyId":"a"}`)}, {made("DisableKeyRotation", "errorCode", refusedCall)}},
		note: "the change; a trail does not show how keys are configured"},
	{peer: "panther policy: key policy restricts usage", asks: "key policies that let everybody in", ours: []string{"policy_public"}, hits: []events{{policyOf("PutKeyPolicy", everybody)}}, misses: closed, note: "the change, as before"},
	{peer: "splunk aws_detect_users_creating_keys_with_encrypt_policy_without_mfa", asks: "a key policy with kms:Encrypt for everybody", ours: []string{"policy_public"}, hits: []events{{policyOf("CreateKey", everyEncrypt)}, {policyOf("PutKeyPolicy", everyEncrypt)}}, misses: closed,
		note: "with or without MFA"},
	{peer: "splunk aws_detect_users_with_kms_keys_performing_encryption_s3", asks: "users who encrypt objects in S3 with KMS keys", ours: []string{"rate", "sigma/foreign_key_for_s3"}, hits: []events{uploads(150), foreignUpload}, misses: []events{uploads(3)},
		note: "by number compared with the usual one, and by the owner of the key"},
	{peer: "chronicle aws_kms_key_disabled_or_scheduled_for_deletion", asks: "key disabled, or its deletion scheduled", ours: []string{"key_disabled", "key_deletion_scheduled"}, hits: []events{disabled, scheduled}, misses: kept},
	{peer: "turbot KMS Key Deletion Scheduled", asks: "deletion of a key scheduled", ours: []string{"key_deletion_scheduled"}, hits: []events{scheduled}, misses: kept},
	{peer: "streamalert cloudtrail_public_resources", asks: "a key policy open to everybody", ours: []string{"policy_public"}, hits: []events{{policyOf("PutKeyPolicy", everybody)}, {policyOf("CreateKey", everybody)}}, misses: closed},
	{peer: "prowler kms_key_enclave (6)", asks: "keys whose policies do not ask for a Nitro enclave's attestation", ours: []string{"enclave_in_debug_mode"}, hits: []events{enclave(strings.Repeat("0", 96))}, misses: []events{enclave(strings.Repeat("0", 95) + "1"), {made("Decrypt")}},
		note: "a trail does not contain the configuration of keys, but the attestation of a use"},
	{peer: "prowler cloudwatch_log_metric_filter_disable_or_scheduled_deletion_of_kms_cmk", asks: "whether an alarm for disabled and deleted keys is set up", ours: []string{"key_disabled", "key_deletion_scheduled"}, hits: []events{disabled, scheduled}, misses: kept, note: "the alarm itself"},
	{peer: "traildiscover PutKeyPolicy, ScheduleKeyDeletion", asks: "operations that attackers use", ours: []string{"policy_changed", "key_deletion_scheduled"}, hits: []events{{policyOf("PutKeyPolicy", ownAccount)}, scheduled}, misses: kept},
	{peer: "traildiscover Encrypt, GenerateDataKeyWithoutPlaintext, DescribeKey", asks: "operations that attackers use, and everybody else", ours: []string{"rate", "key_enumeration"}, hits: []events{burst(120, "Encrypt"), burst(120, "GenerateDataKeyWithoutPlaintext"), asking(20)}, misses: []events{burst(3, "Encrypt"), burst(3, "DescribeKey")},
		note: "uses by their number and hour, reads by the number of keys"},
	{peer: "elastic impact_cloudtrail_logging_updated", asks: "settings of a trail changed", ours: []string{"trail_moved", "trail_narrowed"},
		hits:   []events{{trailCall("UpdateTrail", `{"name":"main","s3BucketName":"elsewhere"}`)}, {trailCall("UpdateTrail", `{"name":"main","isMultiRegionTrail":false}`)}},
		misses: []events{{trailCall("UpdateTrail", `{"name":"main","enableLogFileValidation":true}`)}, {trailCall("UpdateTrail", `{"name":"main","s3BucketName":"elsewhere"}`, "errorCode", refusedCall)}},
		note:   "changes that take events away"},
	{peer: "sigma aws_cloudtrail_disable_logging", asks: "logging stopped, or a trail changed or deleted", ours: []string{"logging_stopped", "trail_deleted", "trail_moved"},
		hits:   []events{{trailCall("StopLogging", `{"name":"main"}`)}, {trailCall("DeleteTrail", `{"name":"main"}`)}, {trailCall("UpdateTrail", `{"name":"main","s3BucketName":"elsewhere"}`)}},
		misses: []events{{trailCall("StartLogging", `{"name":"main"}`)}, {trailCall("CreateTrail", `{"name":"main","s3BucketName":"logs"}`)}}},
	{peer: "prowler kms_cmk_not_multi_region", asks: "keys that exist in several Regions", ours: []string{"key_replicated"},
		hits: []events{{made("ReplicateKey", "requestParameters", `{"keyId":"a","replicaRegion":"eu-west-1"}`)}}, misses: []events{{made("UpdatePrimaryRegion", "requestParameters", `{"keyId":"a","primaryRegion":"eu-west-1"}`)}, {made("ReplicateKey", "errorCode", refusedCall)}},
		note: "the change; a trail does not show how keys are configured"},
	{peer: "prowler cloudtrail_threat_detection_enumeration", asks: "principals with many enumerating calls", ours: []string{"key_enumeration"}, hits: []events{asking(20)}, misses: []events{asking(3)}, note: "calls of KMS only, in five minutes"},
	{peer: "aws KMS guide: external and custom key stores", asks: "key material outside AWS, or in a custom store", ours: []string{"external_key_store", "custom_key_store"},
		hits:   []events{{made("CreateCustomKeyStore", "resources", "", "requestParameters", `{"customKeyStoreName":"x","customKeyStoreType":"EXTERNAL_KEY_STORE"}`)}, {made("DisconnectCustomKeyStore", "resources", "", "requestParameters", `{"customKeyStoreId":"cks-1"}`)}},
		misses: []events{{made("DescribeCustomKeyStores", "resources", "")}, {made("CreateKey", "requestParameters", `{"origin":"AWS_KMS"}`)}}, note: "the guide recommends to watch these operations"},
	{peer: "aws KMS guide: imported key material", asks: "keys whose material comes from outside", ours: []string{"key_without_material", "key_material_imported"},
		hits: []events{{made("CreateKey", "requestParameters", `{"origin":"EXTERNAL"}`)}, {made("ImportKeyMaterial", "requestParameters", `{"keyId":"a","importType":"NEW_KEY_MATERIAL"}`)}}, misses: otherMaterial[:1]},
	{peer: "aws KMS guide: control access to aliases", asks: "an alias that names another key from now on", ours: []string{"alias_moved"},
		hits: []events{{made("UpdateAlias", "requestParameters", `{"aliasName":"alias/app","targetKeyId":"a"}`)}}, misses: []events{{made("CreateAlias", "requestParameters", `{"aliasName":"alias/app","targetKeyId":"a"}`)}, {made("UpdateAlias", "errorCode", refusedCall)}}},
	{peer: "aws IAM Access Analyzer: KMS key shared outside", asks: "a key policy or a grant for another account", ours: []string{"policy_for_other_account", "grant_to_other_account"},
		hits: []events{{policyOf("PutKeyPolicy", fmt.Sprintf(allow, `{"AWS":"arn:aws:iam::444455556666:root"}`, "kms:Decrypt", ""))},
			{made("CreateGrant", "requestParameters", `{"keyId":"a","granteePrincipal":"arn:aws:iam::444455556666:role/r","operations":["Decrypt"]}`)}},
		misses: closed, note: "the change, with the account's name"},
	{peer: "aws KMS guide: grants for services", asks: "a grant to a service without the source that it is for", ours: []string{"service_grant_without_source"},
		hits:   []events{{made("CreateGrant", "requestParameters", `{"keyId":"a","granteePrincipal":"ec2.amazonaws.com","operations":["Decrypt"]}`)}},
		misses: []events{{made("CreateGrant", "requestParameters", `{"keyId":"a","granteePrincipal":"ec2.amazonaws.com","operations":["Decrypt"],"constraints":{"sourceArn":"arn:aws:ec2:eu-central-1:111122223333:volume/v"}}`)}}},
	{peer: "aws KMS guide: key rotation", asks: "rotation turned off, or with another period", ours: []string{"rotation_changed", "rotation_disabled"},
		hits: []events{{made("EnableKeyRotation", "requestParameters", `{"keyId":"a","rotationPeriodInDays":2560}`)}, {made("DisableKeyRotation")}}, misses: []events{{made("EnableKeyRotation", "requestParameters", `{"keyId":"a"}`)}}},
	{peer: "aws security guide: ransom by encryption in Amazon S3", asks: "objects written under the key of an account that was never used", ours: []string{"foreign_write"},
		hits:   []events{history(upload(keyARN("444455556666", 1), later(0), "a")), history(made("ReEncrypt", "eventTime", later(0), "requestParameters", `{"destinationKeyId":"`+keyARN("444455556666", 1)+`"}`, "resources", `[{"type":"AWS::KMS::Key","ARN":"`+ownKey+`"},{"type":"AWS::KMS::Key","ARN":"`+keyARN("444455556666", 1)+`"}]`))},
		misses: []events{history(upload(ownKey, later(0), "a")), history(made("Decrypt", "eventTime", later(0), "resources", resources(keyARN("444455556666", 1)))), foreignUpload}, note: "also where no list of accounts is kept"},
	{peer: "chronicle gcp_kms_decryption_by_unexpected_service_account", asks: "Decrypt outside an allow-list, in another cloud", ours: []string{"sigma/decrypt_by_unexpected_principal"}, hits: []events{{made("Decrypt", "userIdentity", role("stranger"))}}, misses: []events{{made("Decrypt")}, {made("Encrypt", "userIdentity", role("stranger"))}}},
	{peer: "chronicle gcp_multiple_kms_keys_disabled_or_destroyed", asks: "ten keys destroyed by one user in an hour, in another cloud", ours: []string{"mass_destruction", "key_deletion_scheduled"},
		hits: []events{several(10, func(i int, at string) string {
			return made("ScheduleKeyDeletion", "eventTime", at, "resources", resources(keyARN(account, i)))
		})},
		misses: kept, note: "from three on, and each of them"},

	{peer: "elastic ml_cloudtrail_rare_error_code", asks: "an error code that is rare", why: "failures are counted in windows, refusals apart from others, but not learned by their codes"},
	{peer: "traildiscover CreateKey", asks: "a key created", why: "a new key changes nothing by itself; its policy is judged (policy_public), and it is in the counts of its principal"},
	{peer: "wazuh 80490 to 80494", asks: "any event of KMS, at a low level, except those of AWS itself", why: "not a detection: every event is a counted log record, and keytrail.via marks those of services"},
	{peer: "18F kms_log and kms_keymaker", asks: "a Decrypt that the application's own log does not know", why: "it needs that log"},
}
