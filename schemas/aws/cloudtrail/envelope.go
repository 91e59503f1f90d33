package cloudtrail

import (
	"encoding/json"
	"slices"
	"strings"
	"unsafe"
)

// envelope is what an object says that is not a CloudTrail event but carries some:
// the members under names which no event has.
//
// Sources: EventBridge "Events from AWS services" (detail-type, detail);
// CloudWatch Logs "Subscription filters" (logEvents, message, awslogs) and
// FilterLogEvents (events); CloudTrail LookupEvents (Events, CloudTrailEvent);
// SNS and SQS message bodies (Message, Messages, Body) and what Lambda makes of
// them (Sns, body, kinesis); Firehose (records, data) and Kinesis (Data); the
// names that Fluent Bit and Elastic's shippers use for a line (log, message,
// event, original); Keytrail's own in_kms (event); GetQueryResults of CloudWatch Logs
// (results) and of CloudTrail Lake (QueryResultRows); Splunk's exports (result, _raw)
// and Elasticsearch's search (hits, _source); OCSF (raw_data).
type envelope struct {
	carried []carried // what may hold events, in its order
	holds   bool      // it is about the original event, which is in carried or was not kept
	notice  bool      // known, and about no call: a digest file, a test message
	split   bool      // it is a piece of a line
	names   bool      // it names objects, which hold the events

	detailType, source, id, time, account, region string // EventBridge's own fields
	kind, event                                   string // of SNS, of S3's test
}

// carried is a text that may hold events.
type carried struct {
	text string
	form form
}

// form is how something is carried.
type form uint8

const (
	formText   form = iota // JSON in a string
	formPacked             // in base64, and perhaps gzip
	formList               // an array of the envelope
	formDetail             // the object under detail
	formObject             // another object of the envelope
)

// envelopeFields are the members of a record's level that belong to envelopes.
var envelopeFields = append([]field{
	act("Records", actList), act("Events", actList), act("logEvents", actList),
	act("Messages", actList), act("records", actList), act("events", actList),
	act("results", actList), act("QueryResultRows", actList), act("hits", actList),
	act("result", actResult), act("_raw", actOriginal), act("eventJson", actOriginal), act("@message", actOriginal),
	act("event.original", actOriginal), act("raw_data", actOriginal),
	act("detail", actDetail), act("data", actPacked), act("Data", actPacked),
	text("detail-type", atEnvelope+unsafe.Offsetof(where.env.detailType)),
	text("source", atEnvelope+unsafe.Offsetof(where.env.source)),
	text("id", atEnvelope+unsafe.Offsetof(where.env.id)),
	text("time", atEnvelope+unsafe.Offsetof(where.env.time)),
	text("account", atEnvelope+unsafe.Offsetof(where.env.account)),
	text("region", atEnvelope+unsafe.Offsetof(where.env.region)),
	text("Type", atEnvelope+unsafe.Offsetof(where.env.kind)),
	text("Event", atEnvelope+unsafe.Offsetof(where.env.event)),
	act("digestS3Bucket", actNotice), act("partial_message", actPiece),
	act("s3", actNames), act("s3ObjectKey", actNames),
	act("Resources", actOthers),
}, carriers...)

var carriers = func() (list []field) {
	for _, name := range []string{"CloudTrailEvent", "message", "log", "event", "original", "Message", "Body", "body",
		"Sns", "kinesis", "awslogs", "_source"} {
		list = append(list, act(name, actCarrier))
	}
	return list
}()

// carries reports whether name is one under which envelopes hold an event.
func carries(name string) bool {
	switch kindRecord.field(name).act {
	case actCarrier, actDetail, actPacked, actOriginal, actResult:
		return true
	}
	return false
}

// isList reports whether name is a list that holds records, in one of the
// envelopes.
func isList(name string) bool { return kindRecord.field(name).act == actList }

// member reads a member that carries something; c is the value's first byte.
func (e *envelope) member(s *scanner, a action, pos int, c byte) int {
	var v string
	switch {
	case e.holds && a != actOriginal && a != actPiece && a != actNotice && a != actNames: // beside the original
	case a == actList && c == '[':
		if pos = s.json(pos, &v); strings.Trim(v, "[] \t\r\n") != "" {
			e.carried = append(e.carried, carried{v, formList})
		}
		return pos
	case a == actDetail && c == '{':
		pos = s.json(pos, &v)
		e.carried = append(e.carried, carried{v, formDetail})
		return pos
	case a == actCarrier && c == '{':
		pos = s.json(pos, &v)
		e.carried = append(e.carried, carried{v, formObject})
		return pos
	case a == actCarrier && c == '"', a == actPacked && c == '"':
		pos = s.text(pos, &v)
		e.string(v, a == actPacked)
		return pos
	case a == actOriginal:
		e.holds = true
		e.carried = e.carried[:0] // what else stands there was made of it
		if pos = s.text(pos, &v); c == '"' {
			e.string(v, false)
		} else if c == '{' {
			e.carried = append(e.carried, carried{v, formObject})
		}
		return pos
	case a == actResult && c == '{':
		return e.result(s, pos)
	case a == actNotice:
		e.notice = true
	case a == actPiece:
		e.split = true
	case a == actNames:
		e.names = true
	}
	return s.skip(pos)
}

