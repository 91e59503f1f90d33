package oracle

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// object is a decoded JSON object.
type object map[string]any

// text returns the string under name, the digits of a number, or "".
func (o object) text(name string) string {
	switch v := o[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// object returns the object under name, or an empty one.
func (o object) object(name string) object {
	m, _ := o[name].(map[string]any)
	return m
}

// trailChanges are the calls to CloudTrail that change what is recorded.
var trailChanges = []string{
	"PutEventSelectors", "PutInsightSelectors",
	"CreateTrail", "UpdateTrail", "DeleteTrail", "StartLogging", "StopLogging",
	"UpdateEventDataStore", "DeleteEventDataStore", "RestoreEventDataStore",
	"StartEventDataStoreIngestion", "StopEventDataStoreIngestion",
}

// isTrailChange reports whether a call to cloudtrail.amazonaws.com counts.
func isTrailChange(event object) bool {
	return event.text("eventSource") == "cloudtrail.amazonaws.com" &&
		slices.Contains(trailChanges, event.text("eventName"))
}

// inScope reports whether the record is one that Keytrail counts.
func inScope(event object) bool {
	category, kind := event.text("eventCategory"), event.text("eventType")
	if category == "Insight" || category == "Aggregated" || kind == "AwsCloudTrailInsight" ||
		kind == "AwsAggregatedEvent" {
		return false
	}
	if (category == "NetworkActivity" || kind == "AwsVpceEvent") && event.text("errorCode") != "VpceAccessDenied" {
		return false
	}
	return event.text("eventSource") == "kms.amazonaws.com" || isTrailChange(event)
}

// classes lists the operations of each class. An unlisted name is "read" if it begins
// with Describe, Get or List, and "manage" otherwise.
var classes = map[string][]string{
	"decrypt":  {"Decrypt"},
	"encrypt":  {"Encrypt"},
	"generate": {"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"},
	"reencrypt": {
		"ReEncrypt", "ReEncryptFrom", "ReEncryptTo",
	},
	"sign":   {"Sign"},
	"verify": {"Verify", "VerifyMac"},
	"mac":    {"GenerateMac"},
	"random": {"GenerateRandom"},
	"derive": {"DeriveSharedSecret"},
	"grant":  {"CreateGrant", "RetireGrant", "RevokeGrant"},
	"destroy": {
		"DisableKey", "ScheduleKeyDeletion", "DeleteKey", "DeleteImportedKeyMaterial", "DeleteExpiredKeyMaterial",
		"DeleteAlias", "DeleteCustomKeyStore", "DisconnectCustomKeyStore",
	},
	"policy":    {"PutKeyPolicy"},
	"rotate":    {"RotateKey", "RotateKeyOnDemand", "EnableKeyRotation", "DisableKeyRotation"},
	"replicate": {"ReplicateKey", "SynchronizeMultiRegionKey", "UpdatePrimaryRegion"},
}

// classOf returns the operation class of an event in scope.
func classOf(event object) string {
	if isTrailChange(event) {
		return "trail"
	}
	name := event.text("eventName")
	for class, names := range classes {
		if slices.Contains(names, name) {
			return class
		}
	}
	for _, prefix := range []string{"Describe", "Get", "List"} {
		if strings.HasPrefix(name, prefix) {
			return "read"
		}
	}
	return "manage"
}

// outcomeOf reports whether the call was refused, and whether it failed otherwise.
func outcomeOf(event object) (denied, failed bool) {
	code := event.text("errorCode")
	if code == "" {
		return false, event.text("errorMessage") != ""
	}
	denied = code == "UnauthorizedOperation" || code == "Client.UnauthorizedOperation" ||
		strings.HasSuffix(code, "AccessDenied") || strings.HasSuffix(code, "AccessDeniedException")
	return denied, !denied
}

// partitions are the AWS partitions by the prefix of their regions.
var partitions = map[string]string{
	"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc",
	"us-iso-": "aws-iso", "us-isob-": "aws-iso-b", "us-isof-": "aws-iso-f", "eu-isoe-": "aws-iso-e",
}

// partitionOf returns the AWS partition of the event's region.
func partitionOf(event object) string {
	for prefix, partition := range partitions {
		if strings.HasPrefix(event.text("awsRegion"), prefix) {
			return partition
		}
	}
	return "aws"
}

// complete turns a key identifier of a request into an ARN; "" stays "".
func complete(event object, id string) string {
	id = strings.TrimSpace(id)
	account := event.text("recipientAccountId")
	if account == "" {
		account = event.object("userIdentity").text("accountId")
	}
	prefix := "arn:" + partitionOf(event) + ":kms:" + event.text("awsRegion") + ":" + account + ":"
	switch {
	case id == "":
		return ""
	case strings.HasPrefix(id, "alias/"):
		return prefix + id
	case !strings.ContainsAny(id, ":/"):
		return prefix + "key/" + id
	}
	return id
}

// listedARNs returns the ARNs of resources[], in order.
func listedARNs(event object) []string {
	var found []string
	list, _ := event["resources"].([]any)
	for _, item := range list {
		m, _ := item.(map[string]any)
		arn := object(m).text("ARN")
		if arn == "" {
			arn = object(m).text("arn")
		}
		found = append(found, strings.TrimSpace(arn))
	}
	return found
}

// targets returns the distinct ARNs of resources[] that contain part, in order.
func targets(event object, part string) []string {
	var found []string
	for _, arn := range listedARNs(event) {
		if strings.Contains(arn, part) && !slices.Contains(found, arn) {
			found = append(found, arn)
		}
	}
	return found
}

// keysOf returns the KMS keys that the event counts for: one, or two for ReEncrypt.
func keysOf(event object) []string {
	if isTrailChange(event) {
		return []string{"-"}
	}
	if classOf(event) == "reencrypt" {
		return bothKeysOf(event)
	}
	if inResources := targets(event, ":key/"); len(inResources) > 0 {
		return inResources[:1]
	}
	request, response := event.object("requestParameters"), event.object("responseElements")
	candidates := []string{
		response.text("keyId"),
		response.object("keyMetadata").text("arn"),
		event.object("serviceEventDetails").text("keyId"),
		event.object("additionalEventData").text("keyId"),
		request.text("keyId"),
		request.text("targetKeyId"),
	}
	for _, id := range candidates {
		if key := complete(event, id); key != "" {
			return []string{key}
		}
	}
	if aliases := targets(event, ":alias/"); len(aliases) > 0 {
		return aliases[:1]
	}
	if alias := complete(event, request.text("aliasName")); alias != "" {
		return []string{alias}
	}
	return []string{"-"}
}

// isWhole reports whether a ReEncrypt's record shows that its two keys are the same.
func isWhole(event object) bool {
	request, listed := event.object("requestParameters"), 0
	for _, arn := range listedARNs(event) {
		if strings.Contains(arn, ":key/") {
			listed++
		}
	}
	named := strings.TrimSpace(request.text("sourceKeyId")) != "" &&
		strings.TrimSpace(request.text("destinationKeyId")) != ""
	return len(keysOf(event)) == 1 && (listed > 1 || named)
}

// bothKeysOf returns the source and the destination key of a ReEncrypt, or the known one.
func bothKeysOf(event object) []string {
	request := event.object("requestParameters")
	source, destination := complete(event, request.text("sourceKeyId")), complete(event, request.text("destinationKeyId"))
	listed := 0
	for _, arn := range listedARNs(event) {
		if strings.Contains(arn, ":key/") {
			listed++
		}
	}
	switch distinct := targets(event, ":key/"); {
	case len(distinct) >= 2 && distinct[0] != destination:
		source, destination = distinct[0], distinct[1]
	case len(distinct) >= 2:
		source = distinct[1]
	case len(distinct) == 0 || distinct[0] == destination:
	case destination == "" && strings.Contains(source, ":key/"):
		destination = distinct[0]
	case listed > 1 && !strings.Contains(destination, ":key/"):
		source, destination = distinct[0], ""
	default:
		source = distinct[0]
	}
	keys := []string{}
	for _, key := range []string{source, destination} {
		if key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return []string{"-"}
	}
	return keys
}

// assumedRole extracts partition, account and role name from a session's ARN, or from the
// form for all sessions of the role in policies.
var assumedRole = regexp.MustCompile(`^arn:([^:]*):sts::([^:]+):assumed-role/([^/]+)(/.*)?$`)

// roleOfSession returns the role of a session's ARN, or "".
func roleOfSession(arn string) string {
	if m := assumedRole.FindStringSubmatch(arn); m != nil {
		return "arn:" + m[1] + ":iam::" + m[2] + ":role/" + m[3]
	}
	return ""
}

// principalOf returns the principal that the event is credited to.
func principalOf(event object) string {
	id := event.object("userIdentity")
	kind, arn, account, invokedBy := id.text("type"), id.text("arn"), id.text("accountId"), id.text("invokedBy")
	issuer := id.object("sessionContext").object("sessionIssuer").text("arn")
	name := ""
	switch session := roleOfSession(arn); {
	case session == "" && kind != "AssumedRole":
	case strings.Contains(issuer, ":iam::") && strings.Contains(issuer, ":role/"):
		name = issuer
	default:
		name = cmp.Or(roleOfSession(issuer), session, issuer)
	}
	switch {
	case name != "":
	case kind == "Root" && account != "":
		name = "arn:" + partitionOf(event) + ":iam::" + account + ":root"
	case kind == "AWSService", kind == "" && arn == "":
		name = invokedBy
	case kind == "AWSAccount" && account != "":
		name = "account:" + account
	}
	behalf := id.object("onBehalfOf").text("userId")
	switch {
	case name != "":
		return name
	case arn != "":
		return arn
	case kind == "IdentityCenterUser" && behalf != "":
		return "identitycenter:" + behalf
	case id.text("principalId") != "":
		return id.text("principalId")
	case invokedBy != "":
		return invokedBy
	case account != "":
		return "account:" + account
	}
	return "-"
}

// The two forms of eventTime. time.Parse alone accepts more than RFC 3339.
var (
	rfc3339 = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$`)
	spaced  = regexp.MustCompile(`^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d+)?$`)
)

// timeOf returns the event time, or false if eventTime is not a time.
func timeOf(event object) (time.Time, bool) {
	s := event.text("eventTime")
	if spaced.MatchString(s) {
		s = strings.Replace(s, " ", "T", 1) + "Z"
	}
	if !rfc3339.MatchString(s) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	year := t.UTC().Year()
	return t, err == nil && year >= 1970 && year < 2262 && t.After(time.Unix(0, 0))
}
