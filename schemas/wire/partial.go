package wire

import (
	"strconv"
	"unsafe"

	"keytrail/schemas/kms"
	"keytrail/schemas/semconv"
)

// Scope says what a window counts over.
type Scope uint8

// The scopes.
const (
	ScopeKey       Scope = iota + 1 // one KMS key, whoever used it
	ScopePrincipal                  // one principal, on whatever KMS key
	ScopePair                       // one principal on one KMS key
)

// String returns the value of keytrail.window.scope.
func (s Scope) String() string {
	switch s {
	case ScopeKey:
		return "key"
	case ScopePrincipal:
		return "principal"
	case ScopePair:
		return "pair"
	}
	return "unknown"
}

// Entity is what a window counts for: a KMS key, a principal or a pair of both.
// The part that a scope does not have is "".
type Entity struct {
	Scope     Scope
	Key       string // the name of the KMS key, or the alias if only that is known: see package cloud
	Principal string
}

// StateKey returns the entity's name as one string, distinct for every entity and the same
// in every version: it keys the changelog and decides the owner. A pair's begins with the
// length of its first part, because a caller can put any character into a key id, and the
// refused call is recorded.
func (e Entity) StateKey() string { return string(e.appendStateKey(make([]byte, 0, 256))) }

func (e Entity) appendStateKey(dst []byte) []byte {
	switch e.Scope {
	case ScopeKey:
		return append(append(dst, "k\n"...), e.Key...)
	case ScopePrincipal:
		return append(append(dst, "p\n"...), e.Principal...)
	}
	dst = append(strconv.AppendInt(append(dst, "x\n"...), int64(len(e.Key)), 10), '\n')
	return append(append(dst, e.Key...), e.Principal...)
}

// Owner returns the partition, of n, whose detect task owns e. A pair lives with its KMS
// key, because judging its first call requires the key's past. Calls without a KMS key
// would all meet in one place, so they live with their principal.
func (e Entity) Owner(n int) int32 {
	if e.Scope == ScopePair {
		if e.Key == kms.NoEntity {
			e = Entity{Scope: ScopePrincipal, Principal: e.Principal}
		} else {
			e = Entity{Scope: ScopeKey, Key: e.Key}
		}
	}
	var key [256]byte // on the stack: called for every partial
	name := e.appendStateKey(key[:0])
	return Owner(unsafe.String(unsafe.SliceData(name), len(name)), n)
}

// CounterID names one number of a window.
type CounterID uint8

// The counters. Those of operation classes follow CounterClass in the order of kms.Class,
// those of context classes follow CounterContext in the order of kms.Context.
const (
	CounterCalls CounterID = iota
	CounterDenied
	CounterFailed
	CounterCrossAccount
	CounterSelf
	CounterDirect
	CounterService
	CounterRule
	CounterBlindSpot
	CounterRate
	CounterFirstSeen
	CounterFanOut
	CounterRefusals
	CounterSilence
	CounterLate
	CounterClass
	CounterContext = CounterClass + 17
	// Later counters follow: the numbers are in stored state.
	CounterUnusableKey = CounterContext + 16
	CounterSuppressed  = CounterUnusableKey + 1
	CounterWithheld    = CounterSuppressed + 1
	CounterUnused      = CounterWithheld + 1 // calls that used no key material
	CounterDestroyed   = CounterUnused + 1   // calls that disabled or destroyed a KMS key or its material
	NumCounters        = CounterDestroyed + 1
)

