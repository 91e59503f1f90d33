// Package normalize turns a CloudTrail event into a log record: it decides
// which KMS key, which principal and which call an event is about, and writes
// the attributes of schemas/registry.
//
// It is pure: no clock, no network, no state between events. What it can not
// express as an attribute stays in the record's body, which is the event byte
// for byte. Aliases are not resolved here, because that takes memory of other
// events.
package normalize

import (
	"net/netip"
	"strconv"
	"strings"

	"keytrail/schemas/cloudtrail"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
)

// Options says how records are made. The zero value is the usual way.
type Options struct {
	// OmitBody leaves the original event out of the record. What the attributes
	// do not hold is then lost.
	OmitBody bool
	// SelfPrincipals are the principals (as in keytrail.principal) under which
	// the collector itself reads encrypted trails; their events are marked
	// keytrail.self.
	SelfPrincipals []string
}

// Normalizer makes log records. It owns scratch memory, so it is not safe for
// concurrent use; every goroutine has its own.
type Normalizer struct {
	opts    Options
	self    map[string]bool
	scratch []byte         // built strings of the current record
	context []otellog.Attr // the current record's encryption context
	keys    [2]string      // the current record's KMS keys
}

// New returns a Normalizer.
func New(o Options) *Normalizer {
	n := &Normalizer{opts: o, self: make(map[string]bool, len(o.SelfPrincipals))}
	for _, p := range o.SelfPrincipals {
		n.self[p] = true
	}
	return n
}

// The services whose events Keytrail is about.
const (
	serviceKMS   = "kms.amazonaws.com"
	serviceTrail = "cloudtrail.amazonaws.com"
)

// Wanted tells whether ev is one of the events that Keytrail is about: all of
// KMS, and the CloudTrail calls that change what is recorded. Others are to be
// counted as filtered.
func Wanted(ev *cloudtrail.Event) bool {
	return ev.Source == serviceKMS || ev.Source == serviceTrail && trailChanges[ev.Name]
}

// Record fills rec from ev. Its strings are views into ev's buffer and into
// n's scratch memory, valid until the next call on n or on what filled ev.
// observed is when the event was read, in nanoseconds since 1970.
//
// ok is false when ev is not wanted (see Wanted). The error is a
// *cloudtrail.BadRecord for an event without a usable eventTime, which could
// not be counted in any window.
func (n *Normalizer) Record(ev *cloudtrail.Event, observed int64, rec *otellog.Record) (ok bool, err error) {
	rec.Reset()
	if !Wanted(ev) {
		return false, nil
	}
	at, valid := parseTime(ev.Time)
	if !valid {
		return false, badTime(ev)
	}
	n.scratch, n.context = n.scratch[:0], n.context[:0]
	rec.Time, rec.Observed = at, observed
	if !n.opts.OmitBody {
		rec.Body = view(ev.Raw)
	}
	n.resource(ev, rec)
	class := ClassOf(ev.Source, ev.Name)
	outcome := OutcomeOf(ev.ErrorCode)
	rec.EventName, rec.Severity = eventName(ev), severity(class, ev, outcome)
	n.call(ev, rec)
	n.caller(ev, rec)
	n.key(ev, class, rec)
	n.parameters(ev, rec)
	n.keytrail(ev, outcome, rec)
	return true, nil
}

func badTime(ev *cloudtrail.Event) error {
	detail := "eventTime is absent"
	if ev.Time != "" {
		at := ev.Time[:min(len(ev.Time), 64)] // a detail travels as a Kafka header
		detail = "eventTime " + strconv.Quote(at) + " is no RFC 3339 time between 1970 and 2262"
	}
	bad := &cloudtrail.BadRecord{Object: ev.Object, Index: ev.Index, Offset: ev.Offset, Reason: cloudtrail.ReasonTime, Detail: detail, Raw: ev.Raw}
	if len(bad.Raw) > cloudtrail.MaxRawBytes {
		bad.Raw, bad.Cut = bad.Raw[:cloudtrail.MaxRawBytes], true
	}
	return bad
}

// resource writes where the event happened. It is made per record, never per
// file: one object of an organization's trail may hold several accounts.
func (n *Normalizer) resource(ev *cloudtrail.Event, rec *otellog.Record) {
	add := func(key, value string) {
		if value != "" {
			rec.Resource = append(rec.Resource, otellog.Attr{Key: key, Kind: otellog.KindString, Str: value})
		}
	}
	add(semconv.CloudProvider, "aws")
	add(semconv.CloudAccountID, account(ev))
	add(semconv.CloudRegion, ev.Region)
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
	case ev.Source == serviceTrail:
		return semconv.EventAWSCloudTrailTrailChange
	case ev.Type == "AwsServiceEvent" && ev.Identity.Type == "":
		return semconv.EventAWSKMSServiceEvent
	}
	return semconv.EventAWSKMSAPICall
}

func severity(class Class, ev *cloudtrail.Event, o Outcome) otellog.Severity {
	switch {
	case class == ClassDestroy, class == ClassTrail && ev.Name != "CreateTrail" && ev.Name != "StartLogging":
		return otellog.SeverityError
	case o != OutcomeOK:
		return otellog.SeverityWarn
	}
	return otellog.SeverityInfo
}

