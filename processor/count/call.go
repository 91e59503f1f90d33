// Package count turns log records into calls and calls into partial counts per KMS key, per
// principal and per pair of both. It is pure: no Kafka, no clock.
//
// Partials add up in any order, so calls may be counted anywhere, in any number of
// processes, if each call is counted once. Package dedup makes sure of that.
package count

import (
	"fmt"
	"slices"
	"strings"

	"keytrail/processor/rule"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/otellog"
	"keytrail/schemas/semconv"
	"keytrail/schemas/wire"
)

// Call is the part of one event that counting needs. Its strings are views into the record
// that it was made from; Clone copies them.
type Call struct {
	ID        wire.CallID
	IDText    string // keytrail.call.id
	Time      int64  // event time, ns since 1970
	Copy      kms.Copy
	Key       string // kms.NoEntity when the event has no KMS key
	SecondKey string // ReEncrypt's second key, else ""
	Principal string
	Class     kms.Class
	Outcome   kms.Outcome
	Context   kms.Context
	Object    uint64 // hash of the object of the encryption context; 0 for none
	Direct    bool   // the principal called itself, not a service of the cloud for it
	Cross     bool   // the KMS key belongs to another account
	Self      bool   // the collector's own reading of a trail's file
	Open      bool   // a ReEncrypt whose other records may show another key; see Complete
	Unusable  bool   // it failed because the KMS key is disabled or waits for its deletion
	Lesser    bool   // its operation does less than its class says: see cloud.Lesser
	Network   uint32 // hash of its origin's network; 0 for none, as in calls by services of the cloud
	Client    uint32 // hash of the calling program, without its version; 0 for none
	Rules     rule.Set
	Matched   uint16 // how many of the user's rules the call matches; see Matcher
	// Suppressed is the number of matching rules, of either kind, that the configuration
	// allows; they are no longer in Rules and Matched.
	Suppressed uint16
	// Withheld is the number of anomalies of Rules and Matched that are not published,
	// because there is a storm of them.
	Withheld uint16
	Shown    Shown
}

// Bounds of a call's id and names, in bytes. AWS writes ids of 36 and names of up to 2,048.
// Counts have to fit into Kafka's records, several of one window together.
const (
	MaxID    = 256  // of keytrail.call.id
	MaxNames = 8192 // of the names of its KMS keys, their aliases and its principal, together
)

// Uses reports whether the call used key material: a cryptographic operation or a new
// grant that succeeded. Reads about keys, changes of them, and calls that were refused or
// failed use none.
func (c *Call) Uses() bool {
	return c.Outcome == kms.OutcomeOK && !c.Lesser && (c.Class < kms.ClassRead || c.Class == kms.ClassGrant)
}

// Destroys reports whether the call asked to disable or destroy a KMS key or its material.
func (c *Call) Destroys() bool {
	return c.Class == kms.ClassDestroy && !c.Lesser && c.Key != kms.NoEntity
}

// encrypts reports whether the call encrypted data, or made a key to encrypt it with.
func (c *Call) encrypts() bool {
	return c.Class == kms.ClassEncrypt || c.Class == kms.ClassGenerate || c.Class == kms.ClassReencrypt
}

// Oversized reports whether c has an id or names above the bounds, and the sizes.
func (c *Call) Oversized() (detail string, is bool) {
	s := &c.Shown
	names := len(c.Key) + len(c.SecondKey) + len(c.Principal) +
		len(s.Alias) + len(s.SecondAlias) + len(s.Primary) + len(s.Replica)
	if len(c.IDText) <= MaxID && names <= MaxNames {
		return "", false
	}
	return fmt.Sprintf("the call's id or the names of its KMS keys and principal are longer than AWS writes any: "+
		"the id has %d bytes, at most %d are counted, and the names have %d, at most %d together",
		len(c.IDText), MaxID, names, MaxNames), true
}

// Shown holds further names of its KMS keys that an event shows; nearly all show none.
// Table.Learn takes it.
type Shown struct {
	Alias       string // stood for Key
	SecondAlias string // stood for SecondKey
	Unbound     bool   // Alias stands for no key from this call on
	Primary     string // is the primary key of Key
	Replica     string // is a new replica of Key, and has the same primary key
}

