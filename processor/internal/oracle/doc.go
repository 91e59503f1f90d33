// Package oracle is the judge of Keytrail's counting: a deliberately plain
// program that reads CloudTrail events into maps, sorts them, and counts. It
// shares no code with the path that it judges: it imports the standard library
// only, decodes with encoding/json, and knows no stream, no watermark and no
// state. For any order of arrival, any duplicates and any number of instances,
// the final windows of the counting path equal what this package says.
//
// # Limits
//
// Offline and in memory: one inflated file (at most MaxFileBytes) and one small
// struct for each distinct call, about 1 KiB. A judge of ten million calls needs
// 10 GiB; it is made for tests and for spot checks of a day. A file that is
// neither JSON nor NDJSON as a whole is an error: the judge does not recover
// records from a broken file.
//
// # Envelopes
//
// A text is one JSON document or NDJSON (one document a line). A document is
//   - an object with an array "Records": every element is a record;
//   - an array: every element is a document of one of the other shapes;
//   - an object with "detail-type" and an object "detail" (EventBridge): the
//     detail is the record, unless it has no eventVersion (an event of a service
//     itself): then it is of unknown shape;
//   - an object with an object "log" (Panther, Fluent Bit): that is the record;
//   - an object with eventVersion, eventSource or eventName: the record itself;
//   - anything else is of unknown shape.
//
// Gzip is told by its first two bytes.
//
// # Which records count
//
// Received = Counted + Duplicates + Filtered + Bad. Bad are: records that
// encoding/json refuses or that are not UTF-8, that have one name twice in one
// object (after unescaping), that are no object, documents of unknown shape, and
// events of the two services below whose eventTime is no time. Filtered are all
// records but those with eventSource kms.amazonaws.com and the trail changes of
// cloudtrail.amazonaws.com (see trailChanges in rules.go).
//
// A string is a JSON string or the digits of a JSON number; everything else,
// like absence, is the empty string. Only key identifiers are trimmed of spaces.
//
// # The call
//
// The id is sharedEventID, else addendum.originalEventID, else eventID, else the
// SHA-256 of the record's bytes; case does not matter. A call counts once. Of its
// copies one is counted: a caller's copy (no sharedEventID, or recipientAccountId
// equal to userIdentity.accountId, or one of the two absent) before an owner's
// copy before an addendum; among equals the earliest eventTime, then the smallest
// eventID (bytewise), then the smallest CRC-32C of the record's bytes.
//
// # The KMS keys
//
// A trail change has the key "-". Otherwise the first of these that is not empty:
//
//  1. the first ARN in resources[] (ARN or arn) with ":key/";
//  2. responseElements.keyId, responseElements.keyMetadata.arn,
//     serviceEventDetails.keyId, requestParameters.keyId,
//     requestParameters.targetKeyId;
//  3. the first ARN in resources[] with ":alias/";
//  4. "-".
//
// A value of 2 without ":" and "/" is completed to
// arn:<partition>:kms:<awsRegion>:<account>:key/<value>, and "alias/x" to
// arn:<partition>:kms:<awsRegion>:<account>:alias/x, where account is
// recipientAccountId, else userIdentity.accountId (a missing part stays empty),
// and partition is aws-cn for regions cn-*, aws-us-gov for us-gov-*, else aws.
//
// ReEncrypt has two keys: the distinct ":key/" ARNs of resources[] when there are
// two or more; else sourceKeyId and destinationKeyId, completed, as far as they
// are not empty, once when they are equal; else the rule above. Such a call
// counts once for each key and each pair, and once for the principal.
//
// # The principal
//
// AssumedRole: sessionContext.sessionIssuer.arn, else the role's ARN made from
// arn:P:sts::A:assumed-role/NAME/SESSION. Root: arn:<partition>:iam::<accountId>:root.
// AWSService, and no type with invokedBy and without arn: invokedBy. AWSAccount:
// "account:<accountId>". When that gives nothing, and for every other type: arn,
// else for IdentityCenterUser "identitycenter:<onBehalfOf.userId>", else
// principalId, else invokedBy, else "account:<accountId>", else "-".
//
// # Outcome and class
//
// errorCode empty: neither. Refused ("denied"): AccessDenied,
// AccessDeniedException, UnauthorizedOperation, Client.UnauthorizedOperation and
// whatever ends in AccessDenied or AccessDeniedException. Every other errorCode:
// failed. Both are calls too. The class of an operation is the table in rules.go.
//
// # Windows
//
// Tumbling, [start, end), aligned to the Unix epoch, in event time. eventTime is
// RFC 3339, with or without a fraction, or "2006-01-02 15:04:05" with or without a
// fraction, in UTC. Every call counts in three scopes: its key, its principal, and
// the pair. The key "-" counts like any other.
//
// Sources: DESIGN.md, "Decode", "Identities" and "Counting"; AWS CloudTrail user
// guide, "CloudTrail record contents" and "userIdentity element"; AWS KMS
// developer guide, "Logging AWS KMS API calls with AWS CloudTrail".
package oracle
