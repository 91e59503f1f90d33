// Package count turns log records into calls and calls into partial counts per
// KMS key, per principal and per pair of both. It is pure: no Kafka, no clock.
//
// Partials add up in any order, so calls may be counted anywhere, in any
// number of processes, as long as each call is counted once; making sure of
// that is the job of package dedup.
package count

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/rule"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Call is what counting needs to know of one event. Its strings are views into
// the record that it was made from; Clone makes them its own.
type Call struct {
	ID        wire.CallID
	IDText    string // keytrail.call.id
	Time      int64  // event time, ns since 1970
	Copy      kms.Copy
	KeyARN    string // kms.NoEntity when the event has no KMS key
	SecondARN string // ReEncrypt's second key, else ""
	Principal string
	Class     kms.Class
	Outcome   kms.Outcome
	Context   kms.Context
	Object    uint64 // hash of the object of the encryption context; 0 for none
	Direct    bool   // the principal called itself, no AWS service for it
	Cross     bool   // the KMS key belongs to another account
	Self      bool   // the collector's own reading of a trail's file
	Open      bool   // a ReEncrypt of which other records may show a key that this one does not; see Complete
	Unusable  bool   // it failed because the KMS key is disabled or waits for its deletion
	Network   uint32 // hash of the network that it came from; 0 for none, as in calls by AWS services
	Client    uint32 // hash of the program that made it, without its version; 0 for none
	Rules     rule.Set
	Matched   uint16 // how many rules of the user the call matches; see Matcher
	// Suppressed is how many rules, of either kind, match that the configuration allows;
	// they are no longer in Rules and Matched.
	Suppressed uint16
	// Withheld is how many of the anomalies of Rules and Matched are not published,
	// because there is a storm of them.
	Withheld uint16
	Shown    Shown
}

// Bounds of what is counted of a call, in bytes. AWS writes ids of 36 and no name above
// 2,048; whatever is counted has to fit into Kafka's records, several of one window
// together.
const (
	MaxID    = 256  // of keytrail.call.id
	MaxNames = 8192 // of the names of its KMS keys, their aliases and its principal, together
)

// Oversized tells whether c has an id or names above the bounds, and says so.
func (c *Call) Oversized() (detail string, is bool) {
	s := &c.Shown
	names := len(c.KeyARN) + len(c.SecondARN) + len(c.Principal) + len(s.Alias) + len(s.SecondAlias) + len(s.Primary) + len(s.Replica)
	if len(c.IDText) <= MaxID && names <= MaxNames {
		return "", false
	}
	return fmt.Sprintf("the call's id or the names of its KMS keys and principal are longer than AWS writes any: the id has %d bytes, at most %d are counted, and the names have %d, at most %d together",
		len(c.IDText), MaxID, names, MaxNames), true
}

// Shown is what an event shows of the names of its KMS keys; nearly all show
// nothing. Table.Learn takes it.
type Shown struct {
	Alias       string // stood for KeyARN
	SecondAlias string // stood for SecondARN
	Unbound     bool   // Alias stands for nothing from this call on
	Primary     string // is the primary key of KeyARN
	Replica     string // is a new replica of KeyARN, and has the same primary key
}

// The attributes that FromRecord reads, as places in Attributes.
const (
	attrCallID = iota
	attrCopy
	attrKeyARN
	attrSecondARN
	attrAlias
	attrSecondAlias
	attrPrimary
	attrReplica
	attrPrincipal
	attrClass
	attrOutcome
	attrContext
	attrObject
	attrVia
	attrCross
	attrSelf
	attrError
	attrMessage
	attrShared
	attrAddress
	attrAgent
	ownAttributes
)

// Attributes are all that counting and judging by rules reads of a log record, for
// otellog.Record.DecodeOnly.
var Attributes = func() *otellog.Names {
	names := append(make([]string, 0, 64), own[:]...)
	for _, name := range append([]string{semconv.RPCMethod}, rule.Attributes...) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return otellog.NewNames(names...)
}()

var own = [ownAttributes]string{
	attrCallID: semconv.KeytrailCallID, attrCopy: semconv.KeytrailCallCopy,
	attrKeyARN: semconv.AWSKMSKeyARN, attrSecondARN: semconv.AWSKMSDestinationKeyARN,
	attrAlias: semconv.AWSKMSAliasARN, attrSecondAlias: semconv.AWSKMSDestinationAliasARN,
	attrPrimary: semconv.AWSKMSKeyPrimaryARN, attrReplica: semconv.AWSKMSKeyReplicaARN,
	attrPrincipal: semconv.KeytrailPrincipalID, attrClass: semconv.KeytrailOperationClass, attrOutcome: semconv.KeytrailOutcome,
	attrContext: semconv.KeytrailContextClass, attrObject: semconv.KeytrailContextObject,
	attrVia: semconv.KeytrailVia, attrCross: semconv.KeytrailCrossAccount,
	attrSelf: semconv.KeytrailSelf, attrError: semconv.ErrorType, attrMessage: semconv.AWSErrorMessage, attrShared: semconv.AWSSharedEventID, attrAddress: semconv.ClientAddress, attrAgent: semconv.UserAgentOriginal,
}