// The attributes that FromRecord reads, as places in Attributes.
const (
	attrCallID = iota
	attrCopy
	attrKey
	attrSecondKey
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

// Attributes are all attributes of a log record that counting and rules read, for
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
	attrKey: semconv.AWSKMSKeyARN, attrSecondKey: semconv.AWSKMSDestinationKeyARN,
	attrAlias: semconv.AWSKMSAliasARN, attrSecondAlias: semconv.AWSKMSDestinationAliasARN,
	attrPrimary: semconv.AWSKMSKeyPrimaryARN, attrReplica: semconv.AWSKMSKeyReplicaARN,
	attrPrincipal: semconv.KeytrailPrincipalID, attrClass: semconv.KeytrailOperationClass,
	attrOutcome: semconv.KeytrailOutcome,
	attrContext: semconv.KeytrailContextClass, attrObject: semconv.KeytrailContextObject,
	attrVia: semconv.KeytrailVia, attrCross: semconv.KeytrailCrossAccount,
	attrSelf: semconv.KeytrailSelf, attrError: semconv.ErrorType, attrMessage: semconv.AWSErrorMessage,
	attrShared: semconv.AWSSharedEventID, attrAddress: semconv.ClientAddress, attrAgent: semconv.UserAgentOriginal,
}

// FromRecord fills c from an event's log record. It reads only the attributes in Attributes,
// so the record needs no body. It makes one pass over them: a lookup for each of two dozen
// names would cost as much as decoding the event.
func FromRecord(rec *otellog.Record, c *Call) {
	*c = Call{Time: rec.Time, Key: kms.NoEntity, Principal: kms.NoEntity, Copy: kms.CopyCaller, Class: kms.ClassManage}
	shared := false // with other accounts, whose records may arrive, too
	for i := range rec.Attrs {
		a := &rec.Attrs[i]
		place := Attributes.Find(a.Key)
		c.take(a, place)
		shared = shared || place == attrShared
	}
	if c.Class == kms.ClassReencrypt {
		c.Open = (shared || c.Copy != kms.CopyCaller) && !(isKey(c.Key) && isKey(c.SecondKey))
		if c.SecondKey == c.Key { // both are the same one
			c.SecondKey, c.Open = "", false
		}
	}
	if c.Outcome != kms.OutcomeOK {
		c.Unusable = cloud.Unusable(rec.Str(semconv.ErrorType), rec.Str(semconv.AWSErrorMessage))
	}
	if c.Class == kms.ClassGrant || c.Class == kms.ClassDestroy {
		_, operation, _ := strings.Cut(rec.Str(semconv.RPCMethod), "/")
		c.Lesser = cloud.Lesser(operation)
	}
	if c.Shown.Alias != "" {
		c.changeAlias(rec.Str(semconv.RPCMethod))
	}
	if !c.Self { // the collector's own reads are counted and not judged
		c.Rules = rule.Match(rec, c.Class, c.Outcome)
	}
}

// take sets the field of c for attribute a, whose place in Attributes is given.
func (c *Call) take(a *otellog.Attr, place int) {
	switch place {
	case attrCallID:
		c.IDText, c.ID = a.Str, wire.ParseCallID(a.Str)
	case attrCopy:
		c.Copy = kms.ParseCopy(a.Str)
	case attrKey:
		if a.Str != "" { // Keytrail writes no empty one; others could
			c.Key = a.Str
		}
	case attrSecondKey:
		c.SecondKey = a.Str
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

// Complete adds to c the keys that another copy of the same ReEncrypt shows and c does not,
// and reports whether there are any. Where the two keys have different owners, each owner's
// record may show only that owner's key. A key replaces an alias, which is the name of one
// of the two. The strings are those of other.
func (c *Call) Complete(other *Call) (changed bool) {
	for _, key := range [...]string{other.Key, other.SecondKey} {
		if !c.Open || !isKey(key) || key == c.Key || key == c.SecondKey {
			continue
		}
		if isKey(c.Key) {
			c.SecondKey = key
		} else {
			c.Key = key
		}
		c.Open = !isKey(c.Key) || !isKey(c.SecondKey)
		c.Cross, changed = c.Cross || other.Cross, true
	}
	return changed
}

// changeAlias corrects what the calls that change an alias show. The key in a call that
// binds the alias is what it shall stand for, so such a call shows nothing unless it
// succeeded.
func (c *Call) changeAlias(method string) {
	_, operation, _ := strings.Cut(method, "/")
	switch change := cloud.AliasChange(operation); {
	case change == kms.AliasUsed:
	case c.Outcome != kms.OutcomeOK:
		c.Shown.Alias = ""
	default:
		c.Shown.Unbound = change == kms.AliasEnded
	}
}

// isKey reports whether a name is that of a KMS key, not of an alias.
func isKey(name string) bool { return cloud.Form(name).IsKey() }

// Clone returns c with its own strings, to be counted again later. It leaves out Shown, which
// is learned at once, from every copy of a call, and never taken back.
func (c *Call) Clone() Call {
	d := *c
	d.Shown = Shown{}
	for _, s := range []*string{&d.IDText, &d.Key, &d.SecondKey, &d.Principal} {
		*s = string([]byte(*s))
	}
	return d
}
