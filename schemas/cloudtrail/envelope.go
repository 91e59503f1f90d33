package cloudtrail

import "strings"

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

// member reads one member of an object that is perhaps an envelope.
func (e *envelope) member(s *scanner, name string) scanErr {
	switch name {
	case "Records", "Events", "logEvents":
		if s.space() == '[' {
			return s.json(&e.list)
		}
	case "detail":
		if s.space() == '{' {
			e.isDetail = true
			return s.json(&e.object)
		}
	case "CloudTrailEvent", "message", "log", "event", "Message", "Body", "body":
		switch s.space() {
		case '"':
			return s.text(&e.text)
		case '{':
			return s.json(&e.object)
		}
	case "detail-type":
		return s.text(&e.detailType)
	case "source":
		return s.text(&e.source)
	case "id":
		return s.text(&e.id)
	case "time":
		return s.text(&e.time)
	case "account":
		return s.text(&e.account)
	case "region":
		return s.text(&e.region)
	case "digestS3Bucket":
		e.digest = true
	case "Resources": // of a LookupEvents item
		return s.targets(nil)
	}
	return s.skip()
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