// FromRecord fills c from an event's log record. It reads attributes only, so
// it works for records without a body; those in Attributes are enough. One pass over
// them: a lookup for each of two dozen names would cost as much as decoding the event.
func FromRecord(rec *otellog.Record, c *Call) {
	*c = Call{Time: rec.Time, KeyARN: kms.NoEntity, Principal: kms.NoEntity, Copy: kms.CopyCaller, Class: kms.ClassManage}
	shared := false // with other accounts, whose records may come, too
	for i := range rec.Attrs {
		a := &rec.Attrs[i]
		place := Attributes.Find(a.Key)
		c.take(a, place)
		shared = shared || place == attrShared
	}
	if c.Class == kms.ClassReencrypt {
		c.Open = (shared || c.Copy != kms.CopyCaller) && !(wire.IsKeyARN(c.KeyARN) && wire.IsKeyARN(c.SecondARN))
		if c.SecondARN == c.KeyARN { // both are the same one
			c.SecondARN, c.Open = "", false
		}
	}
	if c.Outcome != kms.OutcomeOK {
		c.Unusable = unusable(rec.Str(semconv.ErrorType), rec.Str(semconv.AWSErrorMessage))
	}
	if c.Shown.Alias != "" {
		c.changeAlias(rec.Str(semconv.RPCMethod))
	}
	if !c.Self { // the collector's own reads are counted, and judged by nobody
		c.Rules = rule.Match(rec, c.Class, c.Outcome)
	}
}

// take sets what the attribute a, whose place is known, says of the call.
func (c *Call) take(a *otellog.Attr, place int) {
	switch place {
	case attrCallID:
		c.IDText, c.ID = a.Str, wire.ParseCallID(a.Str)
	case attrCopy:
		c.Copy = kms.ParseCopy(a.Str)
	case attrKeyARN:
		if a.Str != "" { // we write none that is empty; others could
			c.KeyARN = a.Str
		}
	case attrSecondARN:
		c.SecondARN = a.Str
	case attrAlias:
		c.Shown.Alias = a.Str
	case attrSecondAlias:
		c.Shown.SecondAlias = a.Str
	case attrPrimary:
		c.Shown.Primary = a.Str
	case attrReplica:
		c.Shown.Replica = a.Str
	case attrPrincipal:
		if a.Str != "" {
			c.Principal = a.Str
		}
	case attrClass:
		c.Class = kms.ParseClass(a.Str)
	case attrOutcome:
		c.Outcome = kms.ParseOutcome(a.Str)
	case attrContext:
		c.Context = kms.ParseContext(a.Str)
	case attrObject:
		c.Object = wire.EntityHash(a.Str)
	case attrVia:
		c.Direct = a.Str == kms.Direct
	case attrCross:
		c.Cross = a.Int != 0
	case attrSelf:
		c.Self = a.Int != 0
	case attrAddress:
		c.Network = Network(a.Str)
	case attrAgent:
		c.Client = client(a.Str)
	}
}

// unusable reports whether a call failed because its KMS key is disabled or waits for its
// deletion. KMS has one error for all states that forbid a call, among them a key store
// that is not connected, a proxy that does not answer and material that is not imported
// yet: its message tells them apart. Without a message the cause is not known.
// Sources: AWS KMS developer guide, "Key states of AWS KMS keys"; AWS KMS API reference,
// "KMSInvalidStateException" and "DisabledException".
func unusable(code, message string) bool {
	switch code {
	case "DisabledException":
		return true
	case "KMSInvalidStateException":
		return says(message, "is disabled") || says(message, "pending deletion") || says(message, "pending replica deletion") ||
			says(message, "pendingdeletion") || says(message, "pendingreplicadeletion")
	}
	return false
}

// says reports whether a message has a phrase in it, in lower or upper case.
func says(message, phrase string) bool {
	for i := 0; i+len(phrase) <= len(message); i++ {
		if strings.EqualFold(message[i:i+len(phrase)], phrase) {
			return true
		}
	}
	return false
}

// Complete adds to c the keys that another copy of the same ReEncrypt shows and c does
// not, and reports whether there are any: where the two keys have different owners, each
// owner's record may show the own key only. A key takes the place of an alias, which is
// the name of one of the two. The strings are those of other.
func (c *Call) Complete(other *Call) (changed bool) {
	for _, key := range [...]string{other.KeyARN, other.SecondARN} {
		if !c.Open || !wire.IsKeyARN(key) || key == c.KeyARN || key == c.SecondARN {
			continue
		}
		if wire.IsKeyARN(c.KeyARN) {
			c.SecondARN = key
		} else {
			c.KeyARN = key
		}
		c.Open = !wire.IsKeyARN(c.KeyARN) || !wire.IsKeyARN(c.SecondARN)
		c.Cross, changed = c.Cross || other.Cross, true
	}
	return changed
}

// changeAlias corrects what the calls that change an alias show: the key in a
// CreateAlias or UpdateAlias is what the alias shall stand for, so one that did
// not succeed shows nothing, and a DeleteAlias ends it.
func (c *Call) changeAlias(method string) {
	_, operation, _ := strings.Cut(method, "/")
	switch operation {
	case "CreateAlias", "UpdateAlias", "DeleteAlias":
		if c.Outcome != kms.OutcomeOK {
			c.Shown.Alias = ""
			return
		}
		c.Shown.Unbound = operation == "DeleteAlias"
	}
}

// Clone returns c with strings of its own, to be counted again later. What it
// shows is left out: that is learned at once, from every copy of a call, and
// never taken back.
func (c *Call) Clone() Call {
	d := *c
	d.Shown = Shown{}
	for _, s := range []*string{&d.IDText, &d.KeyARN, &d.SecondARN, &d.Principal} {
		*s = string([]byte(*s))
	}
	return d
}
