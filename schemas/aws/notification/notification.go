// Package notification reads the messages that say where CloudTrail's files lie:
// what S3, EventBridge and CloudTrail itself send to a queue or a topic when a
// file is there. It reads one message body and returns the objects that it
// names; it fetches nothing and knows no client.
//
// It reads these shapes, bare or wrapped in SQS messages (Body) and SNS messages
// (Message), and in lists of them:
//
//   - S3 event notifications {"Records":[{"eventSource":"aws:s3","s3":{...}}]},
//     MinIO's included;
//   - EventBridge events of S3 {"source":"aws.s3","detail-type":"Object Created"};
//   - CloudTrail's own {"s3Bucket":"b","s3ObjectKey":["k", ...]};
//   - messages that name nothing: s3:TestEvent, CloudTrail's validation message,
//     SNS's confirmations.
//
// Everything in a body becomes exactly one of Object, Notice and Bad. A message
// may carry CloudTrail events instead of naming objects: such a part is a Bad of
// which Bad.MayHoldEvents is true, and cloudtrail.Reader reads it.
//
// Nothing here checks who sent a message. SNS signs its messages, but a queue's
// policy decides who may send to it, and the caller which buckets it reads.
//
// Sources: S3 User Guide, "Event message structure" and "EventBridge event
// message structure"; CloudTrail User Guide, "Configuring Amazon SNS
// notifications"; SNS Developer Guide, "HTTP/HTTPS subscription confirmation";
// SQS API, ReceiveMessage.
package notification

import (
	"cmp"
	"fmt"
)

// Message is what one message body says. Its strings are its own; Bad.Raw may
// share the body's memory.
type Message struct {
	Objects []Object // to be fetched, in the order of the message
	Skipped []Object // named, but not to be fetched: their Event says why
	Notices []Notice // known messages that name no object
	Bad     []Bad    // what could not be used
}

// Object is an S3 object that a message names.
type Object struct {
	Bucket string // its name, of letters, digits, '.', '-' and '_' only
	Key    string // decoded, ready for GetObject: UTF-8, 1 to 1,024 bytes
	Form   Form   // the shape that named it
	// Event is what happened: "ObjectCreated:Put" in S3's own words, "Object
	// Created" in EventBridge's, "" in CloudTrail's form. The sender chooses it: never
	// use it as the label of a metric.
	Event     string
	Region    string // the bucket's, "" when the message does not say
	Account   string // of the bucket's owner, which only EventBridge tells
	Size      int64  // bytes, -1 when the message does not say
	ETag      string // "" when the message does not say, as the next two
	VersionID string // present for buckets with versions: fetch this one
	// Sequencer orders the events of one key. It is hexadecimal: pad the shorter one with
	// zeros on the right, then compare as text.
	Sequencer string
}

// Form is the shape that names an object. It decides how the key is written:
// S3's own notifications encode it as HTML forms do (a space is '+', other bytes
// %XX), EventBridge and CloudTrail write it as it is.
type Form string

// The forms.
const (
	FormS3          Form = "s3"
	FormEventBridge Form = "eventbridge"
	FormCloudTrail  Form = "cloudtrail"
)

// Notice is a message that is known and names no object.
type Notice struct {
	Kind   NoticeKind
	Detail string // for a person: what it is about and what to do
}

// NoticeKind is the bounded set of messages that name no object.
type NoticeKind string

// The kinds of notices.
const (
	NoticeTest        NoticeKind = "test_event"                // S3 tries a new notification configuration
	NoticeValidation  NoticeKind = "cloudtrail_validation"     // CloudTrail tries a topic
	NoticeSubscribe   NoticeKind = "subscription_confirmation" // SNS waits for the subscription to be confirmed
	NoticeUnsubscribe NoticeKind = "unsubscribe_confirmation"  // SNS has ended the subscription
	NoticeEmpty       NoticeKind = "empty_list"                // a list without items
)

// Bad is a message, or a part of one, that could not be used. It is an error
// that costs this part only.
type Bad struct {
	Where  string // its place in the message, such as "Body.Message.Records[2]"; "" is the whole message
	Reason Reason
	Detail string // what was expected and found, for a person
	Raw    []byte // its bytes: JSON, or the text of a wrapper. They may be a part of the body
}

// Reason is the bounded set of causes for a Bad.
type Reason string

// The reasons.
const (
	ReasonSyntax       Reason = "bad_json"         // not JSON
	ReasonUTF8         Reason = "bad_utf8"         // not UTF-8, a lone surrogate, or a key that decodes to no UTF-8
	ReasonDuplicateKey Reason = "duplicate_key"    // an object that is read has a name twice
	ReasonShape        Reason = "unknown_shape"    // JSON, but no notification
	ReasonPart         Reason = "bad_notification" // a notification in which a part is missing or is of another type
	ReasonName         Reason = "bad_name"         // no S3 key, bucket or region can be written so
	ReasonDepth        Reason = "too_deep"         // over Limits.Wrappers
	ReasonTooMany      Reason = "too_many"         // over Limits.Items
	ReasonSize         Reason = "message_too_big"  // over Limits.BodyBytes
)

// Error says what is wrong and where.
func (b *Bad) Error() string {
	where := b.Where
	if where == "" {
		where = "the message"
	}
	return fmt.Sprintf("%s: %s: %s", where, b.Reason, b.Detail)
}

// MayHoldEvents reports whether a cloudtrail.Reader should read Raw,
// because it may carry CloudTrail events in a shape that names no objects. The
// Reader itself reports unusable input.
func (b *Bad) MayHoldEvents() bool { return b.Reason == ReasonShape || b.Reason == ReasonSyntax }

// Limits bounds what one message may cost. Over a limit is a Bad. The zero value
// of a field means its default.
type Limits struct {
	// BodyBytes bounds a message's body (default 4 MiB). SQS takes 1 MiB, SNS and
	// S3 less; ten SNS messages of 256 KiB as ReceiveMessage prints them, their
	// quotes escaped twice, stay below 4 MiB. Reading takes some 25 times a body's
	// bytes of memory at most.
	BodyBytes int
	// Items bounds the objects, notices and bad parts of one message together
	// (default 10,000). A key of CloudTrail's has some 125 bytes, so that the 1 MiB
	// of a message holds 8,400 of them; real messages hold less than ten.
	Items int
	// Wrappers bounds what lies around a notification (default 4): a list of SQS
	// messages, an SQS message, an SNS message, and one to spare. The
	// notification's own list is not counted.
	Wrappers int
}

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	l.BodyBytes = cmp.Or(l.BodyBytes, 4<<20)
	l.Items = cmp.Or(l.Items, 10_000)
	l.Wrappers = cmp.Or(l.Wrappers, 4)
	return l
}
