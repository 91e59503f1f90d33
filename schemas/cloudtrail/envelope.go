package cloudtrail

import (
	"strings"
	"unsafe"
)

// envelope is what an object says that is no CloudTrail event but carries one:
// the members under names which no event has.
//
// Sources: EventBridge "Events from AWS services" (detail-type, detail);
// CloudWatch Logs "Subscription filters" (logEvents, message); CloudTrail
// LookupEvents (Events, CloudTrailEvent); SNS and SQS message bodies (Message,
// Body); Fluent Bit's usual names for a line (log, message); Keytrail's own
// in_kms (event).
type envelope struct {
	list     string // JSON text of the array under Records, Events or logEvents
	object   string // JSON text of the object under detail, log, message or event
	text     string // the string under CloudTrailEvent, message, log, event, Message or Body
	isDetail bool   // object stands under detail
	digest   bool   // a CloudTrail digest file: about files, not about calls

	detailType, source, id, time, account, region string // EventBridge's own fields
}

// envelopeFields are the members of a record's level that belong to envelopes.
var envelopeFields = []field{
	act("Records", actList), act("Events", actList), act("logEvents", actList),
	act("detail", actDetail),
	act("CloudTrailEvent", actCarrier), act("message", actCarrier), act("log", actCarrier), act("event", actCarrier),
	act("Message", actCarrier), act("Body", actCarrier), act("body", actCarrier),
	text("detail-type", atEnvelope+unsafe.Offsetof(where.env.detailType)),
	text("source", atEnvelope+unsafe.Offsetof(where.env.source)),
	text("id", atEnvelope+unsafe.Offsetof(where.env.id)),
	text("time", atEnvelope+unsafe.Offsetof(where.env.time)),
	text("account", atEnvelope+unsafe.Offsetof(where.env.account)),
	text("region", atEnvelope+unsafe.Offsetof(where.env.region)),
	act("digestS3Bucket", actDigest),
	act("Resources", actOthers),
}

// member reads a member that carries something; c is the value's first byte.
func (e *envelope) member(s *scanner, a action, pos int, c byte) int {
	switch {
	case a == actList && c == '[':
		return s.json(pos, &e.list)
	case a == actDetail && c == '{':
		e.isDetail = true
		return s.json(pos, &e.object)
	case a == actCarrier && c == '"':
		return s.text(pos, &e.text)
	case a == actCarrier && c == '{':
		return s.json(pos, &e.object)
	case a == actDigest:
		e.digest = true
	}
	return s.skip(pos)
}

// inner returns the JSON text that the envelope carries, or "".
func (e *envelope) inner() string {
	switch {
	case e.list != "":
		return e.list
	case e.object != "":
		return e.object
	}
	if t := strings.TrimSpace(e.text); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		return t
	}
	return ""
}

// native tells whether the envelope is an EventBridge event that KMS itself
// sent (rotation, deletion, expiry), which holds no CloudTrail event. Those that
// do ("AWS API Call via CloudTrail") name KMS as their source too.
func (e *envelope) native() bool {
	return e.source == "aws.kms" && e.detailType != "" && e.isDetail && !strings.HasSuffix(e.detailType, " via CloudTrail")
}

// fillNative makes ev of a native KMS event of EventBridge: an internal
// operation without a caller. Raw is the whole envelope, which is the original.
func (e *envelope) fillNative(ev *Event) {
	ev.Version, ev.Type, ev.Category = "eventbridge", "AwsServiceEvent", "Management"
	ev.Source, ev.Name = "kms.amazonaws.com", e.detailType
	ev.Time, ev.ID, ev.Region, ev.RecipientAccount = e.time, e.id, e.region, e.account
	ev.Identity = Identity{Account: e.account, InvokedBy: "kms.amazonaws.com"}
}
