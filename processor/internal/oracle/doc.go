// Package oracle is the reference implementation of Keytrail's counting: a deliberately
// plain program that reads CloudTrail events into maps, sorts them, and counts. It shares
// no code with the path that it judges: it imports only the standard library, decodes
// with encoding/json, and has no stream, watermark or state. For any order of arrival,
// any duplicates and any number of instances, the final windows of the counting path
// equal its result.
//
// # Limits
//
// It works offline and in memory: one inflated file (at most MaxFileBytes) and a small
// struct per distinct call, about 1 KiB. Ten million calls need 10 GiB; it is made for
// tests and for spot checks of a day. A file that is neither JSON nor NDJSON as a whole
// is an error: it does not recover records from a broken file.
//
// # Envelopes
//
// A text is one JSON document or NDJSON (one document a line). A document is
//   - an object with an array "Records": every element is a record;
//   - an array: every element is a document of one of the other shapes;
//   - an object with "detail-type" and an object "detail" (EventBridge): the detail is
//     the record, unless it has no eventVersion (a service event): then its shape is
//     unknown;
//   - an object with an object "log" (Panther, Fluent Bit): that is the record;
//   - an object with eventVersion, eventSource or eventName: the record itself;
//   - the answer of a query (CloudWatch Logs Insights, CloudTrail Lake, Splunk,
//     Elasticsearch): its part of the original event (inside in shapes.go);
//   - a string: the JSON in it is a document;
//   - anything else is of unknown shape.
//
// The first two bytes identify gzip, also inside gzip; a byte order mark or zeros
// identify UTF-16. In a text of lines a time may precede the JSON. CSV is not read.
//
// # Records that count
//
// Received = Counted + Duplicates + Filtered + Bad. Bad are: records that encoding/json
// refuses or that are not UTF-8, that have one name twice in one object (after
// unescaping), that are not objects, documents of unknown shape, and events of the two
// services below whose eventTime is not a time after the first moment of 1970 and before
// 2262. Filtered are all records except those with eventSource kms.amazonaws.com and the
// trail changes of cloudtrail.amazonaws.com (see trailChanges in rules.go). Also filtered
// are, of these, the categories Insight and Aggregated (or eventType
// AwsCloudTrailInsight, AwsAggregatedEvent), and of the category NetworkActivity (or
// eventType AwsVpceEvent) all without the errorCode VpceAccessDenied: those accompany a
// management event of the same call.
//
// A string is a JSON string or the digits of a JSON number; everything else,
// like absence, is the empty string. Only key identifiers are trimmed of spaces.
//
// # The call
//
// The id is sharedEventID, else addendum.originalEventID, else eventID, else the SHA-256
// of the record's bytes; case does not matter. A call counts once, by one of its copies:
// a caller's copy (no sharedEventID, or recipientAccountId equal to
// userIdentity.accountId, or one of the two absent) before an owner's copy before an
// addendum; among equals the earliest eventTime, then the smallest eventID (bytewise),
// then the smallest CRC-32C of the record's bytes.
//
// # The KMS keys
//
// A trail change has the key "-". Otherwise the first of these that is not empty:
//
//  1. the first ARN in resources[] (ARN or arn) with ":key/";
//  2. responseElements.keyId, responseElements.keyMetadata.arn,
//     serviceEventDetails.keyId, additionalEventData.keyId,
//     requestParameters.keyId, requestParameters.targetKeyId;
//  3. the first ARN in resources[] with ":alias/", else
//     requestParameters.aliasName;
//  4. "-".
//
// A value of 2 or 3 without ":" and "/" is completed to
// arn:<partition>:kms:<awsRegion>:<account>:key/<value>, and "alias/x" to
// arn:<partition>:kms:<awsRegion>:<account>:alias/x, where account is
// recipientAccountId, else userIdentity.accountId (a missing part stays empty),
// and partition is that of the region (partitions in rules.go), else aws.
//
// ReEncrypt (and ReEncryptFrom, ReEncryptTo) has two keys, a source and a destination:
// the first two distinct ":key/" ARNs of resources[], or in the other order if the first
// is the completed destinationKeyId. If fewer are listed, sourceKeyId and
// destinationKeyId, completed, fill the remaining places. One listed key is the
// destination if it equals destinationKeyId, or if that is missing and sourceKeyId names
// a key; it is both if it is listed more than once and destinationKeyId names no key;
// else it is the source. Such a call counts once for each distinct key and each pair, and
// once for the principal; without any key for "-". If the copies of a call show more key
// ARNs than the counted one, those count as well, the better copies first and up to two,
// unless the counted one lists or names one key twice, or is a caller's copy without a
// sharedEventID. A key ARN replaces an alias of the counted copy, the first one first.
//
// # Bindings of names
//
// Every record of kms.amazonaws.com that counts, or is a further copy of a call, may show
// what a name refers to at its eventTime:
//   - an alias refers to the record's key, if that contains ":key/". The alias is
//     requestParameters.aliasName, else a keyId or sourceKeyId that is an alias
//     ("alias/x" or with ":alias/"), else, not for ReEncrypt, the first ARN of
//     resources[] with ":alias/"; "alias/x" is replaced by the ARN in resources[] that
//     ends in ":alias/x", else by responseElements.aliasArn, else completed. An alias in
//     destinationKeyId of ReEncrypt refers to the second key.
//   - CreateAlias, UpdateAlias and DeleteAlias show that only if they succeed; after
//     DeleteAlias the alias refers to nothing.
//   - a key with ":key/mrk-" refers to its primary key: the
//     multiRegionConfiguration.primaryKey.arn in responseElements.keyMetadata or
//     .replicaKeyMetadata; after a successful ReplicateKey else the key itself; after a
//     successful UpdatePrimaryRegion the same ARN in region
//     requestParameters.primaryRegion. The replica that ReplicateKey created
//     (replicaKeyMetadata.arn, else the ARN in requestParameters.replicaRegion) refers to
//     the same primary.
//
// At the end of a window a name refers to what the latest such record before that end
// shows, among equal times the greatest ARN (nothing is the smallest). A name is
// forgotten if, from the start of one window to the start of the next, no record counted
// for it or showed its binding for longer than Retention; it then refers to nothing until
// shown again. Counts stay with the name.
//
// # The principal
//
// A session is an identity of type AssumedRole, and one of any type whose arn is
// arn:P:sts::A:assumed-role/NAME/SESSION. Its principal is
// sessionContext.sessionIssuer.arn where that is a role's, else arn:P:iam::A:role/NAME
// made of the issuer or the arn where they are of that form, else the issuer. Root:
// arn:<partition>:iam::<accountId>:root.
// AWSService, and no type with invokedBy and without arn: invokedBy. AWSAccount:
// "account:<accountId>". When that gives nothing, and for every other type: arn,
// else for IdentityCenterUser "identitycenter:<onBehalfOf.userId>", else
// principalId, else invokedBy, else "account:<accountId>", else "-".
//
// # Outcome and class
//
// errorCode and errorMessage empty: neither. Refused ("denied"): AccessDenied,
// AccessDeniedException, UnauthorizedOperation, Client.UnauthorizedOperation and any code
// that ends in AccessDenied or AccessDeniedException. Every other errorCode, and an
// errorMessage without an errorCode: failed. Both count as calls. The table in rules.go
// gives the class of an operation. A trail change is not a KMS call: in a window it
// counts in its class only, neither as a call nor as refused or failed.
//
// # Windows
//
// Tumbling, [start, end), aligned to the Unix epoch, in event time. eventTime is
// RFC 3339, with or without a fraction, or "2006-01-02 15:04:05" with or without a
// fraction, in UTC. Every call, and every trail change, counts in three scopes: its key,
// its principal, and the pair. The key "-" counts like any other.
//
// Sources: DESIGN.md, "Decode", "Identities" and "Counting"; AWS CloudTrail user
// guide, "CloudTrail record contents" and "userIdentity element"; AWS KMS
// developer guide, "Logging AWS KMS API calls with AWS CloudTrail".
package oracle