// counterNames are the attributes of the counters.
var counterNames = [NumCounters]string{
	CounterCalls: semconv.KeytrailWindowCallsTotal, CounterDenied: semconv.KeytrailWindowDenied,
	CounterFailed: semconv.KeytrailWindowFailed, CounterCrossAccount: semconv.KeytrailWindowCrossAccount,
	CounterSelf: semconv.KeytrailWindowSelf, CounterDirect: semconv.KeytrailWindowCallsDirect,
	CounterService: semconv.KeytrailWindowCallsService, CounterRule: semconv.KeytrailWindowAnomaliesRule,
	CounterBlindSpot: semconv.KeytrailWindowAnomaliesBlindSpot, CounterRate: semconv.KeytrailWindowAnomaliesRate,
	CounterFirstSeen: semconv.KeytrailWindowAnomaliesFirstSeen, CounterFanOut: semconv.KeytrailWindowAnomaliesFanOut,
	CounterRefusals: semconv.KeytrailWindowAnomaliesRefusals, CounterSilence: semconv.KeytrailWindowAnomaliesSilence,
	CounterLate:  semconv.KeytrailWindowLate,
	CounterClass: semconv.KeytrailWindowCallsEncrypt, semconv.KeytrailWindowCallsDecrypt,
	semconv.KeytrailWindowCallsGenerate,
	semconv.KeytrailWindowCallsReencrypt, semconv.KeytrailWindowCallsSign, semconv.KeytrailWindowCallsVerify,
	semconv.KeytrailWindowCallsMac, semconv.KeytrailWindowCallsRandom, semconv.KeytrailWindowCallsDerive,
	semconv.KeytrailWindowCallsRead, semconv.KeytrailWindowCallsManage, semconv.KeytrailWindowCallsGrant,
	semconv.KeytrailWindowCallsDestroy, semconv.KeytrailWindowCallsPolicy, semconv.KeytrailWindowCallsRotate,
	semconv.KeytrailWindowCallsReplicate, semconv.KeytrailWindowCallsTrail,
	CounterContext: semconv.KeytrailWindowContextNone, semconv.KeytrailWindowContextCustom,
	semconv.KeytrailWindowContextS3Object,
	semconv.KeytrailWindowContextCloudTrailFile, semconv.KeytrailWindowContextCloudTrailTrail,
	semconv.KeytrailWindowContextEbsVolume, semconv.KeytrailWindowContextSsmParameter, semconv.KeytrailWindowContextSecret,
	semconv.KeytrailWindowContextLambda, semconv.KeytrailWindowContextChime, semconv.KeytrailWindowContextWorkmail,
	semconv.KeytrailWindowContextRds, semconv.KeytrailWindowContextDynamodb, semconv.KeytrailWindowContextLogs,
	semconv.KeytrailWindowContextSqs, semconv.KeytrailWindowContextBackup,
	CounterUnusableKey: semconv.KeytrailWindowUnusableKey, CounterSuppressed: semconv.KeytrailWindowSuppressed,
	CounterWithheld: semconv.KeytrailWindowWithheld,
	CounterUnused:   semconv.KeytrailWindowUnused, CounterDestroyed: semconv.KeytrailWindowDestroyed,
}

// Name returns the window attribute that carries the counter.
func (c CounterID) Name() string { return counterNames[c] }

// Counter is one number of a window. In a correction N is negative.
type Counter struct {
	ID CounterID
	N  int64
}

// HashCount counts how often a value, known by its hash, occurred.
type HashCount struct {
	Hash uint64
	N    int64
}

// Set counts the distinct values of one kind in a window, sorted by hash, up to a bound that
// the counting side sets. Capped reports that there were more.
type Set struct {
	Values []HashCount
	Capped bool
}

// SetID names one of a window's sets.
type SetID uint8

// The sets.
const (
	SetObjects   SetID = iota // objects that the encryption contexts name
	SetSecrets                // those of them that are secrets or parameters
	SetPeers                  // scope key: principals; scope principal: KMS keys
	SetRefused                // KMS keys on which calls were refused
	SetNetworks               // scope principal: networks that calls came from
	SetClients                // scope principal: programs that made them
	SetUnused                 // those of SetPeers with calls that used no key material, and these calls
	SetDestroyed              // scope principal: KMS keys on which it asked to disable or destroy
	SetForeign                // scope principal: other accounts under whose KMS keys it encrypted
	NumSets
)

// Binding says what an entity of scope key stood for at a time: for an alias, the KMS key
// that it named; for a replica or primary of a multi-Region key, the primary key.
type Binding struct {
	Time int64  // event time of the event that shows it, ns since 1970
	Key  string // "": it stood for nothing any longer, as after DeleteAlias
}

// Newer reports whether b supersedes c; either may be nil. It is younger, or of the same
// time and its Key is the greater one. Event times are often whole seconds, so equal times
// are common. An alias that is deleted and made again within a second thereby ends up
// bound.
func (b *Binding) Newer(c *Binding) bool {
	return b != nil && (c == nil || b.Time > c.Time || b.Time == c.Time && b.Key > c.Key)
}

// Partial is the contribution of some calls to one window of one entity.
// Partials add up: in any order, merged, they give the window.
type Partial struct {
	Entity
	// Account is the account of the first principal that used or named an entity of scope
	// key; "" where it has none, and in the other scopes. It pays for the KMS key where
	// entities are bounded: callers can make up the account in the key's own name.
	Account string
	// Start is the window's start in nanoseconds since 1970; the size is the
	// installation's.
	Start    int64
	Counters []Counter // sorted by ID, none zero
	Sets     [NumSets]Set
	// Samples are the ids of some of the calls, the smallest ones first.
	Samples []Sample
	// Binding is the newest one that the window's events show; nil, as in nearly all
	// partials, for none. It belongs to this Partial alone. It is a pointer because partials
	// are copied by the thousand.
	Binding *Binding
}