// result reads a result of Splunk, which has the original under _raw and fields of
// it beside.
func (e *envelope) result(s *scanner, pos int) int {
	e.holds = true
	var w walk
	for pos = s.open(&w, pos); pos != failed; {
		name, value, ok := s.next(&w, pos)
		if !ok {
			return value
		}
		if name != "_raw" {
			pos = s.skip(value)
			continue
		}
		var v string
		pos = s.text(value, &v)
		e.string(v, false)
	}
	return failed
}

// What CloudWatch Logs sends to see whether its destination lives, and CloudTrail
// to see whether its topic does.
const (
	controlMessage    = "CWL CONTROL MESSAGE"
	validationMessage = "CloudTrail validation message."
)

// string takes a string that may hold events.
func (e *envelope) string(v string, packed bool) {
	t := strings.TrimSpace(strings.TrimPrefix(v, mark))
	switch {
	case strings.HasPrefix(t, "{"), strings.HasPrefix(t, "["):
		e.carried = append(e.carried, carried{t, formText})
	case packed && t != "":
		e.carried = append(e.carried, carried{t, formPacked})
	case strings.HasPrefix(t, controlMessage), t == validationMessage:
		e.notice = true
	}
}

// inner returns what to read inside the envelope. One text is read whatever it
// is. Of several, objects that have no event's name in them are what shippers
// add about the line ({"message":"...","event":{"module":"aws"}}).
func (e *envelope) inner() []carried {
	if len(e.carried) < 2 {
		return e.carried
	}
	return e.apart()
}

// apart returns what to read of several.
func (e *envelope) apart() []carried {
	text := slices.ContainsFunc(e.carried, func(c carried) bool { return c.form == formText || c.form == formPacked })
	return slices.DeleteFunc(e.carried, func(c carried) bool {
		// With the line in a text, an object that has the same line is read for nothing.
		return c.form == formObject &&
			(!strings.Contains(c.text, "eventSource") || text && !strings.Contains(c.text, `"eventSource"`))
	})
}

// silent tells that the object is known and about no call.
func (e *envelope) silent() bool {
	return e.notice || e.event == "s3:TestEvent" ||
		e.kind == "SubscriptionConfirmation" || e.kind == "UnsubscribeConfirmation"
}

// custom reports whether the envelope is an EventBridge event that somebody made: sources
// of AWS's services begin with aws. and nobody else may use it except partners.
func (e *envelope) custom() bool {
	return e.detailType != "" && e.source != "" &&
		(!strings.HasPrefix(e.source, "aws.") || strings.HasPrefix(e.source, "aws.partner/"))
}

// native reports whether the envelope is an EventBridge event that KMS itself
// sent (rotation, deletion, expiry), which holds no CloudTrail event. Those that
// do ("AWS API Call via CloudTrail") name KMS as their source too.
func (e *envelope) native() bool {
	return e.source == "aws.kms" && e.detailType != "" && len(e.carried) == 1 && e.carried[0].form == formDetail &&
		!strings.HasSuffix(e.detailType, " via CloudTrail")
}

// fillNative makes ev of a native KMS event of EventBridge: an internal
// operation without a caller. Raw is the whole envelope, which is the original;
// nothing else that stands in it is taken for the event's.
func fillNative(ev *Event) {
	raw, resources, e := ev.Raw, ev.Resources, ev.env
	ev.reset()
	ev.Raw, ev.Resources = raw, resources // EventBridge lists the key there
	ev.Version, ev.Type, ev.Category = "eventbridge", "AwsServiceEvent", "Management"
	ev.Source, ev.Name = "kms.amazonaws.com", e.detailType
	ev.Time, ev.ID, ev.Region, ev.RecipientAccount = e.time, e.id, e.region, e.account
	ev.Identity = Identity{Account: e.account, InvokedBy: "kms.amazonaws.com"}
	// Such events are few, so encoding/json serves; what it does not know stays
	// in Raw.
	var detail struct {
		KeyID        string `json:"key-id"`
		Origin       string `json:"key-origin"`
		RotationType string `json:"rotation-type"`
		Previous     string `json:"previous-key-material-id"`
		Current      string `json:"current-key-material-id"`
		Material     string `json:"key-material-id"`
	}
	if json.Unmarshal([]byte(e.carried[0].text), &detail) == nil {
		ev.Service = Service{
			KeyID: detail.KeyID, RotationType: detail.RotationType, KeyOrigin: detail.Origin,
			PreviousMaterialID: detail.Previous, CurrentMaterialID: detail.Current, KeyMaterialID: detail.Material,
		}
	}
}
