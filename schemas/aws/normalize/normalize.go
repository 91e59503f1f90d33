// Package normalize turns a CloudTrail event into a log record: it decides
// which KMS key, which principal and which call an event is about, and writes
// the attributes of schemas/registry.
//
// It is pure: no clock, no network, no state between events. Fields without an attribute
// stay in the record's body, which is the event byte for byte. Aliases are not resolved
// here, because that takes memory of other events.
package normalize

import (
	"net/netip"
	"strconv"

	"keytrail/schemas/aws/arn"
	"keytrail/schemas/aws/cloudtrail"
	"keytrail/schemas/decoding"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/view"
)

// Options says how records are made. The zero value is the usual way.
type Options struct {
	// OmitBody leaves the original event out of the record. Fields without
	// an attribute are then lost.
	OmitBody bool
	// SelfPrincipals are the principals (as in keytrail.principal.id, or a session's ARN)
	// under which the collector itself reads encrypted trails. Those of their events
	// that are such reads (see TrailRead) are marked keytrail.self.
	SelfPrincipals []string
	// Direct makes records for otellog.AppendRequest and nothing else: their
	// attributes are encoded as they are made (see otellog.Record.Direct), and what
	// repeats is kept as it is encoded.
	Direct bool
}

// Normalizer makes log records. It owns scratch memory, so it is not safe for
// concurrent use; every goroutine has its own.
type Normalizer struct {
	// Self says that the next events were made by a principal of the collector, as
	// the reader has learned; besides Options.SelfPrincipals.
	Self bool

	opts    Options
	self    self
	scratch []byte          // built strings of the current record
	sorted  []cloudtrail.KV // the pairs of a free map in the order of their names
	omitted []string        // the current record's fields that CloudTrail left out
	keys    [2]string       // the current record's KMS keys
	owner   string          // the account of the first
	roles   [1]string       // the role that the current caller has assumed

	direct *direct // nil unless Options.Direct
}

// New returns a Normalizer.
func New(o Options) *Normalizer {
	n := &Normalizer{opts: o}
	n.self = n.selfPrincipals(o.SelfPrincipals)
	if o.Direct {
		n.direct = new(direct)
	}
	return n
}

// The services whose events Keytrail is about.
const (
	serviceKMS   = "kms.amazonaws.com"
	serviceTrail = "cloudtrail.amazonaws.com"
	// ServiceDigest is ours: the source of the events that say where a trail is not as
	// its digests are (processor/source/aws/digest).
	ServiceDigest = "digest.keytrail"
)

// Record fills rec from ev. Its strings are views into ev's buffer and into
// n's scratch memory, valid until the next call on n or on what filled ev.
// observed is when the event was read, in nanoseconds since 1970.
//
// ok is false when ev is filtered (see FilterOf). The error is a
// *decoding.BadRecord for an event without a usable eventTime, which could
// not be counted in any window.
func (n *Normalizer) Record(ev *cloudtrail.Event, observed int64, rec *otellog.Record) (ok bool, err error) {
	if FilterOf(ev) != decoding.Kept {
		rec.Reset()
		return false, nil
	}
	err = n.fill(ev, observed, rec)
	return err == nil, err
}

// fill is Record for an event that is not filtered.
func (n *Normalizer) fill(ev *cloudtrail.Event, observed int64, rec *otellog.Record) error {
	rec.Reset()
	at, valid := parseTime(ev.Time)
	if !valid {
		return badTime(ev)
	}
	n.scratch, n.omitted = n.scratch[:0], n.omitted[:0]
	rec.Time, rec.Observed = at, observed
	if n.direct != nil {
		rec.Direct(&n.direct.enc)
	}
	if !n.opts.OmitBody {
		rec.Body = view.String(ev.Raw)
	}
	n.resource(ev, rec)
	outcome := OutcomeOf(ev.ErrorCode, ev.ErrorMessage)
	class := n.knownOperation(ev, outcome, rec)
	rec.EventName, rec.Severity = eventName(ev), severity(class, ev, outcome)
	n.call(ev, rec)
	principal := n.knownCaller(ev, rec)
	if n.own(ev, principal) { // not in the caller's run, which is kept
		rec.Bool(semconv.KeytrailSelf, true)
	}
	n.key(ev, class, outcome, rec)
	n.parameters(ev, rec)
	n.keytrail(ev, principal, rec)
	return nil
}

