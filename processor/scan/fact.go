package scan

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"unsafe"

	"keytrail/processor/count"
	"keytrail/processor/entity"
	"keytrail/processor/eventtime"
	"keytrail/processor/rule"
	"keytrail/schemas/cloud"
	"keytrail/schemas/kms"
	"keytrail/schemas/wire"
)

// fact is a scan's form of one call or binding: 96 bytes without a pointer, so that
// millions can be sorted and written to disk as they are.
type fact struct {
	id         wire.CallID
	event      wire.CallID // eventID, to choose among copies of one call
	time       int64
	object     uint64
	key        uint32 // names are numbers in a names table
	second     uint32 // 0: none; of a binding, what key refers to
	principal  uint32
	text       uint32 // the call id's text if it is not a lower-case UUID; else 0
	sum        uint32 // CRC-32C of the record's bytes
	rules      rule.Set
	network    uint32
	client     uint32
	copy       kms.Copy
	class      kms.Class
	outcome    kms.Outcome
	context    kms.Context
	flags      uint16
	matched    uint16 // the user's rules
	suppressed uint8
	detail     uint32 // a number in Config.Details
}

const factSize = int(unsafe.Sizeof(fact{}))

const (
	flagDirect = 1 << iota
	flagCross
	flagSelf
	flagUnusable
	flagObserved // correlations count the call
	flagHashed   // only the hash of the call id is kept, not its text
	flagBinding  // the fact is not a call but a binding of key to second: see makeBinding
	flagOpen     // the record shows only one key of a ReEncrypt
	flagLesser
)

// names assigns numbers to strings, for facts to refer to. It grows with the distinct KMS
// keys, principals and non-UUID call ids of a trail, not with its events, and within its
// bounds. Safe for concurrent use.
//
// A name takes about 150 bytes, and one of 256 bytes or more in proportion. So 3,000,000
// units of names and 1,000,000 of texts take at most 1 GB, in a trail full of invented
// names.
type names struct {
	mu    sync.RWMutex
	index map[string]uint32
	list  []string
	room  [2]int // remaining units
}

// The kinds of string, which determine the bound that applies.
const (
	ofEntity = iota // the name of a KMS key or principal
	ofCall          // the text of a call's id
)

// maxTexts bounds the units of calls' ids that are not UUIDs: AWS writes UUIDs.
const maxTexts = 1_000_000

// newNames returns names with room for units of entities.
func newNames(entities int) *names {
	return &names{index: map[string]uint32{"": 0}, list: []string{""}, room: [2]int{entities, maxTexts}}
}

