package count

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// cell is a partial while calls are added to it: its counters are in an array, and partial
// lists the few that are used.
type cell struct {
	wire.Partial
	n    [wire.NumCounters]int64
	used uint64 // a bit for each counter that was touched

	key, principal *cell // of a pair, the cells of each alone in the same window
}

const _ = uint(64 - wire.NumCounters) // used has a bit for each

// reset empties a cell and keeps the memory of its sets.
func (c *cell) reset() {
	for b := c.used; b != 0; b &= b - 1 {
		c.n[bits.TrailingZeros64(b)] = 0
	}
	sets := c.Sets
	for i := range sets {
		if sets[i].Capped = false; cap(sets[i].Values) > maxSpareSet {
			sets[i].Values = nil
		}
		sets[i].Values = sets[i].Values[:0]
	}
	c.Partial = wire.Partial{Counters: c.Counters[:0], Sets: sets, Samples: c.Samples[:0]}
	c.used, c.key, c.principal = 0, nil, nil
}

// maxSpareSet bounds the values of a set whose memory is used again.
const maxSpareSet = 32

// partial lists the counters.
func (c *cell) partial() *wire.Partial {
	c.Counters = c.Counters[:0]
	for b := c.used; b != 0; b &= b - 1 {
		id := bits.TrailingZeros64(b)
		if n := c.n[id]; n != 0 {
			c.Counters = append(c.Counters, wire.Counter{ID: wire.CounterID(id), N: n})
		}
	}
	return &c.Partial
}

func (c *cell) add(id wire.CounterID, n int64) {
	c.n[id] += n
	c.used |= 1 << id
}

// count adds one call (n = 1), or takes it back (n = -1). id is the call's. other is the other
// party: a key's principal, a principal's key, nil for a pair. key is the call's KMS key, and
// used for principals only.
//
// A change of a trail is not a KMS call. It counts only as such a change and with its
// anomalies, because detectors compare the other counts, sets and samples with those of KMS
// calls.
func (c *cell) count(call *Call, id wire.Sample, n int64, other, key *name) {
	c.add(wire.CounterClass+wire.CounterID(call.Class), n)
	if call.Rules != 0 || call.Matched != 0 || call.Suppressed != 0 || call.Withheld != 0 {
		rules, blind := call.Rules.Kinds()
		c.add(wire.CounterRule, n*(int64(rules)+int64(call.Matched)))
		c.add(wire.CounterBlindSpot, n*int64(blind))
		c.add(wire.CounterSuppressed, n*int64(call.Suppressed))
		c.add(wire.CounterWithheld, n*int64(call.Withheld))
	}
	if call.Class == kms.ClassTrail {
		return
	}
	c.add(wire.CounterCalls, n)
	c.add(wire.CounterContext+wire.CounterID(call.Context), n)
	if call.Direct {
		c.add(wire.CounterDirect, n)
	} else {
		c.add(wire.CounterService, n)
	}
	if call.Outcome != kms.OutcomeOK || call.Cross || call.Self || call.Unusable {
		c.unusual(call, n, key)
	}
	uses := call.Uses()
	if !uses {
		c.unused(call, n, key)
	}
	if c.Scope == wire.ScopePrincipal && !call.Self {
		origin(&c.Partial, call, n)
	}
	if call.Object != 0 {
		insert(&c.Sets[wire.SetObjects], call.Object, n)
		if call.Context == kms.ContextSecret || call.Context == kms.ContextSSMParameter {
			insert(&c.Sets[wire.SetSecrets], call.Object, n)
		}
	}
	if other != nil && other.text != kms.NoEntity {
		insert(&c.Sets[wire.SetPeers], other.hash, n)
		if !uses {
			insert(&c.Sets[wire.SetUnused], other.hash, n)
		}
	}
	if n > 0 {
		if i, ok := spot(&c.Partial, id); ok {
			sample(&c.Partial, i, id.Clone()) // it may have a view into a buffer that is used again
		}
	}
}

// unusual adds the counters that rarely apply.
func (c *cell) unusual(call *Call, n int64, key *name) {
	switch call.Outcome {
	case kms.OutcomeDenied:
		c.add(wire.CounterDenied, n)
		if c.Scope == wire.ScopePrincipal && key.text != kms.NoEntity {
			insert(&c.Sets[wire.SetRefused], key.hash, n)
		}
	case kms.OutcomeFailed:
		c.add(wire.CounterFailed, n)
	}
	if call.Cross {
		c.add(wire.CounterCrossAccount, n)
	}
	if call.Self {
		c.add(wire.CounterSelf, n)
	}
	if call.Unusable {
		c.add(wire.CounterUnusableKey, n)
	}
}

// unused adds what windows count of calls that use no key material.
func (c *cell) unused(call *Call, n int64, key *name) {
	if !call.Self {
		c.add(wire.CounterUnused, n)
	}
	if !call.Destroys() {
		return
	}
	if call.Outcome == kms.OutcomeOK {
		c.add(wire.CounterDestroyed, n)
	}
	if c.Scope == wire.ScopePrincipal {
		insert(&c.Sets[wire.SetDestroyed], key.hash, n)
	}
}

// foreign adds the account of a KMS key to those under whose keys a principal of another
// account encrypted.
func (c *cell) foreign(key, who *name, n int64) {
	if strings.HasPrefix(who.text, "account:") {
		return // only the owner's copies of its calls are known
	}
	if key.owner != 0 && who.account != "" && key.owner != wire.EntityHash(who.account) {
		insert(&c.Sets[wire.SetForeign], key.owner, n)
	}
}

// name is the name of a KMS key or a principal, kept from one batch to the next.
type name struct {
	text    string
	hash    uint64 // wire.EntityHash of text
	account string // of a principal
	owner   uint64 // hash of the account in the name of a KMS key; 0 for none
}

// names interns names. recent has the latest ones by their length and last characters, in
// which names differ: most calls are by the same few principals.
type names struct {
	all    map[string]*name
	recent [1024]*name
}

// maxNames bounds the names that are kept from one batch to the next: some 4 MB.
const maxNames = 20_000

// get returns the name of a text, which may be a view into a buffer.
func (s *names) get(text string) *name {
	at := recentSlot(text)
	if n := s.recent[at]; n != nil && n.text == text {
		return n
	}
	n := s.all[text]
	if n == nil {
		own := string([]byte(text))
		n = &name{text: own, hash: wire.EntityHash(own), account: cloud.Account(own)}
		if _, owner, _ := cloud.Place(own); owner != "" {
			n.owner = wire.EntityHash(owner)
		}
		s.all[n.text] = n
	}
	s.recent[at] = n
	return n
}

// trim forgets all names when they are too many. No cell may be in use.
func (s *names) trim() {
	if len(s.all) > maxNames {
		s.all = map[string]*name{}
		clear(s.recent[:])
	}
}

func recentSlot(text string) uint64 {
	if len(text) < 8 {
		return uint64(len(text))
	}
	tail := binary.LittleEndian.Uint64([]byte(text[len(text)-8:])) // the conversion copies nothing that escapes
	return (tail ^ uint64(len(text))) * 0x9e3779b97f4a7c15 >> 54
}