func badTime(ev *cloudtrail.Event) error {
	detail := "eventTime is absent"
	if ev.Time != "" {
		at := ev.Time[:min(len(ev.Time), 64)] // a detail travels as a Kafka header
		detail = "eventTime " + strconv.Quote(at) + " is no RFC 3339 time between 1970 and 2262"
	}
	return ev.Bad(decoding.ReasonTime, detail)
}

// resource writes where the event happened. It is made per record, never per
// file: one object of an organization's trail may hold several accounts.
func (n *Normalizer) resource(ev *cloudtrail.Event, rec *otellog.Record) {
	id := account(ev)
	if n.direct != nil && !n.direct.moves(id, ev.Region) {
		rec.SameResource()
		return
	}
	rec.Where(semconv.CloudProvider, "aws")
	rec.Where(semconv.CloudAccountID, id)
	rec.Where(semconv.CloudRegion, ev.Region)
}

// account is the account in whose trail the event stands.
func account(ev *cloudtrail.Event) string {
	if ev.RecipientAccount != "" {
		return ev.RecipientAccount
	}
	return ev.Identity.Account
}

// eventName tells the three kinds of events apart. eventType alone does not:
// documented API calls are labelled AwsServiceEvent, but only internal
// operations have no kind of identity.
func eventName(ev *cloudtrail.Event) string {
	switch {
	case ev.Source == serviceTrail, ev.Source == ServiceDigest:
		return semconv.EventAWSCloudTrailTrailChange
	case ev.Type == "AwsServiceEvent" && ev.Identity.Type == "":
		return semconv.EventAWSKMSServiceEvent
	}
	return semconv.EventAWSKMSAPICall
}

// call writes how the call went and how it got there.
func (n *Normalizer) call(ev *cloudtrail.Event, rec *otellog.Record) {
	rec.String(semconv.LogRecordUID, n.recordID(ev))
	rec.String(semconv.ErrorType, ev.ErrorCode)
	rec.String(semconv.AWSErrorMessage, ev.ErrorMessage)
	n.knownOrigin(ev, rec)
	n.knownConnection(ev, rec)
	rec.String(semconv.AWSRequestID, ev.RequestID)
	rec.String(semconv.AWSSharedEventID, ev.SharedID)
	boolean(rec, semconv.AWSSessionConsole, ev.ConsoleCredential)
	rec.String(semconv.AWSVPCEndpointID, ev.VPCEndpoint)
	rec.String(semconv.AWSVPCEndpointAccountID, ev.VPCEndpointOwner)
	rec.String(semconv.AWSCloudTrailAddendumReason, ev.Addendum.Reason)
	rec.String(semconv.AWSCloudTrailAddendumOriginalEventID, ev.Addendum.OriginalID)
	rec.String(semconv.AWSCloudTrailAddendumOriginalRequestID, ev.Addendum.OriginalRequestID)
	rec.String(semconv.AWSCloudTrailAddendumUpdatedFields, ev.Addendum.UpdatedFields)
	n.omissions(ev, rec)
}

// operation writes what was called, of the given class, and with what outcome.
func (n *Normalizer) operation(ev *cloudtrail.Event, class kms.Class, o kms.Outcome, rec *otellog.Record) {
	if ev.Name != "" {
		rec.String(semconv.RPCMethod, n.join(ev.Source, "/", ev.Name))
	}
	rec.String(semconv.AWSCloudTrailEventVersion, ev.Version)
	rec.String(semconv.AWSCloudTrailApiVersion, ev.APIVersion)
	rec.String(semconv.AWSCloudTrailEventType, ev.Type)
	rec.String(semconv.AWSEventCategory, ev.Category)
	boolean(rec, semconv.AWSEventReadOnly, ev.ReadOnly)
	boolean(rec, semconv.AWSEventManagement, ev.Management)
	rec.String(semconv.KeytrailOperationClass, class.String())
	rec.String(semconv.KeytrailOutcome, o.String())
	rec.String(semconv.KeytrailCallCopy, copyOf(ev).String())
	if ev.Source == serviceKMS {
		rec.String(semconv.AWSKMSAlgorithm, algorithm(ev))
	}
}