// call writes what was called, how it went and how it got there.
func (n *Normalizer) call(ev *cloudtrail.Event, rec *otellog.Record) {
	rec.String(semconv.LogRecordUID, ev.ID)
	if ev.Name != "" {
		rec.String(semconv.RPCMethod, n.join(ev.Source, "/", ev.Name))
	}
	rec.String(semconv.ErrorType, ev.ErrorCode)
	rec.String(semconv.AWSErrorMessage, ev.ErrorMessage)
	if isAddress(ev.SourceIP) {
		rec.String(semconv.ClientAddress, ev.SourceIP)
	} else {
		rec.String(semconv.AWSSourceService, ev.SourceIP)
	}
	rec.String(semconv.UserAgentOriginal, ev.UserAgent)
	rec.String(semconv.ServerAddress, ev.TLS.Host)
	if v, ok := strings.CutPrefix(ev.TLS.Version, "TLSv"); ok {
		rec.String(semconv.TLSProtocolName, "tls")
		rec.String(semconv.TLSProtocolVersion, v)
	}
	rec.String(semconv.TLSCipher, ev.TLS.Cipher)
	rec.String(semconv.AWSRequestID, ev.RequestID)
	rec.String(semconv.AWSSharedEventID, ev.SharedID)
	rec.String(semconv.AWSCloudTrailEventVersion, ev.Version)
	rec.String(semconv.AWSCloudTrailApiVersion, ev.APIVersion)
	rec.String(semconv.AWSCloudTrailEventType, ev.Type)
	rec.String(semconv.AWSEventCategory, ev.Category)
	boolean(rec, semconv.AWSEventReadOnly, ev.ReadOnly)
	boolean(rec, semconv.AWSEventManagement, ev.Management)
	boolean(rec, semconv.AWSSessionConsole, ev.ConsoleCredential)
	rec.String(semconv.AWSVPCEndpointID, ev.VPCEndpoint)
	rec.String(semconv.AWSVPCEndpointAccountID, ev.VPCEndpointOwner)
	rec.String(semconv.AWSCloudTrailAddendumReason, ev.Addendum.Reason)
	rec.String(semconv.AWSCloudTrailAddendumOriginalEventID, ev.Addendum.OriginalID)
	rec.String(semconv.AWSCloudTrailAddendumUpdatedFields, ev.Addendum.UpdatedFields)
}

// isAddress tells whether s is an IP address. Names of services, which stand in
// the same field, are turned away before ParseAddr makes an error of them, which
// would be an allocation.
func isAddress(s string) bool {
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

// caller writes the identity as CloudTrail gives it, under the names that the
// OpenTelemetry collector's CloudTrail encoding uses.
func (n *Normalizer) caller(ev *cloudtrail.Event, rec *otellog.Record) {
	id := &ev.Identity
	rec.String(semconv.UserID, id.PrincipalID)
	if id.UserName != "" {
		rec.String(semconv.UserName, id.UserName)
	} else {
		rec.String(semconv.UserName, id.IssuerName)
	}
	rec.String(semconv.AWSAccessKeyID, id.AccessKeyID)
	rec.String(semconv.AWSPrincipalID, id.PrincipalID)
	rec.String(semconv.AWSPrincipalARN, id.ARN)
	rec.String(semconv.AWSPrincipalType, id.Type)
	rec.String(semconv.AWSUserIdentityAccountID, id.Account)
	rec.String(semconv.AWSUserIdentityInvokedBy, id.InvokedBy)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerType, id.IssuerType)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerPrincipalID, id.IssuerPrincipal)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerARN, id.IssuerARN)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerAccountID, id.IssuerAccount)
	rec.String(semconv.AWSUserIdentitySessionContextIssuerUserName, id.IssuerName)
	rec.String(semconv.AWSUserIdentitySessionContextAttributesCreationDate, id.SessionCreated)
	boolean(rec, semconv.AWSUserIdentitySessionContextAttributesMFAAuthenticated, id.MFA)
	rec.String(semconv.AWSUserIdentitySessionContextSourceIdentity, id.SourceIdentity)
	rec.String(semconv.AWSUserIdentityIdentityProvider, id.IdentityProvider)
	rec.String(semconv.AWSUserIdentityCredentialID, id.CredentialID)
	rec.String(semconv.AWSUserIdentityOnBehalfOfUserID, id.OnBehalfOfUser)
	rec.String(semconv.AWSUserIdentityOnBehalfOfIdentityStoreARN, id.OnBehalfOfStore)
}

func boolean(rec *otellog.Record, key string, b cloudtrail.Bool) {
	if b != cloudtrail.Missing {
		rec.Bool(key, b == cloudtrail.True)
	}
}

// keytrail writes what Keytrail computes from the event.
func (n *Normalizer) keytrail(ev *cloudtrail.Event, o Outcome, rec *otellog.Record) {
	principal := n.principal(ev)
	rec.String(semconv.KeytrailPrincipal, principal)
	rec.String(semconv.KeytrailPrincipalSession, sessionName(&ev.Identity))
	rec.String(semconv.KeytrailCallID, n.callID(ev))
	rec.String(semconv.KeytrailCallCopy, copyOf(ev).String())
	rec.String(semconv.KeytrailVia, via(&ev.Identity, principal))
	rec.String(semconv.KeytrailOutcome, o.String())
	if key := ARNAccount(n.keys[0]); key != "" && ev.Identity.Account != "" {
		rec.Bool(semconv.KeytrailCrossAccount, key != ev.Identity.Account)
	}
	if n.self[principal] {
		rec.Bool(semconv.KeytrailSelf, true)
	}
	rec.String(semconv.KeytrailObject, ev.Object)
	rec.Int(semconv.KeytrailObjectIndex, int64(ev.Index))
	rec.Int(semconv.KeytrailObjectOffset, ev.Offset)
}