// number returns the number of s; it copies a new s. ok is false if the bound is reached.
func (n *names) number(s string, what int) (i uint32, ok bool) {
	n.mu.RLock()
	i, ok = n.index[s]
	n.mu.RUnlock()
	if ok {
		return i, true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.index[s]; ok {
		return i, true
	}
	units := 1 + len(s)/256
	if n.room[what] < units {
		return 0, false
	}
	n.room[what] -= units
	return n.add(s), true
}

func (n *names) add(s string) uint32 {
	own := string([]byte(s))
	i := uint32(len(n.list))
	n.list = append(n.list, own)
	n.index[own] = i
	return i
}

// key returns the number of a KMS key that a principal used, or of the account's
// "others".
func (n *names) key(name, principal string) uint32 {
	if i, ok := n.number(name, ofEntity); ok {
		return i
	}
	return n.others(wire.ScopeKey, principal)
}

// principal returns the number of a principal, or of its account's "others".
func (n *names) principal(name string) uint32 {
	if i, ok := n.number(name, ofEntity); ok {
		return i
	}
	return n.others(wire.ScopePrincipal, name)
}

// others returns the number of the name for an account's other KMS keys or principals.
// Some accounts have their own such names, beyond the bound on entities; the rest share
// one.
func (n *names) others(of wire.Scope, principal string) uint32 {
	e := wire.Entity{Scope: of, Principal: principal}
	name := nameOfOthers(e, entity.AccountNumber(cloud.Account(principal)))
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.index[name]; ok {
		return i
	}
	if n.room[ofEntity] > -maxOthers {
		n.room[ofEntity]--
		return n.add(name)
	}
	none := nameOfOthers(e, 0)
	if i, ok := n.index[none]; ok {
		return i
	}
	return n.add(none)
}

// nameOfOthers returns the name for an account's other KMS keys or principals.
func nameOfOthers(of wire.Entity, account uint64) string {
	e := cloud.Others(of, account, 0)
	return e.Key + e.Principal // one of them is ""
}

// maxOthers bounds the names for others.
const maxOthers = 2000

func (n *names) name(i uint32) string { return n.list[i] }

// makeFact stores c as a fact. eventID and sum distinguish copies of one call.
func makeFact(c *count.Call, eventID string, sum uint32, n *names) fact {
	f := fact{
		id: c.ID, event: wire.ParseCallID(eventID), time: c.Time, object: c.Object, sum: sum,
		key: n.key(c.Key, c.Principal), second: n.key(c.SecondKey, c.Principal), principal: n.principal(c.Principal),
		rules: c.Rules, matched: c.Matched, suppressed: uint8(min(c.Suppressed, 255)), copy: c.Copy, class: c.Class,
		outcome: c.Outcome, context: c.Context,
		network: c.Network, client: c.Client,
	}
	if !isUUID(c.ID, c.IDText) {
		kept := false
		if f.text, kept = n.number(c.IDText, ofCall); !kept {
			f.flags |= flagHashed
		}
	}
	if c.Direct {
		f.flags |= flagDirect
	}
	if c.Cross {
		f.flags |= flagCross
	}
	if c.Self {
		f.flags |= flagSelf
	}
	if c.Unusable {
		f.flags |= flagUnusable
	}
	if c.Open {
		f.flags |= flagOpen
	}
	if c.Lesser {
		f.flags |= flagLesser
	}
	return f
}

// complete adds the keys that another copy of the same ReEncrypt shows to f.
func (f *fact) complete(other *fact, n *names) {
	c, o := f.call(n), other.call(n)
	if !c.Complete(&o) {
		return
	}
	f.key, f.second = n.index[c.Key], n.index[c.SecondKey]
	if c.Cross {
		f.flags |= flagCross
	}
	if !c.Open {
		f.flags &^= flagOpen
	}
}

// call turns the fact into a call again.
func (f *fact) call(n *names) count.Call {
	c := count.Call{
		ID: f.id, IDText: n.name(f.text), Time: f.time, Copy: f.copy, Key: n.name(f.key), SecondKey: n.name(f.second),
		Principal: n.name(f.principal), Class: f.class, Outcome: f.outcome, Context: f.context, Object: f.object,
		Rules: f.rules, Matched: f.matched, Suppressed: uint16(f.suppressed),
		Direct: f.flags&flagDirect != 0, Cross: f.flags&flagCross != 0, Self: f.flags&flagSelf != 0,
		Unusable: f.flags&flagUnusable != 0, Open: f.flags&flagOpen != 0, Lesser: f.flags&flagLesser != 0,
		Network: f.network, Client: f.client,
	}
	switch {
	case f.flags&flagHashed != 0:
		c.IDText = "hash:" + hex.EncodeToString(f.id[:])
	case f.text == 0:
		c.IDText = uuid(f.id)
	}
	return c
}

// makeBinding stores a binding of a KMS key or an alias as a fact: bindings pass through
// the files and the sorting like calls, and duplicates are removed likewise. ok is false
// if the name is beyond the bound on entities.
func makeBinding(p *wire.Partial, n *names) (f fact, ok bool) {
	text := fmt.Sprintf("binding %d %q %q", p.Binding.Time, p.Key, p.Binding.Key)
	name, ok := n.number(p.Key, ofEntity)
	of, known := n.number(p.Binding.Key, ofEntity)
	account, told := n.number(p.Account, ofEntity)
	if !ok || !known || !told {
		return fact{}, false
	}
	return fact{id: wire.ParseCallID(text), time: p.Binding.Time, key: name, second: of, principal: account,
		flags: flagBinding}, true
}

// binding turns the fact into a partial again.
func (f *fact) binding(size int64, n *names) *wire.Partial {
	return &wire.Partial{
		Entity: wire.Entity{Scope: wire.ScopeKey, Key: n.name(f.key)}, Start: eventtime.Start(f.time, size),
		Account: n.name(f.principal),
		Binding: &wire.Binding{Time: f.time, Key: n.name(f.second)},
	}
}

// isUUID reports whether text is id written as a UUID, so that it need not be kept.
func isUUID(id wire.CallID, text string) bool {
	hi, lo, ok := wire.ParseUUID(text)
	return ok && hi == binary.BigEndian.Uint64(id[:8]) && lo == binary.BigEndian.Uint64(id[8:])
}

// uuid writes 128 bits as a UUID.
func uuid(id wire.CallID) string {
	return string(wire.AppendUUID(nil, binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])))
}

// byCall orders facts by call, and the copies of a call by precedence: the best copy,
// then the earliest, then the smallest event id, then the smallest checksum. The order is
// total over different records, so the counting copy does not depend on the order of
// reading.
func byCall(a, b *fact) int {
	return cmp.Or(
		bytes.Compare(a.id[:], b.id[:]),
		cmp.Compare(b.copy, a.copy),
		cmp.Compare(a.time, b.time),
		bytes.Compare(a.event[:], b.event[:]),
		cmp.Compare(a.sum, b.sum),
	)
}

// asBytes returns the memory of facts, to write them to a file of this process or read
// them back.
func asBytes(facts []fact) []byte {
	if len(facts) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&facts[0])), len(facts)*factSize)
}