// algorithm is the one that the call used; of ReEncrypt, the source's.
func algorithm(ev *cloudtrail.Event) string {
	return first(ev.Request.Algorithm, ev.Request.SourceAlgorithm)
}

// origin writes where the request came from.
func origin(ev *cloudtrail.Event, rec *otellog.Record) {
	if isAddress(ev.SourceIP) {
		rec.String(semconv.ClientAddress, ev.SourceIP)
	} else {
		rec.String(semconv.AWSSourceService, ev.SourceIP)
	}
	rec.String(semconv.UserAgentOriginal, ev.UserAgent)
}

// omissions writes which fields CloudTrail left out, because they were too
// large: an attribute made of one would be missing without a trace.
func (n *Normalizer) omissions(ev *cloudtrail.Event, rec *otellog.Record) {
	if ev.Request.Omitted|ev.Response.Omitted|ev.Extra.Omitted|ev.Service.Omitted == cloudtrail.Missing {
		return
	}
	for _, f := range [...]struct {
		omitted cloudtrail.Bool
		name    string
	}{
		{ev.Request.Omitted, "requestParameters"},
		{ev.Response.Omitted, "responseElements"},
		{ev.Extra.Omitted, "additionalEventData"},
		{ev.Service.Omitted, "serviceEventDetails"},
	} {
		if f.omitted == cloudtrail.True {
			n.omitted = append(n.omitted, f.name)
		}
	}
	rec.Strings(semconv.AWSCloudTrailOmittedFields, n.omitted)
}

// isAddress reports whether s is an IP address. Names of services, which stand in
// the same field, are turned away before ParseAddr makes an error of them, which
// would be an allocation.
func isAddress(s string) bool {
	if isIPv4(s) {
		return true
	}
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i] | 0x20
		if s[i] != '.' && s[i] != ':' && (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// isIPv4 reports whether s is four numbers below 256 without leading zeros, with
// dots between: as netip has it, in a third of its time.
func isIPv4(s string) bool {
	numbers, n, digits := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && digits > 0:
			numbers, n, digits = numbers+1, 0, 0
		case c >= '0' && c <= '9' && (digits == 0 || n > 0):
			if n, digits = 10*n+int(c-'0'), digits+1; n > 255 {
				return false
			}
		default:
			return false
		}
	}
	return numbers == 3 && digits > 0
}

func boolean(rec *otellog.Record, key string, b cloudtrail.Bool) {
	if b != cloudtrail.Missing {
		rec.Bool(key, b == cloudtrail.True)
	}
}

// keytrail writes what Keytrail computes from the event.
func (n *Normalizer) keytrail(ev *cloudtrail.Event, principal string, rec *otellog.Record) {
	rec.CallID = n.callID(ev)
	rec.String(semconv.KeytrailCallID, rec.CallID)
	rec.String(semconv.KeytrailVia, via(ev, principal))
	if caller := ev.Identity.Account; n.owner != "" && caller != "" {
		foreign := n.owner != caller
		if n.keys[1] != "" {
			second := arn.Account(n.keys[1])
			foreign = foreign || second != "" && second != caller
		}
		rec.Bool(semconv.KeytrailCrossAccount, foreign)
	}
	rec.String(semconv.KeytrailObjectName, ev.Object)
	rec.Int(semconv.KeytrailObjectIndex, int64(ev.Index))
	rec.Int(semconv.KeytrailObjectOffset, ev.Offset)
}
