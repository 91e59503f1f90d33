// Package count turns log records into calls and calls into partial counts per
// KMS key, per principal and per pair of both. It is pure: no Kafka, no clock.
//
// Partials add up in any order, so calls may be counted anywhere, in any
// number of processes, as long as each call is counted once; making sure of
// that is the job of package dedup.
package count

import (
	"math/bits"
	"strings"

	"keytrail/processor/rule"
	"keytrail/schemas/normalize"
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
	Copy      normalize.Copy
	KeyARN    string // normalize.NoEntity when the event has no KMS key
	SecondARN string // ReEncrypt's destination key, else ""
	Principal string
	Class     normalize.Class
	Outcome   normalize.Outcome
	Context   normalize.Context
	Object    uint64 // hash of the object that the encryption context names, or of the whole context; 0 for none
	Direct    bool   // the principal called itself, no AWS service for it
	Cross     bool   // the KMS key belongs to another account
	Self      bool   // the collector's own call
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

// Shown is what an event shows of the names of its KMS keys; nearly all show
// nothing. Table.Learn takes it.
type Shown struct {
	Alias       string // stood for KeyARN
	SecondAlias string // stood for SecondARN
	Unbound     bool   // Alias stands for nothing from this call on
	Primary     string // is the primary key of KeyARN
	Replica     string // is a new replica of KeyARN, and has the same primary key
}

// FromRecord fills c from an event's log record. It reads attributes only, so
// it works for records without a body. One pass over the attributes: a lookup
// for each of a dozen names would cost as much as decoding the event.
func FromRecord(rec *otellog.Record, c *Call) {
	*c = Call{Time: rec.Time, KeyARN: normalize.NoEntity, Principal: normalize.NoEntity, Copy: normalize.CopyCaller, Class: normalize.ClassManage}
	var whole []otellog.Attr
	for i := range rec.Attrs {
		a := &rec.Attrs[i]
		switch a.Key {
		case semconv.KeytrailCallID:
			c.IDText = a.Str
			c.ID = wire.ParseCallID(a.Str)
		case semconv.KeytrailCallCopy:
			c.Copy = normalize.ParseCopy(a.Str)
		case semconv.AWSKMSKeyARN:
			c.KeyARN = a.Str
		case semconv.AWSKMSDestinationKeyARN:
			c.SecondARN = a.Str
		case semconv.AWSKMSAliasARN:
			c.Shown.Alias = a.Str
		case semconv.AWSKMSDestinationAliasARN:
			c.Shown.SecondAlias = a.Str
		case semconv.AWSKMSKeyPrimaryARN:
			c.Shown.Primary = a.Str
		case semconv.AWSKMSKeyReplicaARN:
			c.Shown.Replica = a.Str
		case semconv.KeytrailPrincipal:
			c.Principal = a.Str
		case semconv.AWSKMSOperationClass:
			c.Class = normalize.ParseClass(a.Str)
		case semconv.KeytrailOutcome:
			c.Outcome = normalize.ParseOutcome(a.Str)
		case semconv.AWSKMSEncryptionContextClass:
			c.Context = normalize.ParseContext(a.Str)
		case semconv.AWSKMSEncryptionContextObject:
			c.Object = wire.EntityHash(a.Str)
		case semconv.AWSKMSEncryptionContext:
			whole = a.Map
		case semconv.KeytrailVia:
			c.Direct = a.Str == normalize.Direct
		case semconv.KeytrailCrossAccount:
			c.Cross = a.Int != 0
		case semconv.KeytrailSelf:
			c.Self = a.Int != 0
		case semconv.ErrorType:
			c.Unusable = a.Str == "DisabledException" || a.Str == "KMSInvalidStateException"
		case semconv.ClientAddress:
			c.Network = Network(a.Str)
		case semconv.UserAgentOriginal:
			c.Client = client(a.Str)
		}
	}
	if c.Object == 0 {
		c.Object = contextHash(whole)
	}
	if c.Shown.Alias != "" {
		c.changeAlias(rec.Str(semconv.RPCMethod))
	}
	if !c.Self { // the collector's own calls are counted, and judged by nobody
		c.Rules = rule.Match(rec, c.Class, c.Outcome)
	}
}

// contextHash returns the hash of an encryption context, in whatever order its pairs are;
// 0 for none. One that names no object that we know, as programs make them, is an object
// by itself.
func contextHash(pairs []otellog.Attr) (h uint64) {
	for i := range pairs {
		h += wire.EntityHash(pairs[i].Key)*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(wire.EntityHash(pairs[i].Str), 17)
	}
	return h
}

// changeAlias corrects what the calls that change an alias show: the key in a
// CreateAlias or UpdateAlias is what the alias shall stand for, so one that did
// not succeed shows nothing, and a DeleteAlias ends it.
func (c *Call) changeAlias(method string) {
	_, operation, _ := strings.Cut(method, "/")
	switch operation {
	case "CreateAlias", "UpdateAlias", "DeleteAlias":
		if c.Outcome != normalize.OutcomeOK {
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
